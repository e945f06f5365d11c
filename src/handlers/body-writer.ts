// Gathers the chunks of a body into large writes, and commits a long one in the middle. Reading goes on meanwhile.

import type { MemoryBudget } from '../admission.js'
import { isAdapterBody } from '../request.js'
import type { Intake, Reception } from './receive-body.js'

/** How much is gathered for one write at the least, in bytes, … */
export const WRITE_BYTES = 1024 * 1024
/**
 * … and at the most, while the write before is still under way. A reader that has to wait lets the socket's buffers run
 * full, and to get them moving again costs the kernel more than reading does.
 */
const MOST_BYTES = 2 * WRITE_BYTES

/**
 * A body that has brought less than this since its last commit, in bytes, is committed less and less often by time: …
 */
const SLOW_BYTES = 16 * 1024
/** … after this many times `segmentMs` at the latest. */
const MAX_SEGMENTS_LATE = 64

/** The storage did not take a body; `cause` says why. */
export class StorageFailure extends Error {}

/** What one body has brought that is on its way into its stage: one write at a time, in order. */
export class BodyWriter {
  /** Up to which offset bytes are staged. */
  staged: number
  /** How many bytes wait to be written. */
  gathered = 0
  readonly #intake: Intake
  readonly #reception: Reception
  readonly #onFailure: () => void
  readonly #start: number
  #batch: Uint8Array[] = []
  /** Bytes of the batch that were taken out of the budget. */
  #reserved = 0
  #committed: number
  #committedAtMs: number
  /** How long few bytes wait to be committed, in milliseconds. */
  #patienceMs: number
  /** Writes as long as there is enough to be written. */
  #writing: Promise<void> | undefined
  #failure: StorageFailure | undefined
  #onTaken: (() => void) | undefined

  /** @param onFailure - told of a write or commit that failed while nobody waited for it */
  constructor(intake: Intake, reception: Reception, onFailure: () => void) {
    this.#intake = intake
    this.#reception = reception
    this.#onFailure = onFailure
    this.#start = reception.claim.position
    this.staged = this.#start
    this.#committed = this.#start
    this.#committedAtMs = intake.now()
    this.#patienceMs = intake.segmentMs
  }

  get #budget(): MemoryBudget {
    return this.#intake.budget
  }

  /** All that was added, if nothing of it was written yet. */
  get unwritten(): readonly Uint8Array[] | undefined {
    return this.#writing === undefined && this.staged === this.#start ? this.#batch : undefined
  }

  /** Takes a chunk in. */
  add(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#reception.inspect?.(chunk)
    this.#batch.push(chunk)
    this.gathered += chunk.length
  }

  /** Takes memory for bytes that are to be added. @returns whether there is as much */
  reserve(bytes: number): boolean {
    if (!this.#budget.take(bytes)) return false
    this.#reserved += bytes
    return true
  }

  /**
   * Sees to what was added.
   * @param enough - so many bytes are written
   * @returns a promise if no more should be added before it settles
   */
  advance(enough: number): Promise<void> | undefined {
    const mustCommit = this.#mustCommit()
    // Without memory for it, a chunk stays no longer than it must.
    if (!this.#reserveGathered()) return mustCommit ? this.#commit() : this.flush()
    if (mustCommit) return this.#commit()
    return this.gathered >= enough ? this.#write() : undefined
  }

  /** Settles when all that was added is staged. @throws StorageFailure */
  async flush(): Promise<void> {
    if (this.#writing !== undefined) await this.#writing
    if (this.gathered > 0 || this.#failure !== undefined) await this.#writeBatch()
  }

  /** Settles when nothing is under way any more, and gives back what is left of the memory. */
  async end(): Promise<void> {
    if (this.#writing !== undefined) await this.#writing
    this.#budget.give(this.#reserved)
    this.#reserved = 0
  }

  /** Whether what was added has to be committed before more is: a crash must not lose more than that. */
  #mustCommit(): boolean {
    const { segmentBytes, segmentMs, now } = this.#intake
    if (this.#reception.commitSegment === undefined) return false
    const bytes = this.#reception.claim.position - this.#committed
    return bytes >= segmentBytes || now() - this.#committedAtMs >= (bytes < SLOW_BYTES ? this.#patienceMs : segmentMs)
  }

  #reserveGathered(): boolean {
    const bytes = this.gathered - this.#reserved
    return bytes <= 0 || this.reserve(bytes)
  }

  async #commit(): Promise<void> {
    await this.flush()
    // It may have been done on the way.
    if (this.#mustCommit()) await this.#commitStaged()
  }

  /** Writes what is gathered, and what comes meanwhile as long as that is enough for a write. */
  #write(): Promise<void> | undefined {
    this.#writing ??= this.#writeOn()
    if (this.gathered < MOST_BYTES) return undefined
    return new Promise((resolve) => {
      this.#onTaken = resolve
    })
  }

  /** Never throws: nobody may be waiting. */
  async #writeOn(): Promise<void> {
    try {
      do {
        await this.#writeBatch()
        // In good time, so that nothing has to wait for it.
        if (this.staged - this.#committed > this.#intake.commitBytes) await this.#commitStaged()
      } while (this.gathered >= WRITE_BYTES)
      this.#writing = undefined
    } catch {
      this.#writing = undefined
      this.#onTaken?.()
      this.#onFailure()
    }
  }

  async #writeBatch(): Promise<void> {
    // Never beyond a gap.
    if (this.#failure !== undefined) throw this.#failure
    const { stage, body } = this.#reception
    const batch = this.#batch
    const bytes = this.gathered
    const reserved = Math.min(this.#reserved, bytes)
    this.#batch = []
    this.gathered = 0
    this.#reserved -= reserved
    this.#onTaken?.()
    try {
      await stage.write(batch)
      this.staged += bytes
      if (!(body instanceof Uint8Array) && isAdapterBody(body)) body.release?.(batch)
    } catch (error) {
      throw this.#failed(error)
    } finally {
      this.#budget.give(reserved)
    }
  }

  async #commitStaged(): Promise<void> {
    const { commitSegment, limit } = this.#reception
    // What completes the upload waits for the end of the body: there may be a byte too many.
    if (commitSegment === undefined || this.staged - this.#start >= limit) return
    const to = this.staged
    try {
      await commitSegment(to)
    } catch (error) {
      throw this.#failed(error)
    }
    this.#noteCommit(to)
  }

  /** A commit costs the same for one byte as for many, so bodies of a byte per second get few of them. */
  #noteCommit(to: number): void {
    const { segmentMs, now } = this.#intake
    const isSlow = to - this.#committed < SLOW_BYTES
    this.#patienceMs = isSlow ? Math.min(2 * this.#patienceMs, MAX_SEGMENTS_LATE * segmentMs) : segmentMs
    this.#committed = to
    this.#committedAtMs = now()
  }

  #failed(error: unknown): StorageFailure {
    this.#failure = new StorageFailure('', { cause: error })
    return this.#failure
  }
}
