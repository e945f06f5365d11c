// Every error of the protocol, in one table, and the one place that turns any error into an answer.

/**
 * The errors that a client can get, by code: the HTTP status and the sentence that is sent.
 *
 * The sentence is public. What went wrong inside (a path, a driver's message) belongs into `cause`, which only
 * the logger sees.
 */
export const ERRORS = {
  ERR_UNSUPPORTED_VERSION: { status: 412, message: 'Tus-Resumable must be 1.0.0' },
  ERR_METHOD_NOT_ALLOWED: { status: 405, message: 'Method not allowed here' },
  ERR_UNAUTHORIZED: { status: 401, message: 'Authentication is required' },
  ERR_FORBIDDEN: { status: 403, message: 'This is not allowed' },
  ERR_UNPROCESSABLE: { status: 422, message: 'The upload is not accepted' },
  ERR_TOO_MANY_REQUESTS: { status: 429, message: 'Too many requests' },
  ERR_NOT_FOUND: { status: 404, message: 'No such upload' },
  ERR_GONE: { status: 410, message: 'The upload is gone' },
  ERR_INVALID_LENGTH: { status: 400, message: 'Upload-Length must be a non-negative integer of at most 2^53-1' },
  ERR_LENGTH_REQUIRED: { status: 400, message: 'Either Upload-Length or Upload-Defer-Length: 1 is required' },
  ERR_LENGTH_TWICE: { status: 400, message: 'Upload-Length and Upload-Defer-Length exclude each other' },
  ERR_LENGTH_CHANGED: { status: 400, message: 'Upload-Length can not change once it is known' },
  ERR_LENGTH_BELOW_OFFSET: { status: 400, message: 'Upload-Length is below what is stored already' },
  ERR_INVALID_DEFER_LENGTH: { status: 400, message: 'Upload-Defer-Length must be 1' },
  ERR_INVALID_OFFSET: { status: 400, message: 'Upload-Offset must be a non-negative integer of at most 2^53-1' },
  ERR_INVALID_CONCAT: { status: 400, message: 'Upload-Concat must be "partial", or "final;" and a list of URLs' },
  ERR_NO_PARTIAL: { status: 400, message: 'Upload-Concat names something that is no partial upload' },
  ERR_LENGTH_OF_FINAL: { status: 400, message: 'The length of a final upload is that of its partial uploads' },
  ERR_FINAL: { status: 403, message: 'A final upload takes no bytes of its own' },
  ERR_PARTIAL_NEEDED: { status: 409, message: 'A final upload waits for this partial upload' },
  ERR_NO_CONCATENATION: { status: 501, message: 'Concatenation is not offered here' },
  ERR_INVALID_METADATA: { status: 400, message: 'Upload-Metadata must be a list of unique keys and Base64 values' },
  ERR_INVALID_CONTENT_TYPE: { status: 415, message: 'Content-Type must be application/offset+octet-stream' },
  ERR_OFFSET_MISMATCH: { status: 409, message: 'Upload-Offset is not the offset of the upload' },
  ERR_MAX_SIZE_EXCEEDED: { status: 413, message: 'The upload is larger than this server accepts' },
  ERR_BODY_TOO_LONG: { status: 413, message: 'The body runs past the length of the upload' },
  ERR_INVALID_CHECKSUM: { status: 400, message: 'Upload-Checksum must be an algorithm and a Base64 digest' },
  ERR_UNKNOWN_CHECKSUM_ALGORITHM: { status: 400, message: 'Upload-Checksum names an algorithm that is not offered' },
  ERR_CHECKSUM_MISMATCH: { status: 460, message: 'The body does not match its checksum' },
  ERR_EXISTS: { status: 409, message: 'An upload of this id or file name exists already' },
  ERR_METADATA_TOO_LARGE: { status: 413, message: 'Upload-Metadata is larger than this server accepts' },
  ERR_CHUNK_TOO_LARGE: { status: 413, message: 'The body is larger than this server accepts in one request' },
  ERR_BODY_INTERRUPTED: { status: 400, message: 'The body ended early; what arrived is stored' },
  ERR_BODY_CONSUMED: {
    status: 500,
    message: 'The body was consumed before the upload server saw it: mount it before body parsers',
  },
  ERR_LOCKED: { status: 423, message: 'The upload is in use by another request' },
  ERR_STOPPED: { status: 423, message: 'Another request took the upload over; what arrived is stored' },
  ERR_TOO_SLOW: { status: 408, message: 'The body came too slowly; what arrived is stored' },
  ERR_PROCESSING: { status: 423, message: 'The upload is being processed' },
  ERR_REJECTED: { status: 422, message: 'The upload was rejected' },
  ERR_CLOSING: { status: 503, message: 'The server is shutting down' },
  ERR_LOW_SPACE: { status: 507, message: 'There is not enough space left for the upload' },
  ERR_DISK_FULL: { status: 507, message: 'There is no space left for the upload' },
  ERR_INTERNAL: { status: 500, message: 'Internal server error' },
} as const

/** The `code` of a {@link TusError}. */
export type TusErrorCode = keyof typeof ERRORS

/** What a {@link TusError} may carry besides its code. */
export interface TusErrorOptions {
  /** The sentence for the client. Defaults to the table's. */
  readonly message?: string
  /** The HTTP status of the answer. Defaults to the table's. */
  readonly status?: number | undefined
  /** Headers of the answer besides those that every answer has. */
  readonly headers?: Readonly<Record<string, string>>
  /** What went wrong inside; logged, never sent. */
  readonly cause?: unknown
}

/** An error with an answer: thrown by handlers and storages, turned into a response in one place. */
export class TusError extends Error {
  override readonly name = 'TusError'
  /** Which error of the table it is. */
  readonly code: TusErrorCode
  /** The HTTP status of the answer. */
  readonly status: number
  /** Headers of the answer besides those that every answer has. */
  readonly headers: Readonly<Record<string, string>>

  /**
   * @param code - an entry of {@link ERRORS}
   * @param options - what differs from the table
   */
  constructor(code: TusErrorCode, options: TusErrorOptions = {}) {
    super(options.message ?? ERRORS[code].message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = options.status ?? ERRORS[code].status
    this.headers = options.headers ?? {}
  }
}

/** Codes by which file systems and SQLite (through either driver, or across a worker) say that there is no space. */
const NO_SPACE = new Set<unknown>(['ENOSPC', 'EDQUOT', 'EFBIG', 'SQLITE_FULL'])
const SQLITE_FULL = 13

/** Any error as a {@link TusError}: itself, a full disk as 507, everything else as a bare 500 with its cause. */
export function toTusError(error: unknown): TusError {
  if (error instanceof TusError) return error
  const { code, errcode } = (typeof error === 'object' && error !== null ? error : {}) as Record<string, unknown>
  // An error that crossed a worker or comes from a second copy of this package is no instance, but has our code.
  if (typeof code === 'string' && Object.hasOwn(ERRORS, code)) {
    return new TusError(code as TusErrorCode, { cause: error })
  }
  const full = NO_SPACE.has(code) || errcode === SQLITE_FULL
  return new TusError(full ? 'ERR_DISK_FULL' : 'ERR_INTERNAL', { cause: error })
}
