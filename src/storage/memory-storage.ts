// Uploads in memory, for tests and small things. Nothing survives the process.

import type { NewUpload, Tombstone } from '../upload.js'
import { CombinedStorage } from './combined-storage.js'
import {
  type Blobs,
  type BlobWriter,
  bytesMissing,
  type RecordCommit,
  type Records,
  type StoredUpload,
} from './parts.js'
import { firstPieces, piecesAfterTakeover } from './pieces.js'
import type { ClaimRequest, ClaimResult, CommitResult } from './storage.js'

/** Options of {@link MemoryStorage}. */
export interface MemoryStorageOptions {
  /**
   * The clock, in milliseconds since the epoch; for tests.
   * @default Date.now
   */
  readonly now?: () => number
}

/** Keeps uploads in memory: for tests, and for small things that need not survive the process. */
export class MemoryStorage extends CombinedStorage {
  /** @param options - the clock */
  constructor({ now = Date.now }: MemoryStorageOptions = {}) {
    super(new MemoryRecords(now), new MemoryBlobs())
  }
}

interface Entry {
  upload: StoredUpload
  buried: boolean
}

class MemoryRecords implements Records {
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()
  readonly #names = new Set<string>()
  readonly #tombstones = new Map<string, Tombstone>()
  readonly #leases = new Map<string, { owner: string; untilMs: number }>()

  constructor(now: () => number) {
    this.#now = now
  }

