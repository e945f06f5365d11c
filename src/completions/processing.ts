// The refusal of a request for an upload that is complete and not completed yet.

import { TusError } from '../errors.js'

/** @param retryAfterMs - when it is worth coming back, in milliseconds */
export function processing(retryAfterMs = 1000): TusError {
  const seconds = Math.max(Math.ceil(retryAfterMs / 1000), 1)
  return new TusError('ERR_PROCESSING', { headers: { 'Retry-After': String(seconds) } })
}
