// What is said of an upload that is not there, or not any more.

import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import type { Storage } from '../storage/storage.js'
import { isPartial, type Tombstone, type Upload } from '../upload.js'

/** Whether an upload's time is over, swept away or not. */
export function isExpired({ options }: Core, upload: Upload): boolean | Promise<boolean> {
  const { expiresAtMs } = upload
  if (options.expiration === undefined || expiresAtMs === undefined || expiresAtMs > options.now()) return false
  return isPartial(upload) ? isUnneeded(options.storage, upload.id) : true
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
