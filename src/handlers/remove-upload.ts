// Removes an upload: the one way for DELETE, refused, rejected and expired uploads, and parts that were put together.

import type { Claim } from '../claims/held-claim.js'
import type { Core } from '../core.js'
import { isTusError, TusError } from '../errors.js'
import { type HookRequest, hookUpload } from '../hooks.js'
import type { RemoveOptions } from '../storage/storage.js'
import { isFrom, isPartial, type Upload } from '../upload.js'
import { isUnneeded } from './missing.js'

/** How a removal under a claim is done. */
export interface HeldRemoval extends Pick<RemoveOptions, 'tombstone' | 'evenIfNeeded'> {
  /** The request that leads to it, for `onUploadTerminate`. */
  readonly request: HookRequest | undefined
  /** Whether a client is told that it is gone: then it must be after a power loss, too. */
  readonly promised?: boolean
}

/** How an upload is removed, and what may keep it. */
export interface Removal extends HeldRemoval {
  /**
   * What it throws keeps the upload. Called before anybody who writes to the upload is disturbed, unless the upload is
   * free, and once more under the claim (`isHeld`), before anything is removed.
   */
  readonly before?: (upload: Upload, isHeld: boolean) => Promise<void> | void
  /** Whether `before` is called without the claim even if the upload is free: it may take long. */
  readonly asksFirst?: boolean
  /** When the upload that is meant was created. Another one that has its id by now stays. */
  readonly createdAtMs?: number | undefined
  /** The client's, so that nothing waits for a claim in vain. */
  readonly signal?: () => AbortSignal | undefined
}

/**
 * Removes an upload, bytes and record, and tells the application.
 * @returns whether there was one
 * @throws TusError `ERR_LOCKED` if another request has it or has taken it over; `ERR_PARTIAL_NEEDED`; what `before`
 * throws
 */
export async function removeUpload(core: Core, id: string, removal: Removal): Promise<boolean> {
  const claim = await claimFor(core, id, removal)
  if (claim === undefined) return false
  try {
    await removal.before?.(claim.upload, true)
    const result = await removeHeld(core, claim, removal)
    if (result === 'fenced') throw new TusError('ERR_LOCKED', { headers: { 'Retry-After': '1' } })
    return result === 'removed'
  } finally {
    await claim.release()
  }
}

/**
 * Removes an upload under a claim, gives the claim back with it, and tells the application.
 * @returns `fenced` if the claim is lost, `gone` if the upload is gone: then nothing was done
 * @throws TusError `ERR_PARTIAL_NEEDED`
 */
export async function removeHeld(
  core: Core,
  claim: Claim,
  { request, tombstone, evenIfNeeded, promised }: HeldRemoval,
): Promise<'removed' | 'fenced' | 'gone'> {
  const { storage, durability, hooks } = core.options
  const { upload, fence } = claim
  // What was promised to be whole must not come back without its bytes, nor its file without a record.
  const durable = durability !== 'none' && (promised || upload.complete)
  const result = await storage.remove(upload.id, fence, { tombstone, durable, evenIfNeeded })
  if (result === 'needed') throw new TusError('ERR_PARTIAL_NEEDED')
  if (result !== 'removed') return result
  // With the record the claim is gone, too.
  claim.released()
  try {
    await hooks.onUploadTerminate?.({ request, upload: hookUpload(core, upload) })
  } catch (error) {
    // There is nothing left to refuse.
    core.report(error)
  }
  return 'removed'
}

/**
 * Throws as long as an upload must stay, whoever wants it removed.
 * @throws TusError `ERR_PROCESSING`, `ERR_PARTIAL_NEEDED`
 */
export async function assertRemovable(core: Core, upload: Upload): Promise<void> {
  core.completions.assertIdle(upload)
  if (isPartial(upload) && !(await isUnneeded(core.options.storage, upload.id)))
    throw new TusError('ERR_PARTIAL_NEEDED')
}

/** Whether an error of {@link removeUpload} only says that others have or need the upload at the moment. */
export function isKept(error: unknown): boolean {
  return isTusError(error) && (error.status === 423 || error.code === 'ERR_PARTIAL_NEEDED')
}

async function claimFor(core: Core, id: string, removal: Removal): Promise<Claim | undefined> {
  const { before, asksFirst = false, createdAtMs, signal } = removal
  const free = asksFirst ? undefined : await core.claims.takeFree(id, { createdAtMs })
  if (free !== undefined) return free
  const upload = await core.options.storage.get(id)
  if (upload === undefined || !isFrom(upload, createdAtMs)) return undefined
  await before?.(upload, false)
  return core.claims.take(id, { createdAtMs: upload.createdAtMs, signal })
}
