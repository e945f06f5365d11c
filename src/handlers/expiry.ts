// When uploads expire, and what is said of it.

import type { Core } from '../core.js'
import { isPartial, type Upload } from '../upload.js'

/** What the time of expiry depends on. */
export type Expiring = Pick<Upload, 'activeAtMs' | 'complete' | 'completion' | 'concat'>

/**
 * When an upload expires, in milliseconds since the epoch; `undefined` if it does not. A finished one does not before
 * it is settled, whatever comes of its hook. A final one that waits for partial ones lives as long as they do, in
 * addition.
 */
export function expiresAt({ options }: Pick<Core, 'options'>, upload: Expiring): number | undefined {
  const { expiration } = options
  const isFinished = upload.complete && !isPartial(upload)
  if (isFinished && upload.completion?.settled === false) return undefined
  const afterMs = isFinished ? expiration?.finishedAfterMs : expiration?.unfinishedAfterMs
  return afterMs === undefined ? undefined : upload.activeAtMs + afterMs
}

/** Like {@link expiresAt}, of a final upload that waits for partial ones: when the last of all of them expires. */
export function expiresWith(core: Core, final: Upload, partials: readonly (Upload | undefined)[]): number | undefined {
  if (partials.length === 0) return expiresAt(core, final)
  const activeAtMs = Math.max(final.activeAtMs, ...partials.map((partial) => partial?.activeAtMs ?? 0))
  return expiresAt(core, { ...final, activeAtMs })
}

/** `Upload-Expires`, if there is a time to say (https://tus.io/protocols/resumable-upload#upload-expires). */
export function expiryHeader(expiresAtMs: number | undefined): Record<string, string> {
  return expiresAtMs === undefined ? {} : { 'Upload-Expires': new Date(expiresAtMs).toUTCString() }
}
