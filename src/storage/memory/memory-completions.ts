// Completions in memory: what is due, and who has the right to it.

import type { Completion } from '../../upload.js'
import type { StoredUpload } from '../parts.js'
import { isReady } from '../pieces.js'
import type { CompletionOutcome, CompletionRequest, CompletionStep, DueRequest } from '../storage.js'

/** A record, and whether it was removed. */
export interface Entry {
  upload: StoredUpload
  buried: boolean
}

/** The entry of an upload that was not removed. */
export function living(entries: ReadonlyMap<string, Entry>, id: string): Entry | undefined {
  const entry = entries.get(id)
  return entry?.buried ? undefined : entry
}

/** The completions of uploads that are in memory. */
export class MemoryCompletions {
  readonly #entries: ReadonlyMap<string, Entry>
  readonly #now: () => number

  /**
   * @param entries - the records
   * @param now - milliseconds since the epoch
   */
  constructor(entries: ReadonlyMap<string, Entry>, now: () => number) {
    this.#entries = entries
    this.#now = now
  }

  due({ step, maxBytes, limit }: DueRequest): readonly string[] {
    const due: Array<{ id: string; atMs: number }> = []
    for (const { upload, buried } of this.#entries.values()) {
      const atMs = isDue(upload) ? upload.completion?.dueAtMs : undefined
      if (upload.completion?.step !== step || upload.offset > maxBytes) continue
      if (!buried && atMs !== undefined && atMs <= this.#now() && isReady(upload, this.#now())) {
        due.push({ id: upload.id, atMs })
      }
    }
    due.sort((one, other) => one.atMs - other.atMs)
    return due.slice(0, limit).map(({ id }) => id)
  }

  take(id: string, { owner, ttlMs, dead }: CompletionRequest): { upload: StoredUpload; attempt: number } | undefined {
    const entry = living(this.#entries, id)
    const completion = entry?.upload.completion
    if (entry === undefined || completion?.dueAtMs === undefined || !isDue(entry.upload)) return undefined
    const lost = dead !== undefined && completion.worker === dead
    if (completion.dueAtMs > this.#now() && !lost) return undefined
    const { holder } = entry.upload
    if (!isReady(entry.upload, this.#now()) && !(dead !== undefined && holder?.owner === dead)) return undefined
    const attempt = completion.attempt + 1
    const taken = { ...completion, attempt, worker: owner, dueAtMs: this.#now() + ttlMs }
    entry.upload = { ...entry.upload, completion: taken }
    return { upload: entry.upload, attempt }
  }

  renew(id: string, attempt: number, ttlMs: number): boolean {
    return this.#change(id, attempt, { dueAtMs: this.#now() + ttlMs })
  }

  settle(id: string, attempt: number, outcome: CompletionOutcome): boolean {
    const change =
      'retryAfterMs' in outcome
        ? { worker: undefined, dueAtMs: this.#now() + outcome.retryAfterMs, step: outcome.step }
        : { worker: undefined, dueAtMs: undefined, settled: true, result: outcome.result }
    const activeAtMs = 'result' in outcome ? outcome.activeAtMs : undefined
    return this.#change(id, attempt, change, activeAtMs)
  }

  /** A completion that begins now. */
  begun(step: CompletionStep, { owner, ttlMs }: CompletionRequest): Completion {
    const attempt = owner === undefined ? 0 : 1
    return { step, settled: false, attempt, dueAtMs: this.#now() + ttlMs, worker: owner, result: undefined }
  }

  /** An upload of which this very try to complete it has not run out. */
  tried(id: string, attempt: number): Entry | undefined {
    const entry = living(this.#entries, id)
    const completion = entry?.upload.completion
    if (completion?.dueAtMs === undefined || completion.worker === undefined) return undefined
    return completion.attempt === attempt ? entry : undefined
  }

  #change(id: string, attempt: number, change: Partial<Completion>, activeAtMs?: number): boolean {
    const entry = this.tried(id, attempt)
    if (entry?.upload.completion === undefined) return false
    entry.upload = {
      ...entry.upload,
      activeAtMs: activeAtMs ?? entry.upload.activeAtMs,
      completion: { ...entry.upload.completion, ...change },
    }
    return true
  }
}

/**
 * A completion begins once the finished file has its name; making that file is a part of the completion of a final one.
 */
function isDue(upload: StoredUpload): boolean {
  return upload.published !== false || upload.concat?.partials !== undefined
}
