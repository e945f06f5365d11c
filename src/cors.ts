// CORS: who may use the server from pages of other origins, and what they may send and see.

import { validateHeaderName } from 'node:http'
import { isRegExp } from 'node:util/types'
import { boolean, type Checks, integer, show } from './check-options.js'
import type { TusRequest } from './request.js'

/** Says whether pages of an origin may use the server. */
export type OriginCheck = (origin: string) => boolean | Promise<boolean>

/** Options for requests from pages of other origins. */
export interface CorsOptions {
  /**
   * Who may: one origin (`'https://app.example'`), a list, a function, or `'*'` for all. Origins are written as
   * browsers send them: in lower case, without a path, a slash at the end or the port that is the scheme's own.
   * @default '*'
   */
  readonly origin?: string | readonly string[] | OriginCheck | undefined
  /**
   * Whether cookies and HTTP authentication may come along. Not together with `'*'`.
   * @default false
   */
  readonly credentials?: boolean | undefined
  /**
   * How long a browser may remember the answer to a preflight, in seconds.
   * @default 86400
   */
  readonly maxAge?: number | undefined
  /**
   * Whether pages of a public network may reach a server on a private one
   * (https://wicg.github.io/private-network-access/), such as a storage at home: a browser that asks for it in a
   * preflight is told so. The origins decide who may at all.
   * @default false: a public page reaches no private server that does not say so
   */
  readonly privateNetwork?: boolean | undefined
  /** Headers that requests may have besides those of the protocol and `Authorization`. */
  readonly allowedHeaders?: readonly string[] | undefined
  /** Headers that pages may see besides those of the protocol. */
  readonly exposedHeaders?: readonly string[] | undefined
}

/** The checks of {@link CorsOptions}. */
export const CORS_CHECKS: Checks<CorsOptions> = {
  origin: areOrigins,
  credentials: boolean,
  privateNetwork: boolean,
  maxAge: integer(0),
  allowedHeaders: areHeaderNames,
  exposedHeaders: areHeaderNames,
}

/** What other packages call them. */
export const CORS_ALIASES: Readonly<Record<string, string>> = {
  allowedOrigins: 'cors.origin',
  origins: 'cors.origin',
  allowCredentials: 'cors.credentials',
  allowedCredentials: 'cors.credentials',
  headers: 'cors.allowedHeaders',
}

const ALLOWED_METHODS = ['POST', 'HEAD', 'PATCH', 'DELETE', 'OPTIONS', 'GET']

const ALLOWED_HEADERS = [
  'Authorization',
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

/** Whether a browser asks for leave to send a request (https://fetch.spec.whatwg.org/#cors-preflight-fetch). */
export function isPreflight({ method, headers }: TusRequest): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined
}

function asksForPrivateNetwork(request: TusRequest): boolean {
  return isPreflight(request) && request.headers['access-control-request-private-network'] === 'true'
}

/** Makes the headers of answers to pages of other origins: of a preflight, or of any other request. */
export type Cors = (request: TusRequest) => Promise<Record<string, string>>

/**
 * Makes what {@link CorsOptions} describe (https://fetch.spec.whatwg.org/#http-cors-protocol).
 * @throws TypeError for `'*'` with credentials, which browsers refuse
 */
export function createCors(options: CorsOptions, { termination }: { readonly termination: boolean }): Cors {
  const { origin: allowed = '*', credentials = false, maxAge = 86_400, privateNetwork = false } = options
  if (credentials && allowed === '*') throw new TypeError("TusServer: cors.credentials needs an origin other than '*'")
  const forAnswers = {
    ...(credentials && { 'Access-Control-Allow-Credentials': 'true' }),
    'Access-Control-Expose-Headers': [...EXPOSED_HEADERS, ...(options.exposedHeaders ?? [])].join(', '),
  }
  const forPreflights = {
    ...(credentials && { 'Access-Control-Allow-Credentials': 'true' }),
    'Access-Control-Allow-Methods': ALLOWED_METHODS.filter((method) => termination || method !== 'DELETE').join(', '),
    'Access-Control-Allow-Headers': [...ALLOWED_HEADERS, ...(options.allowedHeaders ?? [])].join(', '),
    'Access-Control-Max-Age': String(maxAge),
  }
  return async (request) => {
    const { headers } = request
    const { origin } = headers
    // Caches must keep answers to different origins apart, also those to none.
    const vary: Record<string, string> = allowed === '*' ? {} : { Vary: 'Origin' }
    if (origin === undefined || !(await isAllowed(allowed, origin))) return vary
    return {
      ...vary,
      'Access-Control-Allow-Origin': allowed === '*' ? '*' : origin,
      ...(isPreflight(request) ? forPreflights : forAnswers),
      ...(privateNetwork && asksForPrivateNetwork(request) && { 'Access-Control-Allow-Private-Network': 'true' }),
    }
  }
}

function isAllowed(allowed: string | readonly string[] | OriginCheck, origin: string): boolean | Promise<boolean> {
  if (typeof allowed === 'function') return allowed(origin)
  return typeof allowed === 'string' ? allowed === '*' || allowed === origin : allowed.includes(origin)
}

// An origin as browsers send it (https://html.spec.whatwg.org/#ascii-serialisation-of-an-origin): those of applications
// have schemes of their own (capacitor://localhost), of which URL.origin knows nothing.
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@\\A-Z]+$/

function areOrigins(value: unknown): string | undefined {
  if (typeof value === 'function' || value === '*') return undefined
  if (!Array.isArray(value)) return isOrigin(value)
  for (const one of value) {
    const wanted = one === '*' ? "without '*', which stands alone" : isOrigin(one)
    if (wanted !== undefined) return `a list of origins: ${show(one)} must be ${wanted}`
  }
  return undefined
}

function isOrigin(value: unknown): string | undefined {
  if (typeof value !== 'string') {
    const instead = value === true ? "'*'" : isRegExp(value) ? `(origin) => ${value}.test(origin)` : undefined
    return `an origin, a list of them, a function, or '*'${instead === undefined ? '' : ` (for this one write ${instead})`}`
  }
  if (value === 'null')
    return 'an origin (null is what any sandboxed page sends: let a function allow it, if it must be)'
  const meant = URL.canParse(value) ? new URL(value).origin : undefined
  if (meant === value || (meant === 'null' && ORIGIN.test(value))) return undefined
  const instead = meant === undefined || meant === 'null' ? 'https://app.example' : meant
  return `an origin as browsers send it, such as '${instead}'`
}

function areHeaderNames(value: unknown): string | undefined {
  const names: readonly unknown[] = Array.isArray(value) ? value : [undefined]
  return names.every(isHeaderName) ? undefined : "a list of header names, such as ['X-Mine']"
}

function isHeaderName(name: unknown): boolean {
  try {
    validateHeaderName(name as string)
    return true
  } catch {
    return false
  }
}

/** Adds headers of CORS to those of an answer, which may have a `Vary` of its own. */
export function addCors(headers: Record<string, string>, cors: Record<string, string>): void {
  const { Vary: vary } = headers
  Object.assign(headers, cors)
  if (vary !== undefined && cors.Vary !== undefined) headers.Vary = `${vary}, ${cors.Vary}`
}
