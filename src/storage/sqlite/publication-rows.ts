// Finished files and their names, in SQLite: which uploads are not published yet, and which files the records mean.

import type { StoredUpload } from '../parts.js'
import type { Database } from './driver.js'
import { Statements } from './statements.js'
import type { Writes } from './writes.js'

const SQL = {
  unpublished: `SELECT id FROM uploads WHERE publish_at <= ? AND publish_at IS NOT NULL AND buried = 0
    AND (owner IS NULL OR lease_until <= ?) ORDER BY publish_at LIMIT ?`,
  published: 'UPDATE uploads SET published = 1, publish_at = NULL WHERE id = ? AND created_at = ? AND published = 0',
  publishLater: 'UPDATE uploads SET publish_at = ? WHERE id = ? AND created_at = ? AND publish_at IS NOT NULL',
  adopt: `INSERT INTO place (only, identity) VALUES (1, ?)
    ON CONFLICT (only) DO UPDATE SET identity = excluded.identity WHERE identity <> excluded.identity`,
} as const

/** In place of an identity: that of no file. */
const REPLACED = ''

/**
 * The identity of each file is forgotten, so that its size decides; but for files that a later upload has replaced: the
 * same file may have been sent again, and what is there is that one's.
 */
const FORGET = `UPDATE uploads SET file = iif(complete = 1 AND published = 1 AND EXISTS (
    SELECT 1 FROM uploads AS later WHERE later.name_key = uploads.name_key AND later.id <> uploads.id AND later.complete = 1
      AND later.published = 1 AND later.buried = 0 AND later.active_at > uploads.active_at), '${REPLACED}', NULL)
  WHERE file IS NOT NULL AND file <> '${REPLACED}'`

/** What is published, in SQLite. */
export class PublicationRows {
  readonly #database: Database
  readonly #now: () => number
  readonly #writes: Writes
  readonly #statements: Statements<keyof typeof SQL>

  /**
   * @param database - where the records are
   * @param now - milliseconds since the epoch
   * @param writes - what goes around its writes
   */
  constructor(database: Database, now: () => number, writes: Writes) {
    this.#database = database
    this.#now = now
    this.#writes = writes
    this.#statements = new Statements(database, SQL, writes)
  }

  unpublished(limit: number): readonly string[] {
    const now = this.#now()
    return this.#statements.all<{ id: string }>('unpublished', now, now, limit).map(({ id }) => id)
  }

  published({ id, createdAtMs }: StoredUpload): void {
    this.#statements.write('published', id, createdAtMs)
  }

  publishLater({ id, createdAtMs }: StoredUpload, atMs: number): void {
    this.#statements.write('publishLater', atMs, id, createdAtMs)
  }

  /**
   * Says which folder and which database this is. If either is another one than before (it comes from a backup, say),
   * what is known of the identities of files means nothing.
   */
  adopt(place: string): void {
    this.#writes.transaction(() => {
      if (!this.#statements.write('adopt', place)) return
      this.#database.exec(FORGET)
    })
  }
}
