// The rows of concatenations: which final upload waits for which partial one, and which of them share blobs.

import type { NewUpload } from '../../upload.js'
import type { Piece, StoredUpload } from '../parts.js'
import { assembledPieces, isReady, partialsOf } from '../pieces.js'
import { type Assembly, type AssemblyResult, type CreateResult, MAX_WAITING_FINALS } from '../storage.js'
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
/**
 * For how many partial uploads a row of `uploads` waits: those that are incomplete, or 0 as soon as one is gone, so
 * that assembly finds out. Counted each time rather than added up, so it can't go wrong for good.
 */
const WAITS_FOR = `(SELECT count(iif(partial.complete = 0, 1, NULL)) * min(partial.id IS NOT NULL AND partial.buried = 0)
    FROM waiting LEFT JOIN uploads AS partial ON partial.id = waiting.partial WHERE waiting.final = uploads.id)`

const SQL = {
  get: `SELECT ${RECORD} FROM uploads WHERE id = ? AND buried = 0`,
  wait: 'INSERT OR IGNORE INTO waiting (partial, final) VALUES (?, ?)',
  waitNoMore: 'DELETE FROM waiting WHERE final = ?',
  waitingFinals: `SELECT final.id FROM waiting ${PENDING} WHERE waiting.partial = ?`,
  howMany: 'SELECT count(*) AS finals FROM waiting WHERE partial = ?',
  hasToWait: 'SELECT 1 FROM uploads WHERE id = ? AND waits_for > 0',
  readyFinals: 'SELECT id FROM uploads WHERE waits_for = 0 AND buried = 0 AND id > ? ORDER BY id LIMIT ?',
  countFor: `UPDATE uploads SET waits_for = ${WAITS_FOR} WHERE id = ?`,
  count: `UPDATE uploads SET waits_for = ${WAITS_FOR} WHERE complete = 0
    AND id IN (SELECT final FROM waiting WHERE partial = ?)`,
  assemble: `UPDATE uploads SET offset = ?, length = ?, pieces = ?, active_at = ?, complete = 1, published = 0, due_at = ?,
    attempt = ?, worker = ?, step = 'copy', waits_for = NULL WHERE id = ?`,
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
  create({ id, concat }: NewUpload, create: () => boolean): CreateResult {
    return this.#writes.transaction(() => {
      if (partialsOf(concat, (each) => this.#get(each)) === undefined) return 'no-partial'
      const partials = new Set(concat?.partials)
      for (const partial of partials) if (this.#isCrowded(partial)) return 'crowded'
      if (!create()) return 'exists'
      for (const partial of partials) this.#statements.write('wait', partial, id)
      this.#statements.write('countFor', id)
      return 'created'
    })
  }

  waitingFinals(partial: string): readonly string[] {
    return this.#statements.all<{ id: string }>('waitingFinals', partial).map(({ id }) => id)
  }

  readyFinals(limit: number, after: string): readonly string[] {
    return this.#statements.all<{ id: string }>('readyFinals', after, limit).map(({ id }) => id)
  }

  /** To be called with what completes a partial upload, makes it incomplete again, or removes it by force. */
  count(partial: string): void {
    this.#statements.write('count', partial)
  }

  assemble(id: string, { activeAtMs, completion }: Assembly, nowMs: number): AssemblyResult {
    if (this.#statements.one('hasToWait', id) !== undefined) return 'unfinished'
    return this.#writes.transaction(() => {
      const final = this.#get(id)
      if (final === undefined) return 'gone'
      if (final.complete) return 'already'
      const { concat } = final
      const partials = partialsOf(concat, (each) => this.#get(each))
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

  #isCrowded(partial: string): boolean {
    const { finals = 0 } = this.#statements.one<{ finals: number }>('howMany', partial) ?? {}
    return finals >= MAX_WAITING_FINALS
  }

  #get(id: string): StoredUpload | undefined {
    const row = this.#statements.one<Row>('get', id)
    return row && uploadOf(row, this.#boot)
  }
}
