// PATCH: appends a chunk to an upload.

import { CHUNK_TYPE, type Core } from '../core.js'
import { TusError } from '../errors.js'
import { parseContentLength, parseInteger } from '../headers/integer.js'
import { hasBody, type TusRequest, type TusResponse } from '../request.js'
import type { Upload } from '../upload.js'
import { storeBody } from './store-body.js'

const EMPTY = new Uint8Array(0)

/** What the headers of a PATCH say. */
interface Patch {
  readonly offset: number
  /** The length of the upload, where this PATCH brings it. */
  readonly declared: number | undefined
  readonly bodyLength: number | undefined
  readonly hasBody: boolean
}

/**
 * Answers PATCH (https://tus.io/protocols/resumable-upload#patch).
 * @throws TusError for everything that the protocol refuses, before any of the body is read
 */
export async function appendChunk(core: Core, request: TusRequest, id: string): Promise<TusResponse> {
  const patch = readPatch(request)
  const { claims, options } = core
  const before = await options.storage.get(id)
  if (before === undefined) throw new TusError('ERR_NOT_FOUND')
  const position = claims.positionOf(id) ?? before.offset
  // A holder in another process may be further than its last commit, so a higher offset than ours is left to the claim.
  if (patch.offset < position || (patch.offset > position && before.holder === undefined)) mismatch()
  const length = checkPatch(core, patch, before)
  if (before.complete && !patch.hasBody) return done(patch.offset)

  const claim = await claims.take(id, { offset: patch.offset, signal: () => request.options.signal })
  if (claim === undefined) throw new TusError('ERR_NOT_FOUND')
  try {
    if (claim.upload.offset !== patch.offset) mismatch()
    checkPatch(core, patch, claim.upload)
  } catch (error) {
    await claim.release()
    throw error
  }
  return done(await storeBody(core, claim, { body: request.body ?? EMPTY, length: length ?? claim.upload.length }))
}

function readPatch(request: TusRequest): Patch {
  const { headers } = request
  if (headers['content-type']?.split(';')[0]?.trim().toLowerCase() !== CHUNK_TYPE) {
    throw new TusError('ERR_INVALID_CONTENT_TYPE')
  }
  const offset = parseInteger(headers['upload-offset'])
  if (offset === undefined) throw new TusError('ERR_INVALID_OFFSET')
  const declared = parseInteger(headers['upload-length'])
  if (declared === undefined && headers['upload-length'] !== undefined) throw new TusError('ERR_INVALID_LENGTH')
  return { offset, declared, bodyLength: parseContentLength(headers['content-length']), hasBody: hasBody(request) }
}

/** What can refuse a PATCH whose offset is right. Returns the length of the upload, if it is known with this PATCH. */
function checkPatch(core: Core, { offset, declared, bodyLength }: Patch, upload: Upload): number | undefined {
  const { maxSize = Number.MAX_SAFE_INTEGER } = core.options
  if (declared !== undefined) {
    if (upload.length !== undefined && upload.length !== declared) throw new TusError('ERR_LENGTH_CHANGED')
    if (declared < offset) throw new TusError('ERR_LENGTH_BELOW_OFFSET')
    if (declared > maxSize) throw new TusError('ERR_MAX_SIZE_EXCEEDED')
  }
  const length = upload.length ?? declared
  if (bodyLength !== undefined && offset + bodyLength > (length ?? maxSize)) {
    throw new TusError(length === undefined ? 'ERR_MAX_SIZE_EXCEEDED' : 'ERR_BODY_TOO_LONG')
  }
  return length
}

function mismatch(): never {
  throw new TusError('ERR_OFFSET_MISMATCH')
}

function done(offset: number): TusResponse {
  return { status: 204, headers: { 'Upload-Offset': String(offset) }, body: undefined }
}
