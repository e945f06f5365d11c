// The two halves that a storage can be combined of: records and bytes, which know nothing of each other.

import type { NewUpload, Tombstone, Upload } from '../upload.js'
import type {
  Assembly,
  AssemblyResult,
  Awaitable,
  ClaimRequest,
  ClaimResult,
  CommitResult,
  CompletionOutcome,
  CompletionRequest,
  CreateResult,
  DueRequest,
  ExpiredRequest,
  ListRequest,
  RemoveOptions,
  RemoveResult,
} from './storage.js'

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
  /** How many of the committed bytes are on the disk for sure. */
  readonly synced: number
  /** Whether the system was started anew since bytes were committed without that, so that they may be lost. */
  readonly doubtful: boolean
  /**
   * What tells the blob that is written to, and the finished file later, from any other that may come to have the name;
   * `undefined` if that is not known.
   */
  readonly identity: string | undefined
}

/** The finished file of an upload. */
export interface FinishedFile {
  readonly name: string
  /** As {@link StoredUpload.identity} has it. */
  readonly identity: string | undefined
  /** Its size in bytes. */
  readonly size: number
  /** Whether it may take the place of another file. */
  readonly overwrite: boolean
}

/** What becomes of a commit, as the records see it. */
export type RecordCommitResult = Exclude<CommitResult, 'lost' | 'unpublished'>

/** A commit, as the records see it. */
export interface RecordCommit {
  /** The offset that is expected. */
  readonly from: number
  readonly to: number
  readonly length: number | undefined
  readonly activeAtMs: number | undefined
  readonly complete: boolean
  readonly release: boolean
  /** The new list of pieces, where it changes. */
  readonly pieces: readonly Piece[] | undefined
  readonly completion: CompletionRequest | undefined
  /** Whether the bytes are on the disk for sure. */
  readonly synced: boolean
  /** Whether it is a partial upload: once it is complete, the final uploads that wait for it wait for one less. */
  readonly partial: boolean
  /** All bytes of the upload, for the journal. */
  readonly journaled?: Uint8Array | undefined
  /** Whether the upload is complete with it, and its file has to get its name. */
  readonly isToBePublished: boolean
  /** As {@link StoredUpload.identity} has it; `undefined`: as before. */
  readonly identity?: string | undefined
}

/** The file of an upload in a journal, and the blob that it was before it had its name. */
export interface JournaledFile extends FinishedFile {
  readonly blob: string
  /** Whether it has got its name. */
  readonly published: boolean
}

/**
 * Makes the file of a journaled upload out of its bytes; as {@link Blobs.restore} has it.
 * @returns the identity of the file; `undefined` if that is not known
 */
export type MakeFile = (file: JournaledFile, bytes: Uint8Array, anew: boolean) => string | undefined

/** One small upload in a journal, as it was when it was read. */
export interface JournalEntry {
  /** Its number; later ones are larger. Once an entry is dropped, another one may get its number. */
  readonly number: number
  /** The upload. */
  readonly id: string
  /** When that was created: its id may be another one's by now. */
  readonly createdAtMs: number
  /** When it was put there, in milliseconds since the epoch. */
  readonly atMs: number
  /** The run of the system that its file was last written in. */
  readonly boot: string
  /** Whether its file was to be made anew and was not yet: no sync of it means anything before. */
  readonly doubtful: boolean
  /** Its file; `undefined` if it was removed. */
  readonly file: JournaledFile | undefined
}

/**
 * The bytes of small finished uploads, kept with the records until their files have reached the disk: so one sync of
 * the records is enough for all that are completed at about the same time.
 */
export interface Journal {
  /** Up to how many bytes an upload may have. */
  readonly maxBytes: number
  /** Whether there is any entry. */
  isEmpty(): Awaitable<boolean>
  /** How many entries there are, and how many bytes they keep. */
  load(): Awaitable<{ readonly entries: number; readonly bytes: number }>
  /** Entries beyond a number that were there at a time, the oldest first. */
  entries(beyond: number, beforeMs: number, limit: number): Awaitable<readonly JournalEntry[]>
  /**
   * Has the file of an entry made anew, unless its upload is gone: a removal comes wholly before or after that. The
   * entry is another one then, of the present.
   * @param make - must not be asynchronous
   */
  restore(entry: JournalEntry, make: MakeFile): Awaitable<void>
  /** Says that no sync of an entry's file is to be trusted before it is made anew. Returns the entry as it is then. */
  distrust(entry: JournalEntry): Awaitable<JournalEntry>
  /** Drops entries, as far as they are the same yet: their files are on the disk, or nobody wants them any more. */
  drop(entries: readonly JournalEntry[]): Awaitable<void>
}

/** One page of a list of records. */
export interface StoredPage {
  readonly uploads: readonly StoredUpload[]
  /** Where the next page begins; `undefined` after the last one. */
  readonly cursor: string | undefined
}

