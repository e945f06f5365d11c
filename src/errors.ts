// Every error of the protocol, in one table, and the one place that turns any error into an answer.

import { validateHeaderName, validateHeaderValue } from 'node:http'
import { anything, type Checks, checkOptions, nearest, show } from './check-options.js'

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
  ERR_FILE_MISSING: { status: 404, message: 'The file of this upload is not there any more' },
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
  ERR_TOO_MANY_PARTIALS: { status: 413, message: 'Upload-Concat names more partial uploads than this server accepts' },
  ERR_TOO_MANY_FINALS: { status: 409, message: 'Too many final uploads wait for this partial upload already' },
  ERR_NO_CONCATENATION: { status: 501, message: 'Concatenation is not offered here' },
  ERR_INVALID_METADATA: { status: 400, message: 'Upload-Metadata must be a list of unique keys and Base64 values' },
  ERR_INVALID_CONTENT_TYPE: { status: 415, message: 'Content-Type must be application/offset+octet-stream' },
  ERR_CONTENT_ENCODING: { status: 415, message: 'The body must be sent without a Content-Encoding' },
  ERR_TRANSFER_ENCODING: { status: 501, message: 'Of transfer codings only chunked is supported' },
  ERR_CONTENT_RANGE: { status: 400, message: 'Content-Range does not begin at Upload-Offset' },
  ERR_OFFSET_MISMATCH: { status: 409, message: 'Upload-Offset is not the offset of the upload' },
  ERR_MAX_SIZE_EXCEEDED: { status: 413, message: 'The upload is larger than this server accepts' },
  ERR_BODY_TOO_LONG: { status: 413, message: 'The body runs past the length of the upload' },
  ERR_INVALID_CHECKSUM: { status: 400, message: 'Upload-Checksum must be an algorithm and a Base64 digest' },
  ERR_UNKNOWN_CHECKSUM_ALGORITHM: { status: 400, message: 'Upload-Checksum names an algorithm that is not offered' },
  ERR_CHECKSUM_UNANNOUNCED: {
    status: 400,
    message: 'Upload-Checksum came as a trailer that Trailer did not announce, after a body too large to verify then',
  },
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
  ERR_UNAVAILABLE: { status: 503, message: 'The uploads are not available at the moment' },
  ERR_LOW_SPACE: { status: 507, message: 'There is not enough space left for the upload' },
  ERR_DISK_FULL: { status: 507, message: 'There is no space left for the upload' },
  ERR_INTERNAL: { status: 500, message: 'Internal server error' },
} as const

/** The `code` of a {@link TusError}. */
export type TusErrorCode = keyof typeof ERRORS

/** What a {@link TusError} may carry besides its code. */
export interface TusErrorOptions {
  /** The sentence for the client. Defaults to the table's. */
  readonly message?: string | undefined
  /** The HTTP status of the answer: 300 to 599. Defaults to the table's. */
  readonly status?: number | undefined
  /** Headers of the answer besides those that every answer has. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** What went wrong inside; logged, never sent. */
  readonly cause?: unknown
}

/**
 * What makes an error a TusError, in whichever copy of this package its class lies: an application may have the ES
 * module beside the CommonJS build, one copy in each of two bundles, or two versions.
 */
const BRAND = Symbol.for('resumable-upload.TusError')

const CHECKS: Checks<TusErrorOptions> = {
  message: (value) => (typeof value === 'string' ? undefined : 'a string'),
  status: (value) => (isStatus(value) ? undefined : 'a status from 300 to 599'),
  headers: (value) => (isHeaders(value) ? undefined : 'an object of header names and strings'),
  cause: anything,
}

/** An error with an answer: thrown by handlers, hooks and storages, turned into a response in one place. */
export class TusError extends Error {
  static {
    Object.defineProperty(TusError.prototype, BRAND, { value: true })
  }

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
   * @throws TypeError if there is no such code, or the answer could not be sent
   */
  constructor(code: TusErrorCode, options: TusErrorOptions = {}) {
    if (!Object.hasOwn(ERRORS, code)) throw unknownCode(code)
    checkOptions('TusError', options, CHECKS)
    super(options.message ?? ERRORS[code].message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.status = options.status ?? ERRORS[code].status
    this.headers = options.headers ?? {}
  }
}

/**
 * Whether an error is a {@link TusError}, and so a refusal with an answer: of this copy of the package or of another
 * one, where `instanceof` says no. A `code` that happens to be one of {@link ERRORS} makes no TusError. A newer
 * version's may have a `code` that is not in this version's table.
 */
export function isTusError(error: unknown): error is TusError {
  if (typeof error !== 'object' || error === null) return false
  try {
    const { code, status, message, headers } = error as Partial<TusError>
    if ((error as { readonly [BRAND]?: unknown })[BRAND] !== true) return false
    return typeof code === 'string' && typeof message === 'string' && isStatus(status) && isHeaders(headers)
  } catch {
    // A getter of it throws.
    return false
  }
}

/**
 * Makes a TusError of what another copy of the package, or a worker, says of one. A newer version may have a code that
 * is unknown here: its answer is the same all the same.
 */
export function adoptTusError(error: Pick<TusError, 'code' | 'status' | 'message' | 'headers' | 'cause'>): TusError {
  const { code, status, message, headers, cause } = error
  return new TusError(Object.hasOwn(ERRORS, code) ? code : 'ERR_REJECTED', { status, message, headers, cause })
}

/** Codes by which file systems and SQLite (through either driver, or across a worker) say that there is no space. */
const NO_SPACE = new Set<unknown>(['ENOSPC', 'EDQUOT', 'EFBIG', 'SQLITE_FULL'])
const SQLITE_FULL = 13
/** The code by which a storage says that it is not there, and may be a moment later. */
const UNAVAILABLE = 'EUNAVAILABLE'

/**
 * Any error as a {@link TusError}: itself, a full disk as 507, a storage that is away as 503, everything else as a bare
 * 500 with its cause.
 */
export function toTusError(error: unknown): TusError {
  if (isTusError(error)) return Object.hasOwn(ERRORS, error.code) ? error : adoptTusError(error)
  const code = codeFor(error)
  return new TusError(code, { cause: error, ...(code === 'ERR_UNAVAILABLE' && { headers: { 'Retry-After': '1' } }) })
}

function codeFor(error: unknown): TusErrorCode {
  if (typeof error !== 'object' || error === null) return 'ERR_INTERNAL'
  try {
    const { code, errcode } = error as Readonly<Record<string, unknown>>
    if (NO_SPACE.has(code) || errcode === SQLITE_FULL) return 'ERR_DISK_FULL'
    return code === UNAVAILABLE ? 'ERR_UNAVAILABLE' : 'ERR_INTERNAL'
  } catch {
    return 'ERR_INTERNAL'
  }
}

function isStatus(status: unknown): status is number {
  return Number.isInteger(status) && (status as number) >= 300 && (status as number) <= 599
}

/** Whether Node will send them. */
function isHeaders(headers: unknown): headers is Readonly<Record<string, string>> {
  if (typeof headers !== 'object' || headers === null) return false
  try {
    return Object.entries(headers).every(([name, value]) => {
      validateHeaderName(name)
      validateHeaderValue(name, value)
      return typeof value === 'string'
    })
  } catch {
    return false
  }
}

function unknownCode(code: unknown): TypeError {
  const meant = typeof code === 'string' ? nearest(code, Object.keys(ERRORS)) : undefined
  return new TypeError(`TusError: unknown code ${show(code)}${meant === undefined ? '' : `: did you mean ${meant}?`}`)
}
