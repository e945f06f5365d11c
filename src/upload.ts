// The record of one upload.

/** Who holds the exclusive right to write to an upload, and until when. */
export interface Holder {
  /** Names the server instance that holds the claim. */
  readonly owner: string
  /** When the claim ends unless it is renewed, in milliseconds since the epoch. */
  readonly leaseUntilMs: number
}

/** The role of an upload in a concatenation (https://tus.io/protocols/resumable-upload#concatenation). */
export interface Concat {
  /** `Upload-Concat` as the client sent it. */
  readonly header: string
  /** The ids of a final upload's partial uploads, in order; `undefined` for a partial upload. */
  readonly partials: readonly string[] | undefined
  /**
   * When each of those partial uploads was created, in milliseconds since the epoch: another upload that has got the id
   * of one is none of them. `undefined`: whichever has the id.
   */
  readonly partialsCreatedAtMs?: readonly number[] | undefined
  /** How large a final upload may become, in bytes, where its length is not known from the beginning. */
  readonly maxSize?: number | undefined
  /** Whether the application wants to be told once a final upload is complete. */
  readonly awaitsHook?: boolean | undefined
}

/** What an application answers to a completed upload: kept, so that a client that lost the answer gets it again. */
export interface CompletionResult {
  /** The status of the finishing answer: 200 to 299. */
  readonly status?: number | undefined
  /** Headers of the finishing answer, besides those of the protocol. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /**
   * The body of the finishing answer; sent as UTF-8, so that a charset in `headers` should say nothing else. Its type
   * is `text/plain; charset=utf-8` unless `headers` say another.
   */
  readonly body?: string | undefined
}

/**
 * What is done next for a complete upload: `copy`: one file is made of a final upload; `hook`: the application is told.
 */
export type CompletionStep = 'copy' | 'hook'

/** What is left to be done once all bytes are committed, and what came of it. */
export interface Completion {
  /** What the next try begins with, or the present one began with. */
  readonly step: CompletionStep
  /** Whether nothing is left to be done. */
  readonly settled: boolean
  /** How often it was tried. */
  readonly attempt: number
  /** When it is tried next, or the present try runs out unless it is prolonged; milliseconds since the epoch. */
  readonly dueAtMs: number | undefined
  /** The server instance that tries at the moment. */
  readonly worker: string | undefined
  /** What the application answered. */
  readonly result: CompletionResult | undefined
}

/** One upload: what a storage keeps of it. */
export interface Upload {
  /** The last segment of the upload's URL. */
  readonly id: string
  /** The name of the finished file, relative to the storage's directory. */
  readonly name: string
  /** The size of the whole upload in bytes; `undefined` while the client has deferred it. */
  readonly length: number | undefined
  /** How many bytes are committed. */
  readonly offset: number
  /** `Upload-Metadata` as the client sent it; read it with {@link parseUploadMetadata}. */
  readonly metadata: string | undefined
  /** What the application keeps with it, as JSON holds it; never sent to clients. */
  readonly attributes?: Readonly<Record<string, unknown>> | undefined
  /** When it was created, in milliseconds since the epoch. */
  readonly createdAtMs: number
  /**
   * When something last came of it, in milliseconds since the epoch: its creation, the end of a chunk, what completes
   * it. When it expires is reckoned from here, by the options of the server that is asked.
   */
  readonly activeAtMs: number
  /** Whether all bytes are committed. */
  readonly complete: boolean
  /**
   * Whether the finished file has its name. `false` while a complete upload waits for that: no client is told yet that
   * it is finished. `undefined` where the storage has nothing to publish.
   */
  readonly published?: boolean | undefined
  /** Whether the finished file takes the place of the one that has its name. */
  readonly overwrite?: boolean | undefined
  /** Its role in a concatenation; `undefined` for an upload on its own. */
  readonly concat?: Concat | undefined
  /** What is left to be done once it is complete; `undefined` if that is nothing, or it is not complete. */
  readonly completion?: Completion | undefined
  /** Who writes to it at the moment, as far as the storage knows. The claim may have run out. */
  readonly holder: Holder | undefined
}

/** What is left of an upload that was removed, for as long as requests for it are answered by more than 404. */
export interface Tombstone {
  /** The status of the answer. */
  readonly status: number
  /** Until when, in milliseconds since the epoch. */
  readonly untilMs: number
}

/** An upload that is to be created. */
export interface NewUpload
  extends Omit<Upload, 'offset' | 'complete' | 'published' | 'completion' | 'holder' | 'activeAtMs'> {
  /**
   * Whether the id was just made of 128 random bits, and the name is the id: no other upload can have either, nor a
   * name above or below it, so that a storage need look for nothing but the id.
   */
  readonly isFresh?: boolean | undefined
}

/** The record of an upload that was created just now. */
export function untouched(upload: NewUpload): Upload {
  const { id, name, length, metadata, attributes, createdAtMs, overwrite, concat } = upload
  return {
    id,
    name,
    length,
    offset: 0,
    metadata,
    attributes,
    createdAtMs,
    activeAtMs: createdAtMs,
    complete: false,
    overwrite,
    concat,
    holder: undefined,
  }
}

/** Whether an upload has all its bytes, and its finished file no name yet. */
export function isUnpublished({ complete, published }: Pick<Upload, 'complete' | 'published'>): boolean {
  return complete && published === false
}

/** Whether an upload is the one of its id that was created at a time: ids may come again. `undefined` is any time. */
export function isFrom({ createdAtMs }: Pick<Upload, 'createdAtMs'>, atMs: number | undefined): boolean {
  return atMs === undefined || createdAtMs === atMs
}

/** Whether an upload is a part of others, and never a finished file by itself. */
export function isPartial({ concat }: Pick<Upload, 'concat'>): boolean {
  return concat !== undefined && concat.partials === undefined
}

/**
 * Whether an upload is a finished file that may be handed out: all bytes are committed, the file has its name, nobody
 * holds it any more, and the hook has approved it where the server has one. For routes and jobs of your own that read
 * files without asking the upload server.
 *
 * `upload.complete` alone is too early: `onUploadComplete`, or `onChunkReceived` for the last chunk, may still refuse
 * the file. Partial uploads of a concatenation are never files.
 * @param upload - the record, as `storage.get(id)` gives it
 * @param nowMs - milliseconds since the epoch
 */
export function isSettled(upload: Upload | undefined, nowMs = Date.now()): upload is Upload {
  if (!upload?.complete || isPartial(upload) || isUnpublished(upload)) return false
  const { completion, holder } = upload
  // Whoever wrote the last chunk holds it until that chunk is approved. Once the hook has seen all of it, that is long
  // ago.
  return completion?.settled ?? (holder === undefined || holder.leaseUntilMs <= nowMs)
}

/** Whether two holders are one and the same, which has not prolonged its claim in between. */
export function isSameHolder(one: Holder, other: Holder | undefined): boolean {
  return one.owner === other?.owner && one.leaseUntilMs === other.leaseUntilMs
}