/** Keeps the records of uploads. */
export interface Records {
  /** The first fence is larger than every one that an upload of this id had before it was removed. */
  create(upload: NewUpload): Awaitable<CreateResult>
  get(id: string): Awaitable<StoredUpload | undefined>
  /**
   * A claim that was given back, or whose holder is dead, is followed by one that goes on in the same blob. One that
   * ran out may have a holder that wakes up and writes, so a new piece begins, in a blob named after the new fence.
   */
  claim(id: string, request: ClaimRequest): Awaitable<ClaimResult>
  renew(id: string, fence: number, ttlMs: number): Awaitable<boolean>
  release(id: string, fence: number, activeAtMs?: number): Awaitable<void>
  /** Gives a claim back under which the finished file has got its name, and says that it has. */
  releasePublished(id: string, fence: number): Awaitable<void>
  /** One transaction: compare-and-swap on fence and offset. A complete upload never changes again: `moved`. */
  commit(id: string, fence: number, commit: RecordCommit): Awaitable<RecordCommitResult>
  /**
   * Marks the record as removed, so that nobody sees it any more; its blobs go next. The claim stays, and can be
   * renewed and given back. Otherwise it says what keeps the record.
   */
  bury(id: string, fence: number, options: RemoveOptions): Awaitable<StoredUpload | Exclude<RemoveResult, 'removed'>>
  /** Drops a record that was buried, after its blobs. */
  forget(upload: StoredUpload): Awaitable<void>
  /**
   * Records that were buried and not forgotten, and that nobody holds any more: a kill or a failure came in between.
   */
  buried(limit: number): Awaitable<readonly StoredUpload[]>
  /** What was kept of a record that was buried. */
  tombstone(id: string): Awaitable<Tombstone | undefined>
  /** Drops tombstones whose time is over. `false` if there were none. */
  dropTombstones(limit: number): Awaitable<boolean>
  /** The ids of uploads whose time is over. */
  expired(request: ExpiredRequest): Awaitable<readonly string[]>
  /** Takes or prolongs a right that one at a time has. */
  lease(name: string, request: { readonly owner: string; readonly ttlMs: number }): Awaitable<boolean>
  /** Says that so many bytes of an upload are on the disk. Does nothing if it is another upload by now. */
  markSynced(upload: StoredUpload, synced: number): Awaitable<void>
  /**
   * Takes an unfinished upload back to `to`, where it has lost bytes, if it still is at `upload.offset`; one that was
   * completed by this very claim is unfinished again.
   * @param pieces - its pieces from then on
   */
  fallBack(upload: StoredUpload, to: number, pieces: readonly Piece[]): Awaitable<boolean>
  /** Whether an upload other than this one names a blob: a final upload, or the partial upload that it was made for. */
  isShared(blob: string, id: string): Awaitable<boolean>
  /** One transaction: a final upload gets its partial uploads' pieces, and is complete and due. */
  assemble(id: string, assembly: Assembly): Awaitable<AssemblyResult>
  /**
   * Gives a final upload a blob of its own in place of those that it shares, within a try that has not run out.
   * @param identity - that of the blob, as {@link StoredUpload.identity} has it
   */
  detach(id: string, attempt: number, pieces: readonly Piece[], identity: string | undefined): Awaitable<boolean>
  /** The final uploads that wait for a partial upload. */
  waitingFinals(partial: string): Awaitable<readonly string[]>
  /** Final uploads that wait although none of their partial uploads is incomplete, in the order of their ids. */
  readyFinals(limit: number, after: string): Awaitable<readonly string[]>
  /** Complete uploads for which a step is due now. */
  dueCompletions(request: DueRequest): Awaitable<readonly string[]>
  /** Takes the right to do it. */
  takeCompletion(
    id: string,
    request: CompletionRequest,
  ): Awaitable<{ upload: StoredUpload; attempt: number } | undefined>
  renewCompletion(id: string, attempt: number, ttlMs: number): Awaitable<boolean>
  settleCompletion(id: string, attempt: number, outcome: CompletionOutcome): Awaitable<boolean>
  /** Complete uploads to be published now, that nobody holds. */
  unpublished(limit: number): Awaitable<readonly string[]>
  /** Says that the finished file of an upload has its name. Does nothing if it is another upload by now. */
  published(upload: StoredUpload): Awaitable<void>
  /** Says when an upload that could not be published is tried again, in milliseconds since the epoch. */
  publishLater(upload: StoredUpload, atMs: number): Awaitable<void>
  /** Uploads, page by page; as {@link Storage.list} has it. */
  list(request: ListRequest): Awaitable<StoredPage>
  /** Settles when all that was written before has reached the disk. */
  sync(): Awaitable<void>
  /** Where the records are worth keeping small uploads for a while. */
  readonly journal?: Journal | undefined
  close(): Awaitable<void>
}

