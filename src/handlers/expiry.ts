// When uploads expire, and what is said of it.

import type { Core } from '../core.js'

/**
 * When an upload expires that was created or moved just now, in milliseconds since the epoch; `null` if it does not.
 * @param complete - whether it is complete
 */
export function expiryOf(core: Core, complete: boolean): number | null {
  const { expiration, now } = core.options
  const afterMs = complete ? expiration?.finishedAfterMs : expiration?.unfinishedAfterMs
  return afterMs === undefined ? null : now() + afterMs
}

/** `Upload-Expires`, if there is a time to say (https://tus.io/protocols/resumable-upload#upload-expires). */
export function expiryHeader(expiresAtMs: number | undefined): Record<string, string> {
  return expiresAtMs === undefined ? {} : { 'Upload-Expires': new Date(expiresAtMs).toUTCString() }
}
