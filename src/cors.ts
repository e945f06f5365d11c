// CORS: who may use the server from pages of other origins, and what they may send and see.

import type { TusRequest } from './request.js'

/** Says whether pages of an origin may use the server. */
export type OriginCheck = (origin: string) => boolean | Promise<boolean>

/** Options for requests from pages of other origins. */
export interface CorsOptions {
  /**
   * Who may: one origin (`'https://app.example'`), a list, a function, or `'*'` for all.
   * @default '*'
   */
  readonly origin?: string | readonly string[] | OriginCheck
  /**
   * Whether cookies and HTTP authentication may come along. Not together with `'*'`.
   * @default false
   */
  readonly credentials?: boolean
  /**
   * How long a browser may remember the answer to a preflight, in seconds.
   * @default 86400
   */
  readonly maxAge?: number
  /** Headers that requests may have besides those of the protocol, such as `Authorization`. */
  readonly allowedHeaders?: readonly string[]
  /** Headers that pages may see besides those of the protocol. */
  readonly exposedHeaders?: readonly string[]
}

const ALLOWED_METHODS = 'POST, HEAD, PATCH, DELETE, OPTIONS, GET'

const ALLOWED_HEADERS = [
  'Content-Type',
  'Tus-Resumable',
  'Upload-Checksum',
  'Upload-Concat',
  'Upload-Defer-Length',
  'Upload-Length',
  'Upload-Metadata',
  'Upload-Offset',
  'X-HTTP-Method-Override',
  'X-Request-ID',
  'X-Requested-With',
]

const EXPOSED_HEADERS = [
  'Accept-Ranges',
  'Content-Disposition',
  'Content-Range',
  'ETag',
  'Location',
  'Retry-After',
  'Tus-Checksum-Algorithm',
  'Tus-Extension',
  'Tus-Max-Size',
  'Tus-Resumable',
  'Tus-Version',
  'Upload-Concat',
  'Upload-Defer-Length',
  'Upload-Expires',
  'Upload-Length',
  'Upload-Metadata',
  'Upload-Offset',
]

/** Makes the headers of answers to pages of other origins: of a preflight, or of any other request. */
export type Cors = (request: TusRequest) => Promise<Record<string, string>>

/**
 * Makes what {@link CorsOptions} describe (https://fetch.spec.whatwg.org/#http-cors-protocol).
 * @throws TypeError for `'*'` with credentials, which browsers refuse
 */
export function createCors(options: CorsOptions): Cors {
  const { origin: allowed = '*', credentials = false, maxAge = 86_400 } = options
  if (credentials && allowed === '*') throw new TypeError("TusServer: cors.credentials needs an origin other than '*'")
  const forAnswers = {
    ...(credentials && { 'Access-Control-Allow-Credentials': 'true' }),
    'Access-Control-Expose-Headers': [...EXPOSED_HEADERS, ...(options.exposedHeaders ?? [])].join(', '),
  }
  const forPreflights = {
    ...(credentials && { 'Access-Control-Allow-Credentials': 'true' }),
    'Access-Control-Allow-Methods': ALLOWED_METHODS,
    'Access-Control-Allow-Headers': [...ALLOWED_HEADERS, ...(options.allowedHeaders ?? [])].join(', '),
    'Access-Control-Max-Age': String(maxAge),
  }
  return async ({ method, headers }) => {
    const { origin } = headers
    // Caches must keep answers to different origins apart, also those to none.
    const vary: Record<string, string> = allowed === '*' ? {} : { Vary: 'Origin' }
    if (origin === undefined || !(await isAllowed(allowed, origin))) return vary
    const preflight = method === 'OPTIONS' && headers['access-control-request-method'] !== undefined
    return {
      ...vary,
      'Access-Control-Allow-Origin': allowed === '*' ? '*' : origin,
      ...(preflight ? forPreflights : forAnswers),
    }
  }
}

function isAllowed(allowed: string | readonly string[] | OriginCheck, origin: string): boolean | Promise<boolean> {
  if (typeof allowed === 'function') return allowed(origin)
  return typeof allowed === 'string' ? allowed === '*' || allowed === origin : allowed.includes(origin)
}
