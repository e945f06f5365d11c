// What is left to be done for complete uploads: the column `due_at` says when, and is the lease of who does it as well.

import type { StoredUpload } from '../parts.js'
import type { CompletionOutcome, CompletionRequest, DueRequest } from '../storage.js'
import type { Database } from './driver.js'
import { RECORD, type Row, uploadOf } from './row.js'
import { Statements } from './statements.js'
import type { Writes } from './writes.js'

const SQL = {
  // Not while somebody holds the upload: the commit that completed it is not on the disk yet, or it is being removed.
  due: `SELECT id FROM uploads WHERE step = ? AND due_at <= ? AND due_at IS NOT NULL AND offset <= ? AND publish_at IS NULL
      AND buried = 0
    AND (owner IS NULL OR lease_until <= ?) ORDER BY due_at LIMIT ?`,
  take: `UPDATE uploads SET due_at = ?, attempt = attempt + 1, worker = ?
    WHERE id = ? AND buried = 0 AND due_at IS NOT NULL AND publish_at IS NULL AND (due_at <= ? OR worker = ?)
      AND (owner IS NULL OR lease_until <= ? OR owner = ?) RETURNING ${RECORD}`,
  renew: `UPDATE uploads SET due_at = ? WHERE id = ? AND buried = 0 AND due_at IS NOT NULL AND attempt = ?
    AND worker IS NOT NULL`,
  settle: `UPDATE uploads SET due_at = ?, worker = NULL, result = ?, step = coalesce(?, step),
    active_at = coalesce(?, active_at) WHERE id = ? AND buried = 0 AND due_at IS NOT NULL
    AND attempt = ? AND worker IS NOT NULL`,
} as const

/** Completions in SQLite. */
export class CompletionRows {
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

  due({ step, maxBytes, limit }: DueRequest): readonly string[] {
    const now = this.#now()
    return this.#statements.all<{ id: string }>('due', step, now, maxBytes, now, limit).map(({ id }) => id)
  }

  take(id: string, { owner, ttlMs, dead }: CompletionRequest): { upload: StoredUpload; attempt: number } | undefined {
    const now = this.#now()
    const free = [now, dead ?? null]
    const row = this.#statements.change<Row>('take', now + ttlMs, owner ?? null, id, ...free, ...free)
    const upload = row && uploadOf(row, this.#boot)
    return upload && { upload, attempt: upload.completion?.attempt ?? 0 }
  }

  renew(id: string, attempt: number, ttlMs: number): boolean {
    return this.#statements.write('renew', this.#now() + ttlMs, id, attempt)
  }

  settle(id: string, attempt: number, outcome: CompletionOutcome): boolean {
    const dueAtMs = 'retryAfterMs' in outcome ? this.#now() + outcome.retryAfterMs : null
    const result = 'result' in outcome && outcome.result !== undefined ? JSON.stringify(outcome.result) : null
    const step = 'retryAfterMs' in outcome ? outcome.step : null
    const activeAtMs = 'result' in outcome ? (outcome.activeAtMs ?? null) : null
    return this.#statements.write('settle', dueAtMs, result, step, activeAtMs, id, attempt)
  }
}
