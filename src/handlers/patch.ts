// PATCH: appends a chunk to an upload.

import { checksumOf } from '../checksum.js'
import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import { parseInteger } from '../headers/integer.js'
import { isChunkType } from '../headers/media-type.js'
import { hasBody, type TusRequest, type TusResponse } from '../request.js'
import type { Upload } from '../upload.js'
import { checkBodyLength, maxSizeFor } from './limits.js'
import { isExpired, missing } from './missing.js'
import { type Stored, storeBody, storedHeaders } from './store-body.js'

const EMPTY = new Uint8Array(0)

/** What the headers of a PATCH say. */
interface Patch {
  readonly offset: number
  /** The length of the upload, where this PATCH brings it. */
  readonly declared: number | undefined
  readonly maxSize: number | undefined
}

/**
 * Answers PATCH (https://tus.io/protocols/resumable-upload#patch).
 * @throws TusError for everything that the protocol refuses, before any of the body is read
 */
export async function appendChunk(core: Core, request: TusRequest, id: string): Promise<TusResponse> {
  const { claims, options } = core
  const { offset, declared } = readPatch(request)
  const patch: Patch = { offset, declared, maxSize: await maxSizeFor(core, request) }
  const before = await options.storage.get(id)
  if (before === undefined || isExpired(core, before)) throw await missing(core, id, before)
  const position = claims.positionOf(id) ?? before.offset
  // A holder in another process may be further than its last commit, so a higher offset than ours is left to the claim.
  if (offset < position || (offset > position && before.holder === undefined)) mismatch()
  checkPatch(core, request, patch, before)
  const checksum = checksumOf(request, options.checksumAlgorithms)
  if (before.complete && !hasBody(request)) return done(before)

  const claim = await claims.take(id, { offset, signal: () => request.options.signal })
  if (claim === undefined) throw new TusError('ERR_NOT_FOUND')
  try {
    if (claim.upload.offset !== offset) mismatch()
    // Another request may have brought the length meanwhile.
    checkPatch(core, request, patch, claim.upload)
  } catch (error) {
    await claim.release()
    throw error
  }
  const length = claim.upload.length ?? declared
  const chunk = { body: request.body ?? EMPTY, length, maxSize: patch.maxSize, checksum }
  return done(await storeBody(core, request, claim, chunk))
}

function readPatch({ headers }: TusRequest): { offset: number; declared: number | undefined } {
  if (!isChunkType(headers['content-type'])) throw new TusError('ERR_INVALID_CONTENT_TYPE')
  const offset = parseInteger(headers['upload-offset'])
  if (offset === undefined) throw new TusError('ERR_INVALID_OFFSET')
  const declared = parseInteger(headers['upload-length'])
  if (declared === undefined && headers['upload-length'] !== undefined) throw new TusError('ERR_INVALID_LENGTH')
  return { offset, declared }
}

/** What can refuse a PATCH whose offset is right. */
function checkPatch(core: Core, request: TusRequest, { offset, declared, maxSize }: Patch, upload: Upload): void {
  if (declared !== undefined) {
    if (upload.length !== undefined && upload.length !== declared) throw new TusError('ERR_LENGTH_CHANGED')
    if (declared < offset) throw new TusError('ERR_LENGTH_BELOW_OFFSET')
    if (declared > (maxSize ?? declared)) throw new TusError('ERR_MAX_SIZE_EXCEEDED')
  }
  checkBodyLength(core, request, { offset, length: upload.length ?? declared, maxSize })
}

function mismatch(): never {
  throw new TusError('ERR_OFFSET_MISMATCH')
}

function done(stored: Stored): TusResponse {
  return { status: 204, headers: storedHeaders(stored), body: undefined }
}
