// POST: the creation extension, with -with-upload and -defer-length.

import { randomBytes } from 'node:crypto'
import { CHUNK_TYPE, type Core } from '../core.js'
import { TusError, toTusError } from '../errors.js'
import { parseContentLength, parseInteger } from '../headers/integer.js'
import { parseUploadMetadata } from '../headers/upload-metadata.js'
import { hasBody, type TusRequest, type TusResponse } from '../request.js'
import { storeBody } from './store-body.js'

/** 128 random bits, in lower case so that file systems that ignore case can't confuse two of them. */
const ID_BYTES = 16
const EMPTY = new Uint8Array(0)

/**
 * Answers POST (https://tus.io/protocols/resumable-upload#creation).
 * @throws TusError for everything that the protocol refuses, before any of the body is read
 */
export async function createUpload(core: Core, request: TusRequest): Promise<TusResponse> {
  const { storage, maxSize, now } = core.options
  const length = readLength(request)
  if (length !== undefined && length > (maxSize ?? length)) throw new TusError('ERR_MAX_SIZE_EXCEEDED')
  const metadata = request.headers['upload-metadata']
  if (metadata !== undefined && parseUploadMetadata(metadata) === undefined) throw new TusError('ERR_INVALID_METADATA')
  const withBody = hasBody(request)
  if (withBody) checkBody(request, length, maxSize)

  const id = randomBytes(ID_BYTES).toString('hex')
  const upload = { id, name: id, length, metadata, createdAtMs: now(), expiresAtMs: undefined }
  if ((await storage.create(upload)) === 'exists') throw new Error(`the id ${id} exists already`)
  const headers: Record<string, string> = { Location: locationOf(core, request, id) }
  if (withBody || length === 0) {
    headers['Upload-Offset'] = String(await storeFirstChunk(core, request, id, length))
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

function checkBody({ headers }: TusRequest, length: number | undefined, maxSize: number | undefined): void {
  if (headers['content-type']?.split(';')[0]?.trim().toLowerCase() !== CHUNK_TYPE) {
    throw new TusError('ERR_INVALID_CONTENT_TYPE')
  }
  const bodyLength = parseContentLength(headers['content-length']) ?? 0
  if (length !== undefined && bodyLength > length) throw new TusError('ERR_BODY_TOO_LONG')
  if (bodyLength > (maxSize ?? Number.MAX_SAFE_INTEGER)) throw new TusError('ERR_MAX_SIZE_EXCEEDED')
}

async function storeFirstChunk(
  core: Core,
  request: TusRequest,
  id: string,
  length: number | undefined,
): Promise<number> {
  const claim = await core.claims.take(id, {})
  if (claim === undefined) throw new Error(`the upload ${id} is gone right after its creation`)
  try {
    return await storeBody(core, claim, { body: request.body ?? EMPTY, length })
  } catch (error) {
    // The client is told of a failure and not of the URL, so nobody could go on with what would be left behind.
    const { code } = toTusError(error)
    if (code !== 'ERR_BODY_INTERRUPTED' && code !== 'ERR_STOPPED') await removeAgain(core, id).catch(() => {})
    throw error
  }
}

async function removeAgain(core: Core, id: string): Promise<void> {
  const claim = await core.claims.take(id, {})
  if (claim === undefined) return
  try {
    await core.options.storage.remove(id, claim.fence)
  } finally {
    await claim.release()
  }
}

/** The URL of an upload: below the mount that the client used. */
function locationOf(core: Core, { options }: TusRequest, id: string): string {
  const base = options.baseUrl ?? core.options.basePath
  return `${base.endsWith('/') ? base.slice(0, -1) : base}/${id}`
}