/** Writes one blob, sequentially. */
export interface BlobWriter {
  /** What tells the blob from another one that may come to have its name; `undefined` if nothing does. */
  readonly identity?: string | undefined
  /** Appends, all or nothing: after a failure the blob ends where it ended before. */
  write(chunks: readonly Uint8Array[]): Awaitable<void>
  /** Cuts the blob back to `size` bytes. */
  truncate(size: number): Awaitable<void>
  /** The first `size` bytes of the blob. */
  contents(size: number): Awaitable<Uint8Array>
  /** Settles when all bytes that were written before and the blob's name have reached the disk. */
  sync(): Awaitable<void>
  /** After every write in flight has settled. A sync in flight goes on. */
  close(): Awaitable<void>
}

/** Keeps bytes under names. */
export interface Blobs {
  /**
   * Opens a blob to write from `size` on. What lies beyond is cut off; a blob of no bytes need not exist.
   * @param identity - that of the blob when it was written to before, if it is to be the same yet
   * @throws an error with code `ERR_BYTES_MISSING` if fewer than `size` bytes are there, or it is another file
   */
  open(blob: string, size: number, identity?: string): Awaitable<BlobWriter>
  /** Settles when a blob's bytes and its name have reached the disk. */
  sync(blob: string): Awaitable<void>
  /** How many bytes a blob has; 0 if it does not exist. */
  size(blob: string): Awaitable<number>
  /**
   * Makes a blob the finished file of a name, at once or not at all. Does nothing if that was done before. The blob may
   * keep its own name beside it until {@link Blobs.settlePlaced}.
   * @returns `false` if neither the blob nor the file is there: it was moved away, or removed
   * @throws an error that names both if something that is not this upload's has the name, or one above it
   */
  place(blob: string, file: FinishedFile): Awaitable<boolean>
  /** Takes the blob's own name from a finished file. */
  settlePlaced(blob: string): Awaitable<void>
  /** Makes a finished file the blob again that it was; settles when that has reached the disk, if it can. */
  takeBack(file: FinishedFile, blob: string): Awaitable<void>
  /** Settles when all names that `place` gave before have reached the disk. */
  syncPlaced(name: string): Awaitable<void>
  /**
   * Settles when the bytes of a finished file have reached the disk. `false` if there is no such file.
   * @throws what the system says; with `syscall` `open` if it did not come to a sync
   */
  syncFile(name: string): Awaitable<boolean>
  /**
   * Makes a finished file of bytes, whatever is there under the names of the blob and of the file, and at once or not
   * at all. Not asynchronous, as it is part of a transaction.
   * @param anew - whether even what has these very bytes is written once more, since it may not reach the disk
   */
  restore(file: JournaledFile, bytes: Uint8Array, anew: boolean): string | undefined
  /**
   * Reads bytes of a blob, or of a finished file, which must have `size` bytes at least.
   * @param reuse - whether a chunk is done with when the next one is asked for, so that its memory may be used again
   * @throws an error with code `ERR_BYTES_MISSING` if fewer are there, `ERR_BYTES_GONE` if there is nothing of that
   *   name; its message says where
   */
  read(
    from: { readonly blob: string } | FinishedFile,
    start: number,
    end: number,
    reuse?: boolean,
  ): AsyncIterable<Uint8Array>
  /** Removes a blob, if it exists. */
  remove(blob: string): Awaitable<void>
  /**
   * Removes a finished file and the folders that are empty without it. Another file that has its name by now stays.
   * @param durable - whether it settles only when that has reached the disk
   */
  removePlaced(file: FinishedFile, durable: boolean): Awaitable<void>
  /** The blobs that are not placed yet. */
  list(): AsyncIterable<string>
  close(): Awaitable<void>
}

/** The error of a blob that is shorter than it should be, or not there at all. */
export function bytesMissing(blob: string, expected: number, found = 0, cause?: unknown): Error {
  const message = `blob ${blob} should have at least ${expected} bytes and has ${found}`
  const error = new Error(message, cause === undefined ? undefined : { cause })
  return Object.assign(error, { code: BYTES_MISSING })
}

/** The error of a blob or a file that is read and is not there. */
export function bytesGone(name: string, cause?: unknown): Error {
  const error = new Error(`${name} is not there`, cause === undefined ? undefined : { cause })
  return Object.assign(error, { code: BYTES_GONE })
}

/** The error of a blob in whose place there is another file. */
export function blobReplaced(blob: string): Error {
  const error = new Error(`another file has the name of the blob ${blob}`)
  return Object.assign(error, { code: BYTES_MISSING, replaced: true })
}

/** Whether an error says that bytes are missing that were there. */
export function wereBytesMissing(error: unknown): error is Error & { readonly replaced?: boolean } {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return code === BYTES_MISSING || code === BYTES_GONE
}

const BYTES_GONE = 'ERR_BYTES_GONE'
const BYTES_MISSING = 'ERR_BYTES_MISSING'
