// Stores the body of a PATCH, or of a POST that creates and uploads at once: from an open claim to a commit.

import { assembleFinalsOf } from '../assembly.js'
import { type ChecksumCheck, verifyUnannounced } from '../checksum.js'
import type { Claim } from '../claims/held-claim.js'
import type { Core } from '../core.js'
import { isTusError, TusError, toTusError } from '../errors.js'
import { parseContentLength } from '../headers/integer.js'
import { type HookRequest, hookRequest, hookUpload } from '../hooks.js'
import type { RequestBody, TusRequest } from '../request.js'
import type { Commit, CommitResult, Stage } from '../storage/storage.js'
import { isPartial, type Upload } from '../upload.js'
import { expiresAt, expiryHeader } from './expiry.js'
import { type Received, type Reception, receiveBody } from './receive-body.js'
import { removeHeld, removeUpload } from './remove-upload.js'

/** A chunk, and what is known of the upload it belongs to. */
export interface Chunk {
  readonly body: RequestBody
  /** The length of the whole upload in bytes, if known by now. */
  readonly length: number | undefined
  /** The largest upload that the request may make, in bytes. */
  readonly maxSize: number | undefined
  /** Its checksum, if it has one: then it is kept as a whole or not at all. */
  readonly checksum: ChecksumCheck | undefined
  /** How many bytes its body says that it has. */
  readonly stated: number | undefined
  /** May refuse it once its end has come, if nothing of it was written yet by all of it. */
  readonly atEnd: Reception['atEnd']
}

const EMPTY = new Uint8Array(0)

/** The chunk that a request brings. */
export function chunkOf(
  core: Core,
  request: TusRequest,
  { length, maxSize, checksum }: Pick<Chunk, 'length' | 'maxSize' | 'checksum'>,
): Chunk {
  const stated = parseContentLength(request.headers['content-length'])
  const atEnd: Chunk['atEnd'] = (chunks) => verifyUnannounced(request, core.options.checksumAlgorithms, chunks)
  return { body: request.body ?? EMPTY, length, maxSize, checksum, stated, atEnd: checksum ? undefined : atEnd }
}

/** What a chunk has led to. */
export interface Stored {
  /** The new offset in bytes. */
  readonly offset: number
  /** When the upload expires now, in milliseconds since the epoch; of one that is completed, see `expiryOfFinished`. */
  readonly expiresAtMs: number | undefined
  /** The upload, if the chunk has completed it. Its file may have no name yet. */
  readonly completed: Upload | undefined
}

/** What the answer to a chunk says. */
export function storedHeaders({ offset, expiresAtMs }: Pick<Stored, 'offset' | 'expiresAtMs'>): Record<string, string> {
  const headers: Record<string, string> = { 'Upload-Offset': String(offset) }
  return expiresAtMs === undefined ? headers : Object.assign(headers, expiryHeader(expiresAtMs))
}

/**
 * Receives a chunk under a claim, commits it, and gives the claim back.
 * @returns the new offset, and the new time of expiry
 * @throws TusError with `Upload-Offset` if not all was stored: `ERR_BODY_TOO_LONG`, `ERR_BODY_INTERRUPTED`,
 * `ERR_STOPPED`, `ERR_TOO_SLOW`, `ERR_CHECKSUM_MISMATCH`, `ERR_DISK_FULL`, …; what `onChunkReceived` throws, after the
 * upload was removed
 */
export async function storeBody(core: Core, request: TusRequest, claim: Claim, chunk: Chunk): Promise<Stored> {
  const { storage } = core.options
  const { id } = claim.upload
  const verdict = new Verdict(core, request, claim)
  try {
    const stage = await storage.openStage(id, claim.fence, claim.upload.offset)
    try {
      return await receiveInto(core, stage, claim, chunk, verdict)
    } finally {
      await stage.close()
    }
  } catch (error) {
    if (verdict.refusal === undefined) throw error
    await removeRefused(core, claim, hookRequest(request))
    throw verdict.refusal
  } finally {
    await claim.release()
  }
}

