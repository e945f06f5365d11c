// The stage of a combined storage: bytes go to a blob first, the record follows by compare-and-swap.

import type { Blobs, BlobWriter, Piece, Records, StoredUpload } from './parts.js'
import { readPieces } from './pieces.js'
import type { Commit, CommitResult, Stage } from './storage.js'

/** What {@link CombinedStage} begins with. */
export interface CombinedStageOptions {
  readonly id: string
  readonly fence: number
  /** The offset at which the bytes begin. */
  readonly from: number
  /** The record as it is when the stage is opened. */
  readonly upload: StoredUpload | undefined
}

type Loss = Exclude<CommitResult, 'ok'>

/** One stage. It opens its blob with the first byte, so that one which gets none touches nothing. */
export class CombinedStage implements Stage {
  readonly #records: Records
  readonly #blobs: Blobs
  readonly #id: string
  readonly #fence: number
  readonly #name: string
  #pieces: readonly Piece[]
  #committed: number
  #staged: number
  #writer: BlobWriter | undefined
  /** Why nothing can be committed any more. From then on bytes are swallowed, and no blob is touched. */
  #loss: Loss | undefined
  /** Why the stage is of no more use. */
  #end: string | undefined

  constructor(records: Records, blobs: Blobs, { id, fence, from, upload }: CombinedStageOptions) {
    this.#records = records
    this.#blobs = blobs
    this.#id = id
    this.#fence = fence
    this.#name = upload?.name ?? id
    // Of a claim that is lost already, these are the pieces of its successor: they must not be written to.
    this.#loss = lossOf(upload, fence, from)
    this.#pieces = upload?.pieces ?? []
    this.#committed = from
    this.#staged = from
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    this.#assertUsable()
    const size = byteLength(chunks)
    if (size === 0) return
    const writer = this.#writer ?? (await this.#open())
    await writer?.write(chunks)
    this.#staged += size
  }

  async commit(commit: Commit): Promise<CommitResult> {
    this.#assertUsable()
    const { to, complete = false, durable, release = false } = commit
    if (to < this.#committed || to > this.#staged) {
      throw new RangeError(`commit to ${to}: committed are ${this.#committed} bytes, staged ${this.#staged}`)
    }
    if (to < this.#staged) await this.#cutBack(to)
    // Pieces in several blobs become one before the upload is complete: nobody ever sees a finished file of many.
    const scattered = complete && this.#pieces.length > 1 ? this.#pieces : undefined
    if (scattered && this.#loss === undefined) await this.#flatten(to)
    else if (complete || durable) await this.#open()
    if (this.#loss !== undefined) return this.#loss
    if (durable) await this.#writer?.sync()
    // A durable commit must not be seen by others before it is on the disk, so the claim covers the sync.
    const result = await this.#commitRecord({ ...commit, release: release && !durable }, scattered && this.#pieces)
    if (result !== 'ok') {
      this.#loss = result
      if (scattered) {
        await this.#closeWriter()
        await this.#removeBlobs(this.#pieces)
      }
      return result
    }
    this.#committed = to
    if (complete) this.#loss = 'moved'
    else if (release) this.#loss = 'fenced'
    if (complete) await this.#finish(durable)
    if (durable) await this.#records.sync()
    if (durable && release) await this.#records.release(this.#id, this.#fence)
    if (scattered) await this.#removeBlobs(scattered)
    return 'ok'
  }

  async discard(): Promise<void> {
    await this.#cutBack(this.#committed)
  }

  async close(): Promise<void> {
    this.#end ??= 'the stage is closed'
    await this.#closeWriter()
  }

  #assertUsable(): void {
    if (this.#end !== undefined) throw new Error(this.#end)
  }

  async #commitRecord(commit: Commit, pieces: readonly Piece[] | undefined): Promise<CommitResult> {
    try {
      return await this.#records.commit(this.#id, this.#fence, {
        from: this.#committed,
        to: commit.to,
        length: commit.length,
        expiresAtMs: commit.expiresAtMs,
        complete: commit.complete ?? false,
        release: commit.release ?? false,
        pieces,
      })
    } catch (error) {
      // It may have been done all the same, so nothing must be cut off that it may have committed.
      this.#end = 'a commit of this stage failed'
      await this.#closeWriter()
      throw error
    }
  }

  /** What is staged beyond `size` is forgotten. A stage that is lost, or has given its claim back, cuts nothing. */
  async #cutBack(size: number): Promise<void> {
    if (this.#staged > size && this.#loss === undefined) await this.#writer?.truncate(size - this.#lastStart())
    this.#staged = size
  }

  async #finish(durable: boolean): Promise<void> {
    await this.#closeWriter()
    const blob = this.#pieces.at(-1)?.blob
    if (blob === undefined) return
    await this.#blobs.place(blob, this.#name)
    if (durable) await this.#blobs.syncPlaced(this.#name)
  }

  async #open(): Promise<BlobWriter | undefined> {
    const last = this.#pieces.at(-1)
    if (this.#writer !== undefined || this.#loss !== undefined || last === undefined) return this.#writer
    try {
      this.#writer = await this.#blobs.open(last.blob, this.#committed - last.start)
    } catch (error) {
      // Whoever took over may have finished or removed the upload, and this blob with it.
      this.#loss = lossOf(await this.#records.get(this.#id), this.#fence, this.#committed)
      if (this.#loss === undefined) throw error
    }
    return this.#writer
  }

  async #closeWriter(): Promise<void> {
    const writer = this.#writer
    this.#writer = undefined
    await writer?.close()
  }

  #lastStart(): number {
    return this.#pieces.at(-1)?.start ?? 0
  }

  async #flatten(to: number): Promise<void> {
    const blob = `${this.#id}.${this.#fence}.flat`
    const flat = await this.#blobs.open(blob, 0)
    try {
      for await (const chunk of readPieces(this.#blobs, this.#pieces, 0, to)) await flat.write([chunk])
    } catch (error) {
      await flat.close()
      await this.#blobs.remove(blob)
      throw error
    }
    await this.#closeWriter()
    this.#writer = flat
    this.#pieces = [{ start: 0, blob }]
  }

  /** Removes what no record names any more. The vacuum finds what can't be removed now. */
  async #removeBlobs(pieces: readonly Piece[]): Promise<void> {
    for (const { blob } of pieces) {
      try {
        await this.#blobs.remove(blob)
      } catch {}
    }
  }
}

function lossOf(upload: StoredUpload | undefined, fence: number, from: number): Loss | undefined {
  if (upload === undefined) return 'gone'
  if (upload.fence !== fence || upload.holder === undefined) return 'fenced'
  return upload.offset !== from || upload.complete ? 'moved' : undefined
}

function byteLength(chunks: readonly Uint8Array[]): number {
  let size = 0
  for (const chunk of chunks) size += chunk.length
  return size
}
