// The statements of a commit: the one that completes an upload touches the indexes of what is finished, others none.

import type { RecordCommit } from '../parts.js'
import type { Database } from './driver.js'
import { Statements } from './statements.js'
import type { Writes } from './writes.js'

const APPENDED = `offset = ?, length = coalesce(?, length), active_at = coalesce(?, active_at), owner = iif(?, NULL, owner),
  pieces = coalesce(?, pieces), synced = iif(?, ?, synced), boot = ?, file = coalesce(?, file)`

/** Compare-and-swap on fence and offset. */
const HELD = 'id = ? AND buried = 0 AND fence = ? AND offset = ? AND complete = 0 AND owner IS NOT NULL'

const SQL = {
  // SQLite rewrites the entry of every index of which a column is set, changed or not.
  append: `UPDATE uploads SET ${APPENDED} WHERE ${HELD}`,
  complete: `UPDATE uploads SET ${APPENDED}, complete = 1, due_at = ?, attempt = ?, worker = ?, step = ?, published = ?,
    publish_at = ? WHERE ${HELD}`,
} as const

/** Commits in SQLite. */
export class CommitRows {
  readonly #statements: Statements<keyof typeof SQL>
  readonly #now: () => number
  readonly #boot: string

  /**
   * @param database - where they are
   * @param time - milliseconds since the epoch, and the present run of the system
   * @param writes - what goes around its writes
   */
  constructor(database: Database, { now, boot }: { now: () => number; boot: string }, writes: Writes) {
    this.#statements = new Statements(database, SQL, writes)
    this.#now = now
    this.#boot = boot
  }

  /** Moves the offset. `false` if the claim is lost, or the offset is another one. */
  commit(id: string, fence: number, commit: RecordCommit): boolean {
    const appended = [
      commit.to,
      commit.length ?? null,
      commit.activeAtMs ?? null,
      commit.release ? 1 : 0,
      commit.pieces ? JSON.stringify(commit.pieces) : null,
      commit.synced ? 1 : 0,
      commit.to,
      commit.synced ? null : this.#boot,
      commit.identity ?? null,
    ]
    const held = [id, fence, commit.from]
    if (!commit.complete) return this.#statements.write('append', ...appended, ...held)
    const { completion, isToBePublished } = commit
    const completed = [
      completion ? this.#now() + completion.ttlMs : null,
      completion ? (completion.owner === undefined ? 0 : 1) : null,
      completion?.owner ?? null,
      completion ? 'hook' : null,
      isToBePublished ? 0 : 1,
      isToBePublished ? this.#now() : null,
    ]
    return this.#statements.write('complete', ...appended, ...completed, ...held)
  }
}