/** Nothing is ever written to it. */
const NO_STAGE: Stage = { write: () => {}, commit: () => 'moved', discard: () => {}, close: () => {} }

/**
 * Receives the body of a chunk at the end of a complete upload, which must be empty, though its headers don't say so.
 * No claim is held meanwhile: whoever sends nothing for long keeps nobody from the upload.
 * @param claim - one that is over
 * @throws TusError as {@link storeBody} does
 */
export async function receiveNothing(core: Core, request: TusRequest, claim: Claim, chunk: Chunk): Promise<void> {
  await receiveInto(core, NO_STAGE, claim, chunk, new Verdict(core, request, claim))
}

/**
 * Removes an upload that the application refuses to go on with. Final uploads that wait for it can't come about any
 * more: its bytes must be in none of them.
 * @throws TusError if it could not be removed, so that nobody is told that it was
 */
async function removeRefused(core: Core, claim: Claim, request: HookRequest): Promise<void> {
  const { id, createdAtMs } = claim.upload
  const removal = { request, evenIfNeeded: true, promised: true }
  // The application speaks of the upload, whoever writes to it by now.
  if ((await removeHeld(core, claim, removal)) === 'fenced') {
    await claim.release()
    await removeUpload(core, id, { ...removal, createdAtMs })
  }
  // What fails here is found and tried again in the background.
  if (isPartial(claim.upload)) await assembleFinalsOf(core, id).catch(core.report)
}

async function receiveInto(core: Core, stage: Stage, claim: Claim, chunk: Chunk, verdict: Verdict): Promise<Stored> {
  const { durability, maxChunkSize } = core.options
  const { upload } = claim
  const { body, length, checksum, maxSize = Number.MAX_SAFE_INTEGER } = chunk
  const declared = length === upload.length ? undefined : length
  const durable = durability === 'committed'
  const syncSoon = durability === 'completed'
  let committed = upload.offset
  let { activeAtMs } = upload
  let published = true
  const commit = async (to: number, rest: Partial<Commit>): Promise<void> => {
    const now = core.options.now()
    const result = await stage.commit({ to, length: declared, activeAtMs: now, durable, syncSoon, ...rest })
    if (result === 'lost') core.report(bytesWereLost(upload))
    requireOk(result)
    published = result !== 'unpublished'
    if (rest.release) claim.released()
    committed = to
    activeAtMs = now
    await verdict.ask(to, rest.complete ?? false, length)
  }
  /** What stands, once the claim was given back: bytes that came and were not kept put expiry off, too. */
  const standing = (): Pick<Stored, 'offset' | 'expiresAtMs'> => {
    const lastMs = claim.position > upload.offset ? core.options.now() : activeAtMs
    return { offset: committed, expiresAtMs: expiresAt(core, { ...upload, activeAtMs: lastMs }) }
  }
  const received = await receiveBody(core.intake, {
    body,
    stage,
    claim,
    limit: Math.min((length ?? maxSize) - upload.offset, maxChunkSize),
    stated: chunk.stated,
    inspect: checksum && ((bytes) => checksum.update(bytes)),
    atEnd: chunk.atEnd,
    commitSegment: checksum ? undefined : (to) => commit(to, {}),
  })

  const refusal = refusalOf(core, received, chunk, claim)
  if (refusal !== undefined) {
    await stage.discard()
    throw withStored(refusal, standing())
  }
  const complete = received.ending === 'complete' && received.staged === length
  const to = complete || received.staged !== length ? received.staged : withoutLastByte(received.staged, committed)
  // A claim that a hook may still want to remove the upload under is given back after it.
  const release = !verdict.isAsked
  try {
    if (complete && !upload.complete) {
      const completion = core.completions.requestFor(upload)
      await commit(to, { complete, durable: durability !== 'none', release, completion })
    } else if (verdict.refusal === undefined && (to > committed || (declared !== undefined && to !== length))) {
      await commit(to, { release })
    }
  } catch (error) {
    // After a failure of the storage, another one says nothing new.
    if (received.ending !== 'failed' || isTusError(error)) throw error
  }
  if (received.ending !== 'complete') throw withStored(failureOf(received), standing())
  const isCompleted = complete && !upload.complete
  const completed = isCompleted ? { ...upload, offset: to, length, activeAtMs, complete, published } : undefined
  return { ...standing(), completed }
}

