// Which of the uploads in memory have expired.

import { isPartial } from '../../upload.js'
import type { StoredUpload } from '../parts.js'
import type { ExpiredRequest } from '../storage.js'

/** What is asked of the other records. */
export interface Neighbours {
  /** Whether a final upload waits for a partial one. */
  isWaitedFor(id: string): boolean
  get(id: string): StoredUpload | undefined
}

/** The ids of those that have expired, as {@link Storage.expired} has it. */
export function expiredOf(
  uploads: Iterable<StoredUpload>,
  { unfinishedSinceMs, finishedSinceMs, limit }: ExpiredRequest,
  neighbours: Neighbours,
  nowMs: number,
): readonly string[] {
  const [unfinished, finished]: [StoredUpload[], StoredUpload[]] = [[], []]
  for (const upload of uploads) {
    const isFinished = upload.complete && !isPartial(upload)
    const sinceMs = isFinished ? finishedSinceMs : unfinishedSinceMs
    if (sinceMs === undefined || !isIdle(upload, sinceMs, nowMs) || upload.completion?.settled === false) continue
    if (isNeeded(upload, neighbours, (partial) => !isIdle(partial, sinceMs, nowMs))) continue
    const list = isFinished ? finished : unfinished
    list.push(upload)
  }
  for (const list of [unfinished, finished]) list.sort((one, other) => one.createdAtMs - other.createdAtMs)
  return [...unfinished, ...finished].slice(0, limit).map(({ id }) => id)
}

/** Whether nothing has come of an upload since a time, and nobody holds it. */
function isIdle({ activeAtMs, holder }: StoredUpload, sinceMs: number, nowMs: number): boolean {
  return activeAtMs <= sinceMs && (holder === undefined || holder.leaseUntilMs <= nowMs)
}

/** Whether a final upload waits for a partial one, or for one that is active. */
function isNeeded(
  upload: StoredUpload,
  { isWaitedFor, get }: Neighbours,
  isActive: (partial: StoredUpload) => boolean,
): boolean {
  if (isPartial(upload)) return isWaitedFor(upload.id)
  if (upload.complete) return false
  return (upload.concat?.partials ?? []).some((id) => {
    const partial = get(id)
    return partial !== undefined && isActive(partial)
  })
}
