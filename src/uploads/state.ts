// What has become of an upload, in one word.

import { isPartial, isSettled, type Upload } from '../upload.js'

/**
 * `unfinished`: bytes are missing, or its length is unknown; `waiting`: a final upload whose partial uploads are not
 * all complete; `processing`: all bytes are there, and `onUploadComplete` has not succeeded, or the file is not made
 * yet; `finished`: nothing is left to be done. What was removed, expired or rejected has no state: it is gone.
 */
export type UploadState = (typeof UPLOAD_STATES)[number]

/** All states. */
export const UPLOAD_STATES = ['unfinished', 'waiting', 'processing', 'finished'] as const

/**
 * The state of an upload.
 * @param upload - the record
 * @param nowMs - milliseconds since the epoch
 */
export function stateOf(upload: Upload, nowMs: number): UploadState {
  if (!upload.complete) return upload.concat?.partials === undefined ? 'unfinished' : 'waiting'
  const isDone = isPartial(upload) ? !isHeld(upload, nowMs) : isSettled(upload, nowMs)
  return isDone ? 'finished' : 'processing'
}

/** Whether all bytes of an upload in this state are there. */
export function isComplete(state: UploadState): boolean {
  return state === 'processing' || state === 'finished'
}

/** Whether an upload is being written to, as far as the storage knows. */
export function isHeld({ holder }: Upload, nowMs: number): boolean {
  return holder !== undefined && holder.leaseUntilMs > nowMs
}