/** Asks the application after each commit whether the upload may go on. */
class Verdict {
  /** Why it may not. */
  refusal: TusError | undefined
  readonly #core: Core
  readonly #request: TusRequest
  readonly #claim: Claim

  constructor(core: Core, request: TusRequest, claim: Claim) {
    this.#core = core
    this.#request = request
    this.#claim = claim
  }

  get isAsked(): boolean {
    return this.#core.options.hooks.onChunkReceived !== undefined
  }

  async ask(offset: number, complete: boolean, length: number | undefined): Promise<void> {
    const { hooks } = this.#core.options
    if (hooks.onChunkReceived === undefined) return
    const upload = hookUpload(this.#core, { ...this.#claim.upload, offset, complete, length })
    try {
      await hooks.onChunkReceived({ request: hookRequest(this.#request), upload })
    } catch (error) {
      if (isTusError(error)) this.refusal = error
      throw error
    }
  }
}

/** Why nothing of a body may be kept, if so. */
function refusalOf(core: Core, received: Received, { length, checksum }: Chunk, claim: Claim): TusError | undefined {
  if (received.ending === 'too-long') {
    const { maxChunkSize } = core.options
    if (claim.position - claim.upload.offset > maxChunkSize) return new TusError('ERR_CHUNK_TOO_LARGE')
    return new TusError(length === undefined ? 'ERR_MAX_SIZE_EXCEEDED' : 'ERR_BODY_TOO_LONG')
  }
  if (received.ending === 'refused') return toTusError(received.cause)
  if (checksum === undefined) return undefined
  if (received.ending !== 'complete') return failureOf(received)
  try {
    checksum.verify()
    return undefined
  } catch (error) {
    return toTusError(error)
  }
}

/**
 * An upload is complete only with the end of the body that brought its last byte: one byte more would have made it a
 * body to refuse. Where the end did not come, that byte is left to the next chunk; and where there is no such byte, the
 * length is, since with it the upload would look complete.
 */
function withoutLastByte(staged: number, committed: number): number {
  return Math.max(staged - 1, committed)
}

function requireOk(result: CommitResult): void {
  if (result === 'fenced') throw new TusError('ERR_STOPPED')
  if (result === 'moved' || result === 'lost') throw new TusError('ERR_OFFSET_MISMATCH')
  if (result === 'gone') throw new TusError('ERR_NOT_FOUND')
}

function bytesWereLost({ id, offset }: Upload): Error {
  return new Error(
    `of the upload ${id} not all of the ${offset} bytes are there that were stored: something other than this server ` +
      'has removed or replaced its unfinished file. It goes on from what is there. Exclude .resumable-upload from clean-up jobs.',
  )
}

function failureOf({ ending, cause }: Received): TusError {
  if (ending === 'stopped') return new TusError('ERR_STOPPED')
  if (ending === 'too-slow') return new TusError('ERR_TOO_SLOW')
  // An adapter says by a TusError that the body was not there to be read.
  if (ending === 'interrupted' && !isTusError(cause)) return new TusError('ERR_BODY_INTERRUPTED', { cause })
  return toTusError(cause)
}

/** The error with what stands, so that the client knows how far the upload is. */
export function withStored(error: TusError, stored: Pick<Stored, 'offset' | 'expiresAtMs'>): TusError {
  return new TusError(error.code, {
    message: error.message,
    status: error.status,
    headers: { ...error.headers, ...storedHeaders(stored) },
    cause: error.cause ?? error,
  })
}
