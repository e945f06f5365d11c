// Which uploads have expired: the column `active_at` says when they were active for the last time.

import type { ExpiredRequest } from '../storage.js'
import { IS_NEEDED, WAITS_FOR_ACTIVE } from './concatenations.js'
import type { Database } from './driver.js'
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

interface Found {
  readonly id: string
}

/** Expired uploads in SQLite. */
export class ExpiredRows {
  readonly #statements: Statements<keyof typeof SQL>
  readonly #now: () => number

  /**
   * @param database - where they are
   * @param now - milliseconds since the epoch
   * @param writes - what goes around its writes
   */
  constructor(database: Database, now: () => number, writes: Writes) {
    this.#statements = new Statements(database, SQL, writes)
    this.#now = now
  }

  /** Finds them, as {@link Storage.expired} has it. */
  find({ unfinishedSinceMs: unfinished, finishedSinceMs: finished, limit }: ExpiredRequest): readonly string[] {
    const now = this.#now()
    const rows: Found[] = []
    if (unfinished !== undefined) {
      rows.push(...this.#statements.all<Found>('unfinished', unfinished, unfinished, now, unfinished, now, limit))
    }
    if (finished !== undefined && rows.length < limit) {
      rows.push(...this.#statements.all<Found>('finished', finished, finished, now, limit - rows.length))
    }
    return rows.map(({ id }) => id)
  }
}
