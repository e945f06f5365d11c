// The stage of a combined storage: bytes go to a blob first, the record follows by compare-and-swap.

import { isPartial } from '../upload.js'
import { fallBackToKept, fallBackToSynced, type Loss, lossOf, wasNotTried } from './lost-bytes.js'
import {
  type Blobs,
  type BlobWriter,
  type Piece,
  type RecordCommitResult,
  type Records,
  type StoredUpload,
  wereBytesMissing,
} from './parts.js'
import { fileOf, readPieces } from './pieces.js'
import { publishCommitted } from './publish.js'
import type { Commit, CommitResult, Stage } from './storage.js'

/** What {@link CombinedStage} begins with. */
export interface CombinedStageOptions {
  readonly id: string
  readonly fence: number
  /** The offset at which the bytes begin. */
  readonly from: number
  /** The record as it is when the stage is opened. */
  readonly upload: StoredUpload | undefined
  /** Does something in the background, after what was asked for before. */
  readonly inBackground: (work: () => Promise<void>) => void
  /** Whether the journal of the records takes an upload of so many bytes. */
  readonly takesJournaled: (bytes: number) => boolean
}

/** So many bytes are committed before they are brought to the disk in the background: what a power loss costs. */
const SYNC_SOON_BYTES = 64 * 1024 * 1024

/** One stage. It opens its blob with the first byte, so that one which gets none touches nothing. */
export class CombinedStage implements Stage {
  readonly #records: Records
  readonly #blobs: Blobs
  readonly #id: string
  readonly #fence: number
  readonly #upload: StoredUpload | undefined
  readonly #inBackground: (work: () => Promise<void>) => void
  readonly #takesJournaled: (bytes: number) => boolean
  #pieces: readonly Piece[]
  /** Those that have become one blob with the last commit. They stay until that is on the disk. */
  #scattered: readonly Piece[] | undefined
  #committed: number
  #staged: number
  /** How many bytes are on the disk for sure. */
  #synced: number
  #syncing = false
  /** Whether the last commit has begun: it syncs by itself, and moves the blob away. */
  #completing = false
  #writer: BlobWriter | undefined
  /** Why nothing can be committed any more. From then on bytes are swallowed, and no blob is touched. */
  #loss: Loss | undefined
  /** Why the stage is of no more use. */
  #end: string | undefined

