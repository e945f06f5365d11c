// Lists the records in SQLite, in the order of their ids: along the primary key, a bounded way per page.

import type { StoredPage } from '../parts.js'
import type { ListRequest } from '../storage.js'
import type { Database } from './driver.js'
import { RECORD, type Row, uploadOf } from './row.js'
import { Statements } from './statements.js'
import type { Writes } from './writes.js'

/** How many rows a page looks at, at the least: most of them may be of the other kind. */
const ROWS_PER_PAGE = 1000
/** Behind all ids. */
const END = '~'

/** The statements of a page; their plans are tested. */
export const LIST_SQL = {
  bound: 'SELECT id FROM uploads WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?',
  page: `SELECT ${RECORD} FROM uploads WHERE id > ? AND id <= ? AND buried = 0 AND (complete = ? OR ?) ORDER BY id LIMIT ?`,
} as const

/** The list of uploads in SQLite. */
export class Listing {
  readonly #statements: Statements<keyof typeof LIST_SQL>
  readonly #boot: string

  /**
   * @param database - where they are
   * @param boot - the present run of the system
   * @param writes - of the connection
   */
  constructor(database: Database, boot: string, writes: Writes) {
    this.#statements = new Statements(database, LIST_SQL, writes)
    this.#boot = boot
  }

  /** One page; to be called in a transaction. The cursor is the id that it has come to. */
  page({ cursor = '', complete, limit }: ListRequest): StoredPage {
    const rows = Math.max(limit, ROWS_PER_PAGE)
    const bound = this.#statements.one<{ id: string }>('bound', cursor, rows - 1)?.id
    const kind = [complete ? 1 : 0, complete === undefined ? 1 : 0]
    const found = this.#statements.all<Row>('page', cursor, bound ?? END, ...kind, limit)
    const uploads = found.map((row) => uploadOf(row, this.#boot))
    return { uploads, cursor: uploads.length === limit ? uploads.at(-1)?.id : bound }
  }
}
