// POST of a final upload: the concatenation extension.

import { assemble } from '../assembly.js'
import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import { parseUploadConcat, type UploadConcat } from '../headers/upload-concat.js'
import { hookRequest, hookUpload } from '../hooks.js'
import { hasBody, type TusRequest, type TusResponse } from '../request.js'
import { idOfUrl } from '../route.js'
import { type CompletionResult, isPartial, type Upload, untouched } from '../upload.js'
import { expiresWith, expiryHeader } from './expiry.js'
import { created } from './finish.js'
import { maxSizeFor } from './limits.js'
import { isExpired } from './missing.js'
import { readMetadata, reserve } from './reserve.js'

/**
 * `Upload-Concat`, checked; `undefined` if the upload stands on its own.
 * @throws TusError `ERR_INVALID_CONCAT`, `ERR_NO_CONCATENATION`
 */
export function readConcat({ options }: Core, { headers }: TusRequest): UploadConcat | undefined {
  const header = headers['upload-concat']
  if (header === undefined) return undefined
  if (!options.concatenation) throw new TusError('ERR_NO_CONCATENATION')
  const concat = parseUploadConcat(header)
  if (concat === undefined) throw new TusError('ERR_INVALID_CONCAT')
  return concat
}

/**
 * Answers a POST that makes an upload of others (https://tus.io/protocols/resumable-upload#concatenation), which need
 * not be complete yet.
 * @param urls - of the partial uploads, in order
 */
export async function createFinal(core: Core, request: TusRequest, urls: readonly string[]): Promise<TusResponse> {
  const { headers } = request
  if (headers['upload-length'] !== undefined || headers['upload-defer-length'] !== undefined) {
    throw new TusError('ERR_LENGTH_OF_FINAL')
  }
  if (hasBody(request)) throw new TusError('ERR_FINAL')
  const metadata = readMetadata(core, request)
  if (urls.length > core.options.maxPartials) throw new TusError('ERR_TOO_MANY_PARTIALS')
  const maxSize = await maxSizeFor(core, request)
  const partials = await readPartials(core, request, urls)
  const least = leastLengthOf(partials)
  if (least > (maxSize ?? Number.MAX_SAFE_INTEGER)) throw new TusError('ERR_MAX_SIZE_EXCEEDED')
  // Its bytes are stored once more when it gets a file of its own.
  await core.space.check(least)
  const length = partials.some((partial) => partial.length === undefined) ? undefined : least
  const concat = {
    header: headers['upload-concat'] ?? '',
    partials: partials.map(({ id }) => id),
    partialsCreatedAtMs: partials.map(({ createdAtMs }) => createdAtMs),
    ...(length === undefined && { maxSize }),
    ...(core.options.hooks.onUploadComplete !== undefined && { awaitsHook: true }),
  }
  const { upload: final, location: url } = await reserve(core, request, { length, metadata, concat })
  const { id } = final
  const location = { Location: url, 'Upload-Concat': concat.header }
  const awaited = core.completions.areAwaited
  const result = await assemble(core, id, awaited)
  if (result === 'too-large') throw new TusError('ERR_MAX_SIZE_EXCEEDED')
  if (result === 'gone') throw new TusError('ERR_NO_PARTIAL')
  const unfinished = result === 'unfinished'
  if (awaited && !(unfinished && partials.some(({ complete }) => !complete))) {
    return created(location, async () => {
      const assembled = unfinished ? await assembleWhenFree(core, request, id, concat.partials) : result
      return finishFinal(core, request, id, assembled)
    })
  }
  if (unfinished) {
    const expiresAtMs = expiresWith(core, untouched(final), partials)
    return { status: 201, headers: { ...location, ...expiryHeader(expiresAtMs) }, body: undefined }
  }
  core.completions.wake('copy')
  return { status: 201, headers: location, body: undefined }
}

/**
 * Assembles a final upload whose partial ones are complete, but one is held: by a removal, say, that will find that it
 * is needed. An answer before that would pass for the end of an upload that was not finished yet.
 * @throws TusError `ERR_LOCKED`
 */
async function assembleWhenFree(core: Core, request: TusRequest, id: string, partials: readonly string[]) {
  for (const partial of partials) await core.claims.settled(partial, { signal: () => request.options.signal })
  const result = await assemble(core, id, true)
  if (result !== 'ok' && result !== 'already') throw new TusError('ERR_LOCKED', { headers: { 'Retry-After': '1' } })
  return result
}

async function finishFinal(
  core: Core,
  request: TusRequest,
  id: string,
  assembled: 'ok' | 'already',
): Promise<CompletionResult | undefined> {
  const { completions, options } = core
  const upload = await options.storage.get(id)
  // By the assembly it is this request's to finish, before anybody else looks for what is due.
  if (assembled === 'ok' && upload !== undefined) return completions.finish(upload, hookRequest(request))
  const result = await completions.finishIfDue(id, hookRequest(request))
  if (result !== undefined) return result
  // Another process may have come first.
  const now = await options.storage.get(id)
  if (now !== undefined) completions.assertSettled(now)
  return now?.completion?.result
}

/** The partial uploads that are named, each one let through by the application. */
async function readPartials(core: Core, request: TusRequest, urls: readonly string[]): Promise<readonly Upload[]> {
  const { hooks, storage } = core.options
  const known = new Map<string, Upload>()
  const partials: Upload[] = []
  for (const url of urls) {
    const id = idOfUrl(url)
    const upload = id === undefined ? undefined : (known.get(id) ?? (await storage.get(id)))
    if (upload === undefined || !isPartial(upload) || (await isExpired(core, upload))) {
      throw new TusError('ERR_NO_PARTIAL')
    }
    if (!known.has(upload.id)) {
      await hooks.onIncomingRequest?.({ request: hookRequest(request), upload: hookUpload(core, upload) })
      known.set(upload.id, upload)
    }
    partials.push(upload)
  }
  return partials
}

/** How many bytes partial uploads have together, at the least: one may not have declared its length yet. */
function leastLengthOf(partials: readonly Upload[]): number {
  return partials.reduce((sum, { length, offset }) => sum + (length ?? offset), 0)
}
