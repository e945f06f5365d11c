// Which uploads have expired: the column `active_at` says when they were active for the last time.

import type { ExpiredRequest } from '../storage.js'
import { IS_NEEDED, WAITS_FOR_ACTIVE } from './concatenations.js'
import { type Database, isFull } from './driver.js'
import { IS_SETTLED, IS_UNFINISHED } from './schema.js'
import { Statements } from './statements.js'
import type { Writes } from './writes.js'

const SQL = {
  // Who was created later was active later: only those that are young again are passed over on the way.
  unfinished: `SELECT id FROM uploads WHERE created_at <= ? AND active_at <= ? AND buried = 0 AND ${IS_UNFINISHED}
    AND (owner IS NULL OR lease_until <= ?) AND NOT ${IS_NEEDED} AND NOT ${WAITS_FOR_ACTIVE} ORDER BY created_at LIMIT ?`,
  finished: `SELECT id FROM uploads WHERE created_at <= ? AND active_at <= ? AND buried = 0 AND ${IS_SETTLED}
    AND (owner IS NULL OR lease_until <= ?) ORDER BY created_at LIMIT ?`,
} as const

/** A server that lets nothing expire has none of them: each upload enters one, leaves it, and enters the other. */
const INDEXES = {
  unfinished: `CREATE INDEX IF NOT EXISTS uploads_unfinished ON uploads (created_at) WHERE buried = 0 AND ${IS_UNFINISHED}`,
  finished: `CREATE INDEX IF NOT EXISTS uploads_finished ON uploads (created_at) WHERE buried = 0 AND ${IS_SETTLED}`,
} as const

interface Found {
  readonly id: string
}

/** Expired uploads in SQLite. */
export class ExpiredRows {
  readonly #database: Database
  readonly #writes: Writes
  readonly #statements: Statements<keyof typeof SQL>
  readonly #now: () => number

  /**
   * @param database - where they are
   * @param now - milliseconds since the epoch
   * @param writes - what goes around its writes
   */
  constructor(database: Database, now: () => number, writes: Writes) {
    this.#database = database
    this.#writes = writes
    this.#statements = new Statements(database, SQL, writes)
    this.#now = now
  }

  /** Finds them, as {@link Storage.expired} has it. The first search of a database makes its index, and may write. */
  find({ unfinishedSinceMs: unfinished, finishedSinceMs: finished, limit }: ExpiredRequest): readonly string[] {
    const now = this.#now()
    const rows: Found[] = []
    if (unfinished !== undefined) {
      this.#index('unfinished')
      rows.push(...this.#statements.all<Found>('unfinished', unfinished, unfinished, now, unfinished, now, limit))
    }
    if (finished !== undefined && rows.length < limit) {
      this.#index('finished')
      rows.push(...this.#statements.all<Found>('finished', finished, finished, now, limit - rows.length))
    }
    return rows.map(({ id }) => id)
  }

  #index(kind: keyof typeof INDEXES): void {
    try {
      this.#writes.run(() => this.#database.exec(INDEXES[kind]))
    } catch (error) {
      // Without it all uploads are read; but what has expired is what makes room.
      if (!isFull(error)) throw error
    }
  }
}
