// What is said of an upload that is not there, or not any more.

import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import type { Storage } from '../storage/storage.js'
import { isPartial, type Tombstone, type Upload } from '../upload.js'
import { expiresAt, expiresWith } from './expiry.js'

/**
 * Whether an upload's time is over, swept away or not.
 * @param isOurs - whether the claim that the record tells of is the caller's; under another one it does not expire
 */
export function isExpired(core: Core, upload: Upload, isOurs = false): boolean | Promise<boolean> {
  const { storage, now } = core.options
  const expiresAtMs = expiresAt(core, upload)
  if (expiresAtMs === undefined || expiresAtMs > now() || (!isOurs && isHeld(core, upload))) return false
  if (isPartial(upload)) return isUnneeded(storage, upload.id)
  const partials = upload.concat?.partials
  return partials === undefined || upload.complete ? true : isLastOf(core, upload, partials)
}

function isHeld({ options }: Core, { holder }: Upload): boolean {
  return holder !== undefined && holder.leaseUntilMs > options.now()
}

/** Whether the time of all partial uploads is over as well that a final one waits for. */
async function isLastOf(core: Core, final: Upload, ids: readonly string[]): Promise<boolean> {
  for (const id of new Set(ids)) {
    const partial = await core.options.storage.get(id)
    if (partial === undefined) continue
    if (isHeld(core, partial) || (expiresWith(core, final, [partial]) ?? 0) > core.options.now()) return false
  }
  return true
}

/** Whether no final upload waits for a partial one. */
export async function isUnneeded(storage: Storage, id: string): Promise<boolean> {
  return ((await storage.waitingFinals?.(id)) ?? []).length === 0
}

/** For how long something is remembered of an upload, unless expired ones are remembered for another time. */
const REMEMBER_MS = 7 * 24 * 60 * 60_000

/** What is kept of an upload that is removed now. */
export function tombstoneOf({ options }: Core, status: number): Tombstone {
  return { status, untilMs: options.now() + (options.expiration?.rememberMs ?? REMEMBER_MS) }
}

/**
 * The error for an upload that is not there: 410 if it has expired and is still remembered, the status by which it was
 * rejected, else 404
 * (https://tus.io/protocols/resumable-upload#upload-expires).
 * @param upload - the record of one that has expired and was not swept away yet
 */
export async function missing(core: Core, id: string, upload?: Upload): Promise<TusError> {
  if (upload !== undefined) return new TusError('ERR_GONE')
  const tombstone = await core.options.storage.tombstone?.(id)
  if (tombstone === undefined) return new TusError('ERR_NOT_FOUND')
  const { status } = tombstone
  return status === 410 ? new TusError('ERR_GONE') : new TusError('ERR_REJECTED', { status })
}
