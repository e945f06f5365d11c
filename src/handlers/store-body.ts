// Stores the body of a PATCH, or of a POST that creates and uploads at once: from an open claim to a commit.

import type { Claim } from '../claims/claims.js'
import type { Core } from '../core.js'
import { TusError, toTusError } from '../errors.js'
import type { RequestBody } from '../request.js'
import type { Commit, CommitResult, Stage } from '../storage/storage.js'
import { type Received, receiveBody } from './receive-body.js'

/** A chunk, and what is known of the upload it belongs to. */
export interface Chunk {
  readonly body: RequestBody
  /** The length of the whole upload in bytes, if known by now. */
  readonly length: number | undefined
}

/**
 * Receives a chunk under a claim, commits it, and gives the claim back.
 * @returns the new offset
 * @throws TusError with `Upload-Offset` if not all was stored: `ERR_BODY_TOO_LONG`, `ERR_BODY_INTERRUPTED`,
 * `ERR_STOPPED`, `ERR_DISK_FULL`, …
 */
export async function storeBody(core: Core, claim: Claim, chunk: Chunk): Promise<number> {
  const { storage } = core.options
  try {
    const stage = await storage.openStage(claim.upload.id, claim.fence, claim.upload.offset)
    try {
      return await receiveInto(core, stage, claim, chunk)
    } finally {
      await stage.close()
    }
  } finally {
    await claim.release()
  }
}

async function receiveInto(core: Core, stage: Stage, claim: Claim, { body, length }: Chunk): Promise<number> {
  const { maxSize, durability } = core.options
  const { upload } = claim
  const declared = length === upload.length ? undefined : length
  const durable = durability === 'committed'
  let committed = upload.offset
  const commit = async (to: number, rest: Partial<Commit>): Promise<void> => {
    requireOk(await stage.commit({ to, length: declared, durable, ...rest }))
    committed = to
  }
  const limit = (length ?? maxSize ?? Number.MAX_SAFE_INTEGER) - upload.offset
  const received = await receiveBody(core.intake, { body, stage, claim, limit, commitSegment: (to) => commit(to, {}) })

  if (received.ending === 'too-long') {
    await stage.discard()
    const code = length === undefined ? 'ERR_MAX_SIZE_EXCEEDED' : 'ERR_BODY_TOO_LONG'
    throw new TusError(code, { headers: { 'Upload-Offset': String(committed) } })
  }
  const complete = received.ending === 'complete' && received.staged === length
  const to = complete || received.staged !== length ? received.staged : withoutLastByte(received.staged, committed)
  try {
    if (complete && !upload.complete) {
      await commit(to, { complete, durable: durability !== 'none', release: true })
    } else if (to > committed || (declared !== undefined && to !== length)) {
      await commit(to, { release: true })
    }
  } catch (error) {
    // After a failure of the storage, another one says nothing new.
    if (received.ending !== 'failed' || error instanceof TusError) throw error
  }
  if (received.ending !== 'complete') throw failure(received, committed)
  return committed
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
  if (result === 'moved') throw new TusError('ERR_OFFSET_MISMATCH')
  if (result === 'gone') throw new TusError('ERR_NOT_FOUND')
}

function failure({ ending, cause }: Received, committed: number): TusError {
  const headers = { 'Upload-Offset': String(committed) }
  if (ending === 'stopped') return new TusError('ERR_STOPPED', { headers })
  // An adapter says by a TusError that the body was not there to be read.
  if (ending === 'interrupted' && !(cause instanceof TusError)) {
    return new TusError('ERR_BODY_INTERRUPTED', { headers, cause })
  }
  const error = toTusError(cause)
  return new TusError(error.code, { headers: { ...error.headers, ...headers }, cause })
}
