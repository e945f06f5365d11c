// PATCH: appends a chunk to an upload.

import { type ChecksumCheck, checksumOf } from '../checksum.js'
import type { Claim } from '../claims/held-claim.js'
import type { Core } from '../core.js'
import { isTusError, TusError, toTusError } from '../errors.js'
import { parseInteger } from '../headers/integer.js'
import { hasBody, type TusRequest, type TusResponse } from '../request.js'
import { type CompletionResult, isFrom, type Upload } from '../upload.js'
import { checkBodyForm } from './body-form.js'
import { expiresAt, expiryHeader } from './expiry.js'
import { expiryOfFinished, finish, resultParts } from './finish.js'
import { checkBodyLength, maxSizeFor } from './limits.js'
import { isExpired, missing } from './missing.js'
import { chunkOf, receiveNothing, type Stored, storeBody, storedHeaders, withStored } from './store-body.js'

/** What the headers of a PATCH say. */
interface Patch {
  readonly offset: number
  /** The length of the upload, where this PATCH brings it. */
  readonly declared: number | undefined
  readonly maxSize: number | undefined
  /** When the upload that it may reach was created; `undefined`: any. */
  readonly createdAtMs: number | undefined
}

/**
 * Answers PATCH (https://tus.io/protocols/resumable-upload#patch).
 * @param createdAtMs - of the upload that `onIncomingRequest` let the request through to, if it was asked
 * @throws TusError for everything that the protocol refuses, before any of the body is read
 */
export async function appendChunk(
  core: Core,
  request: TusRequest,
  id: string,
  createdAtMs?: number,
): Promise<TusResponse> {
  try {
    return await append(core, request, id, createdAtMs)
  } catch (thrown) {
    const error = toTusError(thrown)
    if (error.code !== 'ERR_DISK_FULL' || 'Upload-Offset' in error.headers) throw thrown
    // Records need space, too, so it may have failed where nobody knew the offset. Reading needs none.
    const upload = await core.options.storage.get(id)
    if (upload === undefined || !isFrom(upload, createdAtMs)) throw thrown
    throw withStored(error, standingOf(core, upload))
  }
}

async function append(
  core: Core,
  request: TusRequest,
  id: string,
  createdAtMs: number | undefined,
): Promise<TusResponse> {
  const { offset, declared } = readPatch(request)
  const patch: Patch = { offset, declared, maxSize: await maxSizeFor(core, request), createdAtMs }
  // Nearly always nobody writes to it, and then claiming it is all the reading that it takes.
  const claim =
    (await core.claims.takeFree(id, { createdAtMs, unfinished: true })) ?? (await claimBusy(core, request, id, patch))
  if (claim === undefined) throw await missing(core, id)
  const { upload } = claim
  let checksum: ChecksumCheck | undefined
  try {
    await checkUpload(core, id, upload, true)
    if (upload.offset !== offset) mismatch()
    checkPatch(core, request, patch, upload)
    checksum = checksumOf(request, core.options.checksumAlgorithms)
    // There is nothing to write, and what follows on a complete upload must not have to wait for this request.
    if (upload.complete) await claim.release()
    if (upload.complete && !hasBody(request) && checksum === undefined) return await doneBefore(core, request, upload)
  } catch (error) {
    await claim.release()
    throw withExpiry(core, error, upload)
  }
  const length = upload.length ?? declared
  const chunk = chunkOf(core, request, { length, maxSize: patch.maxSize, checksum })
  if (upload.complete) {
    await receiveNothing(core, request, claim, chunk)
    return doneBefore(core, request, upload)
  }
  const stored = await storeBody(core, request, claim, chunk)
  const { completed } = stored
  if (completed === undefined) return done(stored, undefined)
  const result = await finish(core, request, completed)
  return done({ offset: stored.offset, expiresAtMs: expiryOfFinished(core, completed) }, result)
}

/** Takes the claim of an upload that somebody writes to, unless it is plain without it that this request is refused. */
async function claimBusy(core: Core, request: TusRequest, id: string, patch: Patch): Promise<Claim | undefined> {
  const { claims, options } = core
  const { offset, createdAtMs } = patch
  const before = await options.storage.get(id)
  if (before === undefined || !isFrom(before, createdAtMs)) return undefined
  try {
    await checkUpload(core, id, before)
    const position = claims.positionOf(id) ?? before.offset
    // A holder in another process may be further than its last commit, so a higher offset than ours is left to the
    // claim.
    if (offset < position || (offset > position && before.holder === undefined)) mismatch()
    checkPatch(core, request, patch, before)
  } catch (error) {
    throw withExpiry(core, error, before)
  }
  return claims.take(id, { offset, createdAtMs, unfinished: true, signal: () => request.options.signal })
}

/** What can refuse any PATCH. */
async function checkUpload(core: Core, id: string, upload: Upload, isOurs = false): Promise<void> {
  if (await isExpired(core, upload, isOurs)) throw await missing(core, id, upload)
  if (upload.concat?.partials !== undefined) throw new TusError('ERR_FINAL')
}

function readPatch(request: TusRequest): { offset: number; declared: number | undefined } {
  const { headers } = request
  const offset = parseInteger(headers['upload-offset'])
  checkBodyForm(request, offset ?? 0)
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

/** A refusal tells when the upload expires, too, like every answer to a PATCH. */
function withExpiry(core: Core, thrown: unknown, upload: Upload): unknown {
  if (!isTusError(thrown) || thrown.code === 'ERR_GONE') return thrown
  const { code, message, status, cause, headers } = toTusError(thrown)
  return new TusError(code, {
    message,
    status,
    cause,
    headers: { ...headers, ...expiryHeader(expiresAt(core, upload)) },
  })
}

/**
 * The answer to an empty chunk at the end of an upload that was complete already: that of the one that completed it.
 */
async function doneBefore(core: Core, request: TusRequest, upload: Upload): Promise<TusResponse> {
  const published = await core.publications.settled(upload)
  const settled = published && (await core.completions.settled(published, () => request.options.signal))
  if (settled === undefined || !isFrom(settled, upload.createdAtMs)) throw await missing(core, upload.id)
  return done(standingOf(core, settled), settled.completion?.result)
}

function standingOf(core: Core, upload: Upload): Pick<Stored, 'offset' | 'expiresAtMs'> {
  return { offset: upload.offset, expiresAtMs: expiresAt(core, upload) }
}

function done(stored: Pick<Stored, 'offset' | 'expiresAtMs'>, result: CompletionResult | undefined): TusResponse {
  const { headers, body } = resultParts(result)
  if (headers === undefined && body === undefined) {
    return { status: result?.status ?? 204, headers: storedHeaders(stored), body }
  }
  const status = result?.status ?? (body ? 200 : 204)
  if (status !== 204 && status !== 205) return { status, headers: { ...headers, ...storedHeaders(stored) }, body }
  // Nothing follows that could have a type, whatever the application says of it (RFC 9110, 15.3.5).
  const others = Object.entries(headers ?? {}).filter(([name]) => name.toLowerCase() !== 'content-type')
  return { status, headers: { ...Object.fromEntries(others), ...storedHeaders(stored) }, body: undefined }
}
