// Creates the record of an upload, with what the application decides about it.

import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import { formatUploadMetadata, isUploadMetadata } from '../headers/upload-metadata.js'
import { type CreateDecision, checkDecision, copyAttributes, hookRequest, hookUpload } from '../hooks.js'
import { randomId } from '../random-id.js'
import type { TusRequest } from '../request.js'
import { isUploadId } from '../route.js'
import { type NewUpload, untouched } from '../upload.js'
import { locationOf } from './location.js'

/** An upload that was created, and the URL that the client is told. */
export interface Reserved {
  readonly upload: NewUpload
  readonly location: string
}

/**
 * Creates the record of an upload.
 * @throws TusError `ERR_EXISTS`, `ERR_NO_PARTIAL`, `ERR_TOO_MANY_FINALS`, or what a hook throws
 */
export async function reserve(
  core: Core,
  request: TusRequest,
  wanted: Pick<NewUpload, 'length' | 'metadata' | 'concat'>,
): Promise<Reserved> {
  const { storage, generateId, now, hooks } = core.options
  const createdAtMs = now()
  const id = generateId ? await generateId(hookRequest(request)) : randomId(createdAtMs)
  const { length, metadata, concat } = wanted
  const isFresh = generateId === undefined
  let upload: NewUpload = { id, name: id, length, metadata, attributes: undefined, createdAtMs, concat, isFresh }
  if (hooks.onUploadCreate !== undefined) {
    const event = {
      request: hookRequest(request),
      upload: hookUpload(core, untouched(upload)),
    }
    upload = decided(upload, (await hooks.onUploadCreate(event)) ?? {})
  }
  checkStrings(upload)
  // Before there is a record: without a URL nobody could reach it.
  const chosen = locationOf(core, request, upload)
  const location = typeof chosen === 'string' ? chosen : await chosen
  const result = await storage.create(upload)
  if (result === 'created') return { upload, location }
  if (result === 'exists') throw new TusError('ERR_EXISTS')
  if (result === 'no-partial') throw new TusError('ERR_NO_PARTIAL')
  if (result === 'crowded') throw new TusError('ERR_TOO_MANY_FINALS')
  const error = new TypeError(`${JSON.stringify(upload.name)} is no name for a file: ${result.reason}`)
  if (result.refused === 'bad-name') throw error
  // The client may try it with another name; the application's author should know that its names collide.
  core.report(error)
  throw new TusError('ERR_EXISTS', { cause: error })
}

/** What came from the application: a number or a `String` passes for a string in many places, but not in all. */
function checkStrings({ id, name, overwrite = false }: NewUpload): void {
  if (typeof id !== 'string' || !isUploadId(id)) {
    throw new TypeError(`an id must be a string of 1 to 200 letters, digits, "-" and "_", not ${shown(id)}`)
  }
  if (typeof name !== 'string') throw new TypeError(`the name of an upload must be a string, not ${shown(name)}`)
  if (typeof overwrite !== 'boolean') throw new TypeError(`overwrite must be true or false, not ${shown(overwrite)}`)
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : `${typeof value}: ${String(value)}`
}

function decided(upload: NewUpload, decision: CreateDecision): NewUpload {
  const { id = upload.id, name = id, metadata, attributes, overwrite = false } = checkDecision(decision)
  return {
    ...upload,
    id,
    name,
    isFresh: upload.isFresh && id === upload.id && name === id,
    metadata: metadata ? formatUploadMetadata(metadata) : upload.metadata,
    attributes: attributes && copyAttributes(attributes),
    ...(overwrite && { overwrite }),
  }
}

/**
 * `Upload-Metadata`, checked.
 * @throws TusError `ERR_INVALID_METADATA`, `ERR_METADATA_TOO_LARGE`
 */
export function readMetadata(core: Core, { headers }: TusRequest): string | undefined {
  const metadata = headers['upload-metadata']
  if (metadata === undefined) return undefined
  if (metadata.length > core.options.maxMetadataSize) throw new TusError('ERR_METADATA_TOO_LARGE')
  if (!isUploadMetadata(metadata)) throw new TusError('ERR_INVALID_METADATA')
  return metadata
}
