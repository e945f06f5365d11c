// The record of one upload.

/** Who holds the exclusive right to write to an upload, and until when. */
export interface Holder {
  /** Names the server instance that holds the claim. */
  readonly owner: string
  /** When the claim ends unless it is renewed, in milliseconds since the epoch. */
  readonly leaseUntilMs: number
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
  /** What the application keeps with it; never sent to clients. Anything that JSON can hold. */
  readonly attributes?: Readonly<Record<string, unknown>> | undefined
  /** When it was created, in milliseconds since the epoch. */
  readonly createdAtMs: number
  /** When it expires, in milliseconds since the epoch; `undefined` if it doesn't. */
  readonly expiresAtMs: number | undefined
  /** Whether all bytes are committed. */
  readonly complete: boolean
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
export type NewUpload = Omit<Upload, 'offset' | 'complete' | 'holder'>
