// POST: the creation extension, with -with-upload and -defer-length.

import { checksumOf } from '../checksum.js'
import type { Core } from '../core.js'
import { TusError, toTusError } from '../errors.js'
import { parseInteger } from '../headers/integer.js'
import { hookRequest } from '../hooks.js'
import { hasBody, type TusRequest, type TusResponse } from '../request.js'
import { untouched } from '../upload.js'
import { checkBodyForm } from './body-form.js'
import { expiresAt, expiryHeader } from './expiry.js'
import { createFinal, readConcat } from './final.js'
import { created, expiryOfFinished, finish } from './finish.js'
import { checkBodyLength, maxSizeFor } from './limits.js'
import { removeUpload } from './remove-upload.js'
import { readMetadata, reserve } from './reserve.js'
import { type Chunk, chunkOf, type Stored, storeBody, storedHeaders } from './store-body.js'

/**
 * Answers POST (https://tus.io/protocols/resumable-upload#creation).
 * @throws TusError for everything that the protocol refuses, before any of the body is read
 */
export async function createUpload(core: Core, request: TusRequest): Promise<TusResponse> {
  const role = readConcat(core, request)
  if (role?.kind === 'final') return createFinal(core, request, role.urls)
  const length = readLength(request)
  const maxSize = await maxSizeFor(core, request)
  if (length !== undefined && length > (maxSize ?? length)) throw new TusError('ERR_MAX_SIZE_EXCEEDED')
  const metadata = readMetadata(core, request)
  const withBody = hasBody(request)
  if (withBody) {
    checkBodyForm(request, 0)
    checkBodyLength(core, request, { offset: 0, length, maxSize })
  }
  const checksum = withBody ? checksumOf(request, core.options.checksumAlgorithms) : undefined

  await core.space.check(length ?? 0)
  const concat = role && { header: request.headers['upload-concat'] ?? role.kind, partials: undefined }
  const { upload: reserved, location } = await reserve(core, request, { length, metadata, concat })
  const { id } = reserved
  const headers: Record<string, string> = {
    Location: location,
    ...(concat && { 'Upload-Concat': concat.header }),
  }
  if (withBody || length === 0) {
    const chunk = chunkOf(core, request, { length, maxSize, checksum })
    const stored = await storeFirstChunk(core, request, id, chunk)
    const { completed } = stored
    if (completed !== undefined) {
      headers['Upload-Offset'] = String(stored.offset)
      return created(headers, async () => {
        const result = await finish(core, request, completed)
        Object.assign(headers, expiryHeader(expiryOfFinished(core, completed)))
        return result
      })
    }
    Object.assign(headers, storedHeaders(stored))
  } else {
    Object.assign(headers, expiryHeader(expiresAt(core, untouched(reserved))))
  }
  return { status: 201, headers, body: undefined }
}

function readLength({ headers }: TusRequest): number | undefined {
  const length = headers['upload-length']
  const defer = headers['upload-defer-length']
  if (length !== undefined && defer !== undefined) throw new TusError('ERR_LENGTH_TWICE')
  if (defer !== undefined) {
    if (defer !== '1') throw new TusError('ERR_INVALID_DEFER_LENGTH')
    return undefined
  }
  if (length === undefined) throw new TusError('ERR_LENGTH_REQUIRED')
  const value = parseInteger(length)
  if (value === undefined) throw new TusError('ERR_INVALID_LENGTH')
  return value
}

async function storeFirstChunk(core: Core, request: TusRequest, id: string, chunk: Chunk): Promise<Stored> {
  const claim = await core.claims.take(id, {})
  if (claim === undefined) throw new Error(`the upload ${id} is gone right after its creation`)
  try {
    return await storeBody(core, request, claim, chunk)
  } catch (error) {
    // The client is told of a failure and not of the URL, so nobody could go on with what would be left behind.
    const { code } = toTusError(error)
    if (code !== 'ERR_BODY_INTERRUPTED' && code !== 'ERR_STOPPED' && code !== 'ERR_TOO_SLOW') {
      const { createdAtMs } = claim.upload
      await removeUpload(core, id, { request: hookRequest(request), createdAtMs }).catch(core.report)
    }
    throw error
  }
}
