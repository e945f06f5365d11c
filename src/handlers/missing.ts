// What is said of an upload that is not there, or not any more.

import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import type { Upload } from '../upload.js'

/** Whether an upload's time is over, swept away or not. */
export function isExpired({ options }: Core, { expiresAtMs }: Upload): boolean {
  return options.expiration !== undefined && expiresAtMs !== undefined && expiresAtMs <= options.now()
}

/**
 * The error for an upload that is not there: 410 if it has expired and is still remembered, else 404
 * (https://tus.io/protocols/resumable-upload#upload-expires).
 * @param upload - the record of one that has expired and was not swept away yet
 */
export async function missing(core: Core, id: string, upload?: Upload): Promise<TusError> {
  const gone = upload !== undefined || (await core.options.storage.tombstone?.(id)) !== undefined
  return new TusError(gone ? 'ERR_GONE' : 'ERR_NOT_FOUND')
}
