// HEAD: how far an upload has come.

import { assemble } from '../assembly.js'
import type { Core } from '../core.js'
import type { TusRequest, TusResponse } from '../request.js'
import { isFrom, type Upload } from '../upload.js'
import { expiresWith, expiryHeader } from './expiry.js'
import { isExpired, missing } from './missing.js'

/**
 * Answers HEAD (https://tus.io/protocols/resumable-upload#head). Whoever writes to the upload is asked to let go first,
 * so that the offset is the one at which the client can go on. A completion that is due is run, and waited for.
 * @param createdAtMs - of the upload that `onIncomingRequest` let the request through to, if it was asked
 * @throws TusError `ERR_NOT_FOUND`, `ERR_LOCKED`, `ERR_PROCESSING`
 */
export async function readOffset(
  core: Core,
  request: TusRequest,
  id: string,
  createdAtMs?: number,
): Promise<TusResponse> {
  const read = await settled(core, request, id, createdAtMs)
  if (read === undefined || (await isExpired(core, read))) throw await missing(core, id, read)
  const upload = read.complete ? await settledFile(core, request, read) : read
  if (upload === undefined || !isFrom(upload, read.createdAtMs)) throw await missing(core, id)
  const headers: Record<string, string> = { ...upload.completion?.result?.headers }
  const pending = upload.concat?.partials !== undefined && !upload.complete
  const partials = pending ? await partialsOf(core, upload) : []
  const length = pending ? lengthOf(partials) : upload.length
  // A final upload has no offset before it is assembled.
  if (!pending) headers['Upload-Offset'] = String(upload.offset)
  if (length !== undefined) headers['Upload-Length'] = String(length)
  else if (!pending) headers['Upload-Defer-Length'] = '1'
  if (upload.concat !== undefined) headers['Upload-Concat'] = upload.concat.header
  if (upload.metadata !== undefined) headers['Upload-Metadata'] = upload.metadata
  Object.assign(headers, expiryHeader(expiresWith(core, upload, partials)))
  return { status: 200, headers, body: undefined }
}

/** A complete upload once clients may be told of it. */
async function settledFile(core: Core, request: TusRequest, read: Upload): Promise<Upload | undefined> {
  const published = await core.publications.settled(read)
  return published && core.completions.settled(published, () => request.options.signal)
}

async function settled(
  core: Core,
  request: TusRequest,
  id: string,
  createdAtMs: number | undefined,
): Promise<Upload | undefined> {
  const upload = await core.claims.settled(id, { createdAtMs, signal: () => request.options.signal })
  if (upload === undefined || upload.complete || upload.concat?.partials === undefined) return upload
  // Its partial uploads may be complete, and a kill have come before it was assembled.
  if ((await assemble(core, id)) === 'unfinished') return upload
  core.completions.wake('copy')
  const now = await core.options.storage.get(id)
  return now !== undefined && isFrom(now, upload.createdAtMs) ? now : undefined
}

/** The partial uploads of a final one, in order. */
async function partialsOf({ options }: Core, { concat }: Upload): Promise<readonly (Upload | undefined)[]> {
  const ids = concat?.partials ?? []
  const found = new Map<string, Upload | undefined>()
  const read = async (id: string): Promise<void> => void found.set(id, await options.storage.get(id))
  // At one go, and each one once: a list may name one again and again.
  await Promise.all([...new Set(ids)].map(read))
  return ids.map((id) => found.get(id))
}

/** The length of a final upload, if that of all its partial uploads is known. */
function lengthOf(partials: readonly (Upload | undefined)[]): number | undefined {
  let sum = 0
  for (const partial of partials) {
    if (partial?.length === undefined) return undefined
    sum += partial.length
  }
  return sum
}
