// The answer that an error becomes.

import type { Core } from './core.js'
import { type TusErrorCode, toTusError } from './errors.js'
import { asksForFile } from './handlers/describe-file.js'
import type { ErrorContext } from './options.js'
import type { TusRequest, TusResponse } from './request.js'

/** Refusals with a status of 5xx: nothing went wrong. */
const DELIBERATE: ReadonlySet<TusErrorCode> = new Set([
  'ERR_CLOSING',
  'ERR_LOW_SPACE',
  'ERR_NO_CONCATENATION',
  'ERR_TRANSFER_ENCODING',
])

/**
 * The answer to a request that failed.
 * @param report - told of what no client may see in full
 */
export function errorResponse(
  core: Core,
  request: TusRequest,
  thrown: unknown,
  report: (cause: unknown, context: ErrorContext) => void,
): TusResponse {
  const { method, path, options } = request
  const error = toTusError(thrown)
  const { headers, code } = error
  const internal = error.status >= 500 && !DELIBERATE.has(code)
  const cause = error.cause ?? error
  if (internal || code === 'ERR_FILE_MISSING') report(cause, { method, path, context: options.context })
  const isTusHead = method === 'HEAD' && !asksForFile(core, request)
  // Clients take any other failure of HEAD for the end of the upload and start a new one.
  if (isTusHead && error.status >= 500) {
    return { status: 423, headers: { 'Retry-After': '1', ...headers }, body: undefined }
  }
  if (isTusHead) return { status: error.status, headers, body: undefined }
  return {
    status: error.status,
    headers: { 'Content-Type': 'text/plain; charset=utf-8', ...headers },
    body: method === 'HEAD' ? undefined : Buffer.from(`${error.message}\n`),
    // Clients go on after a broken connection; after a 4xx they may give up.
    ...((code === 'ERR_STOPPED' || code === 'ERR_TOO_SLOW') && { destroy: true }),
    ...(internal && { error: cause }),
  }
}
