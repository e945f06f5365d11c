// The two halves that a storage can be combined of: records and bytes, which know nothing of each other.

import type { NewUpload, Tombstone, Upload } from '../upload.js'
import type { Awaitable, ClaimRequest, ClaimResult, CommitResult } from './storage.js'

/**
 * A run of an upload's bytes in one blob, up to where the next piece begins or up to the offset. Its bytes begin at 0
 * of the blob. Nearly always an upload has one piece.
 */
export interface Piece {
  /** Where in the upload it begins, in bytes. */
  readonly start: number
  /** The blob's name. */
  readonly blob: string
}

/** A record with what only the storage itself needs to know. */
export interface StoredUpload extends Upload {
  /** The number of the latest claim, held or not. */
  readonly fence: number
  /** Where the bytes are, in order. The last piece is the one that is written to. */
  readonly pieces: readonly Piece[]
}

/** A commit, as the records see it. */
export interface RecordCommit {
  /** The offset that is expected. */
  readonly from: number
  readonly to: number
  readonly length: number | undefined
  readonly expiresAtMs: number | null | undefined
  readonly complete: boolean
  readonly release: boolean
  /** The new list of pieces, where it changes. */
  readonly pieces: readonly Piece[] | undefined
}

/** Keeps the records of uploads. */
export interface Records {
  /** The first fence is larger than every one that an upload of this id had before it was removed. */
  create(upload: NewUpload): Awaitable<'created' | 'exists'>
  get(id: string): Awaitable<StoredUpload | undefined>
  /**
   * A claim that was given back, or whose holder is dead, is followed by one that goes on in the same blob. One that
   * ran out may have a holder that wakes up and writes, so a new piece begins, in a blob named after the new fence.
   */
  claim(id: string, request: ClaimRequest): Awaitable<ClaimResult>
  renew(id: string, fence: number, ttlMs: number): Awaitable<boolean>
  release(id: string, fence: number): Awaitable<void>
  /** One transaction: compare-and-swap on fence and offset. A complete upload never changes again: `moved`. */
  commit(id: string, fence: number, commit: RecordCommit): Awaitable<CommitResult>
  /** Marks the record as removed, so that nobody sees it any more; its blobs go next. `undefined`: fenced or gone. */
  bury(id: string, fence: number, tombstone: Tombstone | undefined): Awaitable<StoredUpload | undefined>
  /** Drops a record that was buried, after its blobs. */
  forget(id: string): Awaitable<void>
  /** Records that were buried and not forgotten: a kill came in between. */
  buried(limit: number): Awaitable<readonly StoredUpload[]>
  /** What was kept of a record that was buried. */
  tombstone(id: string): Awaitable<Tombstone | undefined>
  /** Drops tombstones whose time is over. */
  dropTombstones(limit: number): Awaitable<void>
  /** The ids of uploads whose time of expiry has come, the earliest first. */
  expired(beforeMs: number, limit: number): Awaitable<readonly string[]>
  /** Takes or prolongs a right that one at a time has. */
  lease(name: string, request: { readonly owner: string; readonly ttlMs: number }): Awaitable<boolean>
  /** Settles when all that was written before has reached the disk. */
  sync(): Awaitable<void>
  close(): Awaitable<void>
}

/** Writes one blob, sequentially. */
export interface BlobWriter {
  /** Appends, all or nothing: after a failure the blob ends where it ended before. */
  write(chunks: readonly Uint8Array[]): Awaitable<void>
  /** Cuts the blob back to `size` bytes. */
  truncate(size: number): Awaitable<void>
  /** Settles when all bytes and the blob's name have reached the disk. */
  sync(): Awaitable<void>
  /** After every write in flight has settled. */
  close(): Awaitable<void>
}

/** Keeps bytes under names. */
export interface Blobs {
  /**
   * Opens a blob to write from `size` on. What lies beyond is cut off; a blob of no bytes need not exist.
   * @throws an error with code `ERR_BYTES_MISSING` if fewer than `size` bytes are there
   */
  open(blob: string, size: number): Awaitable<BlobWriter>
  /** Makes a blob the finished file `name`, at once or not at all. Does nothing if that was done before. */
  place(blob: string, name: string): Awaitable<void>
  /** Settles when all names that `place` gave before have reached the disk. */
  syncPlaced(name: string): Awaitable<void>
  /**
   * Reads bytes of a blob, or of a finished file.
   * @throws an error with code `ERR_BYTES_MISSING` if fewer are there
   */
  read(
    from: { readonly blob: string } | { readonly name: string },
    start: number,
    end: number,
  ): AsyncIterable<Uint8Array>
  /** Removes a blob, if it exists. */
  remove(blob: string): Awaitable<void>
  /** Removes a finished file, if it exists. */
  removePlaced(name: string): Awaitable<void>
  /** The blobs that are not placed yet. */
  list(): AsyncIterable<string>
  close(): Awaitable<void>
}

/** The error of a blob that is shorter than it should be, or not there at all. */
export function bytesMissing(blob: string, expected: number, found = 0, cause?: unknown): Error {
  const message = `blob ${blob} should have at least ${expected} bytes and has ${found}`
  const error = new Error(message, cause === undefined ? undefined : { cause })
  return Object.assign(error, { code: 'ERR_BYTES_MISSING' })
}
