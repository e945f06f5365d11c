// The rows of concatenations: which final upload waits for which partial one, and which of them share blobs.

import { type Concat, isFrom, isPartial, type NewUpload } from '../../upload.js'
import type { Piece, StoredUpload } from '../parts.js'
import { assembledPieces, isReady } from '../pieces.js'
import type { Assembly, AssemblyResult } from '../storage.js'
import type { Database } from './driver.js'
import { RECORD, type Row, uploadOf } from './row.js'
import { Statements } from './statements.js'
import type { Writes } from './writes.js'

/** Follows a final upload that is neither removed nor assembled. CROSS: from those that wait, not from all uploads. */
const PENDING = 'CROSS JOIN uploads final ON final.id = waiting.final AND final.complete = 0 AND final.buried = 0'

/** Says of a row of `uploads` that a final upload waits for it. */
export const IS_NEEDED = `(concat IS NOT NULL AND EXISTS (
  SELECT 1 FROM waiting ${PENDING} WHERE waiting.partial = uploads.id))`

/** Says of a row of `uploads` that it waits for a partial upload that is claimed, or was active after a time. */
export const WAITS_FOR_ACTIVE = `(concat IS NOT NULL AND EXISTS (
  SELECT 1 FROM waiting CROSS JOIN uploads partial ON partial.id = waiting.partial AND partial.buried = 0
  WHERE waiting.final = uploads.id
    AND (partial.active_at > ? OR partial.owner IS NOT NULL AND partial.lease_until > ?)))`

const SQL = {
  get: `SELECT ${RECORD} FROM uploads WHERE id = ? AND buried = 0`,
  wait: 'INSERT OR IGNORE INTO waiting (partial, final) VALUES (?, ?)',
  waitNoMore: 'DELETE FROM waiting WHERE final = ?',
  waitingFinals: `SELECT final.id FROM waiting ${PENDING} WHERE waiting.partial = ?`,
  // Removed partial uploads count as ready, so that assembly finds that they are gone.
  readyFinals: `SELECT final.id FROM waiting ${PENDING}
    LEFT JOIN uploads AS partial ON partial.id = waiting.partial AND partial.buried = 0
    GROUP BY waiting.final
    HAVING min(coalesce(partial.complete = 1 AND (partial.owner IS NULL OR partial.lease_until <= ?), 1)) = 1 LIMIT ?`,
  assemble: `UPDATE uploads SET offset = ?, length = ?, pieces = ?, active_at = ?, complete = 1, published = 0, due_at = ?,
    attempt = ?, worker = ?, step = 'copy' WHERE id = ?`,
  share: 'INSERT OR IGNORE INTO sharing (blob, upload) VALUES (?, ?)',
  shareNoMore: 'DELETE FROM sharing WHERE upload = ?',
  sharedBy: `SELECT 1 FROM uploads WHERE buried = 0 AND id <> ?
    AND (id = ? OR id IN (SELECT upload FROM sharing WHERE blob = ?)) LIMIT 1`,
  detach: `UPDATE uploads SET pieces = ?, file = ? WHERE id = ? AND buried = 0 AND attempt = ? AND due_at IS NOT NULL
    AND worker IS NOT NULL`,
} as const

/** Concatenations in SQLite. */
export class Concatenations {
  readonly #statements: Statements<keyof typeof SQL>
  readonly #writes: Writes
  readonly #boot: string

  /**
   * @param database - where they are
   * @param boot - the present run of the system
   * @param writes - what goes around its writes
   */
  constructor(database: Database, boot: string, writes: Writes) {
    this.#statements = new Statements(database, SQL, writes)
    this.#writes = writes
    this.#boot = boot
  }

  /**
   * Creates the record of a final upload, together with what says that it waits.
   * @param create - creates the record alone
   */
  create({ id, concat }: NewUpload, create: () => boolean): 'created' | 'exists' | 'no-partial' {
    return this.#writes.transaction(() => {
      if (this.#partials(concat) === undefined) return 'no-partial'
      if (!create()) return 'exists'
      for (const partial of concat?.partials ?? []) this.#statements.write('wait', partial, id)
      return 'created'
    })
  }

  waitingFinals(partial: string): readonly string[] {
    return this.#statements.all<{ id: string }>('waitingFinals', partial).map(({ id }) => id)
  }

  readyFinals(nowMs: number, limit: number): readonly string[] {
    return this.#statements.all<{ id: string }>('readyFinals', nowMs, limit).map(({ id }) => id)
  }

  assemble(id: string, { activeAtMs, completion }: Assembly, nowMs: number): AssemblyResult {
    return this.#writes.transaction(() => {
      const final = this.#get(id)
      if (final === undefined) return 'gone'
      if (final.complete) return 'already'
      const { concat } = final
      const partials = this.#partials(concat)
      if (partials === undefined) return 'gone'
      const sum = partials.reduce((bytes, { offset }) => bytes + offset, 0)
      if (sum > (concat?.maxSize ?? Number.MAX_SAFE_INTEGER)) return 'too-large'
      if (!partials.every((partial) => isReady(partial, nowMs))) return 'unfinished'
      const pieces = assembledPieces(partials)
      for (const { blob } of pieces) this.#statements.write('share', blob, id)
      this.#statements.write('waitNoMore', id)
      const { owner, ttlMs } = completion ?? { owner: undefined, ttlMs: 0 }
      const first = [nowMs + ttlMs, owner === undefined ? 0 : 1, owner ?? null]
      this.#statements.write('assemble', sum, sum, JSON.stringify(pieces), activeAtMs, ...first, id)
      return 'ok'
    })
  }

  isShared(blob: string, owner: string, id: string): boolean {
    return this.#statements.one('sharedBy', id, owner, blob) !== undefined
  }

  detach(id: string, attempt: number, pieces: readonly Piece[], identity: string | undefined): boolean {
    return this.#writes.transaction(() => {
      if (!this.#statements.write('detach', JSON.stringify(pieces), identity ?? null, id, attempt)) return false
      this.#statements.write('shareNoMore', id)
      return true
    })
  }

  forget(id: string): void {
    this.#statements.write('waitNoMore', id)
    this.#statements.write('shareNoMore', id)
  }

  #get(id: string): StoredUpload | undefined {
    const row = this.#statements.one<Row>('get', id)
    return row && uploadOf(row, this.#boot)
  }

  /** The records of partial uploads; `undefined` if one is not there, or is none. */
  #partials(concat: Concat | undefined): readonly StoredUpload[] | undefined {
    const partials: StoredUpload[] = []
    for (const [index, id] of (concat?.partials ?? []).entries()) {
      const upload = this.#get(id)
      if (upload === undefined || !isPartial(upload)) return undefined
      if (!isFrom(upload, concat?.partialsCreatedAtMs?.[index])) return undefined
      partials.push(upload)
    }
    return partials
  }
}