  create(upload: NewUpload): 'created' | 'exists' {
    if (this.#entries.has(upload.id) || this.#names.has(upload.name)) return 'exists'
    // Time goes on, so an id that is used again begins with a fence beyond all that its former upload had.
    const fence = this.#now()
    const { attributes } = upload
    const record = {
      ...upload,
      attributes,
      offset: 0,
      complete: false,
      holder: undefined,
      fence,
      pieces: firstPieces(upload.id),
    }
    this.#entries.set(upload.id, { upload: record, buried: false })
    this.#names.add(upload.name)
    return 'created'
  }

  get(id: string): StoredUpload | undefined {
    return this.#living(id)?.upload
  }

  claim(id: string, { owner, ttlMs, dead }: ClaimRequest): ClaimResult {
    const entry = this.#living(id)
    if (entry === undefined) return undefined
    const { holder } = entry.upload
    const now = this.#now()
    const takenOver = holder !== undefined && holder.owner !== dead
    if (takenOver && holder.leaseUntilMs > now) return { heldBy: holder }
    const fence = entry.upload.fence + 1
    const pieces = takenOver ? piecesAfterTakeover(entry.upload, fence) : entry.upload.pieces
    entry.upload = { ...entry.upload, fence, pieces, holder: { owner, leaseUntilMs: now + ttlMs } }
    return { upload: entry.upload, fence }
  }

  renew(id: string, fence: number, ttlMs: number): boolean {
    const entry = this.#held(id, fence)
    if (entry?.upload.holder === undefined) return false
    const holder = { ...entry.upload.holder, leaseUntilMs: this.#now() + ttlMs }
    entry.upload = { ...entry.upload, holder }
    return true
  }

  release(id: string, fence: number): void {
    const entry = this.#held(id, fence)
    if (entry !== undefined) entry.upload = { ...entry.upload, holder: undefined }
  }

  commit(id: string, fence: number, commit: RecordCommit): CommitResult {
    if (this.#living(id) === undefined) return 'gone'
    const entry = this.#held(id, fence)
    if (entry === undefined) return 'fenced'
    const { upload } = entry
    if (upload.offset !== commit.from || upload.complete) return 'moved'
    entry.upload = {
      ...upload,
      offset: commit.to,
      length: commit.length ?? upload.length,
      expiresAtMs: commit.expiresAtMs === undefined ? upload.expiresAtMs : (commit.expiresAtMs ?? undefined),
      complete: commit.complete,
      holder: commit.release ? undefined : upload.holder,
      pieces: commit.pieces ?? upload.pieces,
    }
    return 'ok'
  }

  bury(id: string, fence: number, tombstone: Tombstone | undefined): StoredUpload | undefined {
    const entry = this.#held(id, fence)
    if (entry === undefined) return undefined
    if (tombstone !== undefined) this.#tombstones.set(id, tombstone)
    entry.buried = true
    return entry.upload
  }

  forget(id: string): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    this.#names.delete(entry.upload.name)
    this.#entries.delete(id)
  }

  buried(): readonly StoredUpload[] {
    // Nothing comes between burying and forgetting here but an error of this class itself.
    return []
  }

  tombstone(id: string): Tombstone | undefined {
    const tombstone = this.#tombstones.get(id)
    return tombstone !== undefined && tombstone.untilMs > this.#now() ? tombstone : undefined
  }

  dropTombstones(): void {
    for (const [id, { untilMs }] of this.#tombstones) if (untilMs <= this.#now()) this.#tombstones.delete(id)
  }

  expired(beforeMs: number, limit: number): readonly string[] {
    const due: Array<{ id: string; atMs: number }> = []
    for (const { upload, buried } of this.#entries.values()) {
      const { id, expiresAtMs } = upload
      if (!buried && expiresAtMs !== undefined && expiresAtMs <= beforeMs) due.push({ id, atMs: expiresAtMs })
    }
    due.sort((one, other) => one.atMs - other.atMs)
    return due.slice(0, limit).map(({ id }) => id)
  }

  lease(name: string, { owner, ttlMs }: { readonly owner: string; readonly ttlMs: number }): boolean {
    const lease = this.#leases.get(name)
    if (lease !== undefined && lease.owner !== owner && lease.untilMs > this.#now()) return false
    this.#leases.set(name, { owner, untilMs: this.#now() + ttlMs })
    return true
  }

  async sync(): Promise<void> {}

  close(): void {
    this.#entries.clear()
    this.#names.clear()
  }

  #living(id: string): Entry | undefined {
    const entry = this.#entries.get(id)
    return entry?.buried ? undefined : entry
  }

  #held(id: string, fence: number): Entry | undefined {
    const entry = this.#living(id)
    return entry?.upload.fence === fence && entry.upload.holder !== undefined ? entry : undefined
  }
}

class MemoryBlobs implements Blobs {
  readonly #blobs = new Map<string, MemoryBlob>()
  readonly #placed = new Map<string, MemoryBlob>()

  open(blob: string, size: number): BlobWriter {
    const found = this.#blobs.get(blob) ?? new MemoryBlob()
    if (found.size < size) throw bytesMissing(blob, size, found.size)
    found.truncate(size)
    this.#blobs.set(blob, found)
    return found
  }

  place(blob: string, name: string): void {
    const found = this.#blobs.get(blob)
    if (found === undefined) return
    this.#placed.set(name, found)
    this.#blobs.delete(blob)
  }

  async syncPlaced(): Promise<void> {}

  async *read(
    from: { readonly blob: string } | { readonly name: string },
    start: number,
    end: number,
  ): AsyncGenerator<Uint8Array> {
    const found = 'blob' in from ? this.#blobs.get(from.blob) : this.#placed.get(from.name)
    if (found === undefined || found.size < end)
      throw bytesMissing('blob' in from ? from.blob : from.name, end, found?.size)
    yield* found.read(start, end)
  }

  remove(blob: string): void {
    this.#blobs.delete(blob)
  }

  removePlaced(name: string): void {
    this.#placed.delete(name)
  }

  async *list(): AsyncGenerator<string> {
    yield* [...this.#blobs.keys()]
  }

  close(): void {
    this.#blobs.clear()
    this.#placed.clear()
  }
}

class MemoryBlob implements BlobWriter {
  #chunks: Uint8Array[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  write(chunks: readonly Uint8Array[]): void {
    // Copied, since the caller may use its buffers again once this has returned.
    for (const chunk of chunks) {
      this.#chunks.push(Uint8Array.prototype.slice.call(chunk))
      this.#size += chunk.length
    }
  }

  truncate(size: number): void {
    if (size === this.#size) return
    this.#chunks = [...this.read(0, size)]
    this.#size = size
  }

  async sync(): Promise<void> {}

  close(): void {}

  *read(start: number, end: number): Generator<Uint8Array> {
    let position = 0
    for (const chunk of this.#chunks) {
      const from = Math.max(start - position, 0)
      const to = Math.min(end - position, chunk.length)
      if (from < to) yield chunk.subarray(from, to)
      position += chunk.length
    }
  }
}
