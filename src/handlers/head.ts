// HEAD: how far an upload has come.

import type { Core } from '../core.js'
import type { TusRequest, TusResponse } from '../request.js'
import { expiryHeader } from './expiry.js'
import { isExpired, missing } from './missing.js'

/**
 * Answers HEAD (https://tus.io/protocols/resumable-upload#head). Whoever writes to the upload is asked to let go first,
 * so that the offset is the one at which the client can go on.
 * @throws TusError `ERR_NOT_FOUND`, `ERR_LOCKED`
 */
export async function readOffset(core: Core, request: TusRequest, id: string): Promise<TusResponse> {
  const upload = await core.claims.settled(id, { signal: () => request.options.signal })
  if (upload === undefined || isExpired(core, upload)) throw await missing(core, id, upload)
  const headers: Record<string, string> = { 'Upload-Offset': String(upload.offset) }
  if (upload.length === undefined) headers['Upload-Defer-Length'] = '1'
  else headers['Upload-Length'] = String(upload.length)
  if (upload.metadata !== undefined) headers['Upload-Metadata'] = upload.metadata
  Object.assign(headers, expiryHeader(upload.expiresAtMs))
  return { status: 200, headers, body: undefined }
}