  constructor(records: Records, blobs: Blobs, options: CombinedStageOptions) {
    const { id, fence, from, upload } = options
    this.#records = records
    this.#blobs = blobs
    this.#id = id
    this.#fence = fence
    this.#upload = upload
    this.#inBackground = options.inBackground
    this.#takesJournaled = options.takesJournaled
    this.#synced = Math.min(upload?.synced ?? 0, from)
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
    const { to, complete = false, durable, release = false, syncSoon = false } = commit
    if (to < this.#committed || to > this.#staged) {
      throw new RangeError(`commit to ${to}: committed are ${this.#committed} bytes, staged ${this.#staged}`)
    }
    this.#completing = complete
    if (to < this.#staged) await this.#cutBack(to)
    // Pieces in several blobs become one before the upload is complete: nobody ever sees a finished file of many.
    const scattered = complete && this.#pieces.length > 1 ? this.#pieces : undefined
    this.#scattered = scattered
    if (scattered && this.#loss === undefined) await this.#flatten(to)
    else if (complete || durable) await this.#open()
    if (this.#loss !== undefined) return this.#loss
    const journaled = this.#isForJournal(commit) ? await this.#writer?.contents(to) : undefined
    const syncs = durable && journaled === undefined
    if (syncs) await this.#trusting(() => this.#sync())
    // A durable commit must not be seen by others before it is on the disk, nor a finished upload without its file, so
    // the claim covers that.
    const own = { ...commit, release: release && !durable && !this.#isToBePublished(complete) }
    const result = await this.#commitRecord(own, scattered && this.#pieces, journaled)
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
    if (durable) await this.#syncRecords()
    const published = complete ? await this.#publish(to, syncs) : undefined
    if (durable) this.#synced = to
    else if (syncSoon && !complete) this.#syncSoon()
    if (published && release) await this.#records.releasePublished(this.#id, this.#fence)
    else if (release && !own.release) await this.#records.release(this.#id, this.#fence)
    else if (published && this.#upload) await this.#records.published(this.#upload)
    if (scattered) await this.#removeBlobs(scattered)
    return published === false ? 'unpublished' : 'ok'
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

  /** Whether the bytes go to the disk with the record, where many share a sync, and with the file some time later. */
  #isForJournal({ to, complete, durable, completion }: Commit): boolean {
    // An application that is told gets a file that it may move: on the disk.
    if (!complete || !durable || completion !== undefined || this.#isPartial) return false
    // After a power loss nobody could tell the file that it has replaced from one that has replaced it since.
    if (this.#upload?.overwrite) return false
    return this.#pieces.length === 1 && this.#takesJournaled(to)
  }

  async #commitRecord(
    commit: Commit,
    pieces: readonly Piece[] | undefined,
    journaled: Uint8Array | undefined,
  ): Promise<RecordCommitResult> {
    try {
      return await this.#records.commit(this.#id, this.#fence, {
        from: this.#committed,
        to: commit.to,
        length: commit.length,
        activeAtMs: commit.activeAtMs,
        complete: commit.complete ?? false,
        release: commit.release ?? false,
        pieces,
        completion: commit.completion,
        synced: commit.durable,
        partial: this.#isPartial,
        journaled,
        isToBePublished: this.#isToBePublished(commit.complete ?? false),
        identity: this.#writer?.identity,
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

  /** A partial upload is never a file: others refer to its blob. */
  #isToBePublished(complete: boolean): boolean {
    return complete && !this.#isPartial && this.#pieces.length > 0
  }

  /**
   * Gives the finished file its name: only now that the record has reached the disk, which must never be of a time when
   * the blob had not moved yet.
   * @returns whether it has it now; `undefined` if there is nothing to publish
   */
  async #publish(size: number, durable: boolean): Promise<boolean | undefined> {
    const identity = this.#writer?.identity
    await this.#closeWriter()
    const blob = this.#pieces.at(-1)?.blob
    if (this.#upload === undefined || blob === undefined || !this.#isToBePublished(true)) return undefined
    const file = fileOf({ ...this.#upload, offset: size, identity })
    return publishCommitted(this.#blobs, blob, file, durable ? (sync) => this.#trusting(sync) : undefined)
  }

  get #isPartial(): boolean {
    return this.#upload !== undefined && isPartial(this.#upload)
  }

  /** Brings all bytes to the disk, those in earlier pieces included. */
  async #sync(): Promise<void> {
    await this.#syncPieces(this.#pieces.slice(0, -1))
    await this.#writer?.sync()
  }

  async #syncPieces(pieces: readonly Piece[]): Promise<void> {
    for (const [index, { blob }] of pieces.entries()) {
      const end = this.#pieces[index + 1]?.start ?? Number.POSITIVE_INFINITY
      if (end > this.#synced) await this.#blobs.sync(blob)
    }
  }

  /**
   * Runs a sync. If it fails, what was not synced before counts as lost: the system may have dropped it, and say at the
   * next sync that all is well. So the upload goes back to what was synced, and goes on from there in another blob.
   */
  async #trusting(sync: () => Promise<void> | void): Promise<void> {
    try {
      await sync()
    } catch (error) {
      if (!wasNotTried(error)) await this.#distrust()
      throw error
    }
  }

  /** What is committed must not stand if it is not on the disk, for whatever reason: somebody might be told of it. */
  async #syncRecords(): Promise<void> {
    try {
      await this.#records.sync()
    } catch (error) {
      await this.#distrust()
      throw error
    }
  }

  async #distrust(): Promise<void> {
    this.#end = 'bytes of this stage may be lost'
    await this.#closeWriter()
    await fallBackToSynced(this.#records, {
      upload: this.#upload,
      fence: this.#fence,
      synced: this.#synced,
      scattered: this.#scattered,
    })
  }

  #syncSoon(): void {
    const upload = this.#upload
    const to = this.#committed
    const pieces = this.#pieces
    if (upload === undefined || this.#syncing || to - this.#synced < SYNC_SOON_BYTES) return
    this.#syncing = true
    this.#inBackground(async () => {
      try {
        if (this.#completing || !(await this.#syncUntilComplete(pieces))) return
        await this.#records.markSynced(upload, to)
        this.#synced = Math.max(this.#synced, to)
      } finally {
        this.#syncing = false
      }
    })
  }

  async #syncUntilComplete(pieces: readonly Piece[]): Promise<boolean> {
    try {
      await this.#syncPieces(pieces)
      return true
    } catch (error) {
      // The blob may have its finished name by now, and the last commit learns of a failing disk by itself.
      if (this.#completing) return false
      await this.#distrust()
      throw error
    }
  }

  async #open(): Promise<BlobWriter | undefined> {
    const last = this.#pieces.at(-1)
    if (this.#writer !== undefined || this.#loss !== undefined || last === undefined) return this.#writer
    const size = this.#committed - last.start
    try {
      const identity = size > 0 ? this.#upload?.identity : undefined
      this.#writer = await this.#blobs.open(last.blob, size, identity)
    } catch (error) {
      // Whoever took over may have finished or removed the upload, and this blob with it.
      this.#loss = lossOf(await this.#records.get(this.#id), this.#fence, this.#committed)
      if (this.#loss === undefined) await this.#goBack(error)
    }
    return this.#writer
  }

  /** Goes back to the bytes that are there, if some are missing. @throws any other error */
  async #goBack(error: unknown): Promise<void> {
    if (!wereBytesMissing(error)) throw error
    const { replaced = false } = error
    const claim = { id: this.#id, fence: this.#fence, from: this.#committed, replaced }
    this.#loss = await fallBackToKept(this.#records, this.#blobs, claim)
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
      for await (const chunk of readPieces(this.#blobs, this.#pieces, 0, to, true)) await flat.write([chunk])
    } catch (error) {
      await flat.close()
      await this.#blobs.remove(blob)
      // Whoever took over does not need what was written since the last commit, and may have had it removed.
      this.#loss = lossOf(await this.#records.get(this.#id), this.#fence, this.#committed)
      if (this.#loss === undefined) await this.#goBack(error)
      return
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

function byteLength(chunks: readonly Uint8Array[]): number {
  let size = 0
  for (const chunk of chunks) size += chunk.length
  return size
}
