// Removes an upload: on DELETE, or because it must not go on.

import type { Core } from '../core.js'
import { type HookRequest, hookUpload } from '../hooks.js'
import type { Tombstone, Upload } from '../upload.js'

/** What may keep an upload from being removed, and who asks for it. */
export interface Removal {
  readonly request: HookRequest | undefined
  /** Called under the claim, before anything is removed. What it throws keeps the upload. */
  readonly before?: (upload: Upload) => Promise<void> | void
  /** The client's, so that nothing waits for a claim in vain. */
  readonly signal?: () => AbortSignal | undefined
  /** What is to be kept of the upload. */
  readonly tombstone?: Tombstone
  /** Whether somebody is told that it is gone: then it must be after a power loss, too. */
  readonly promised?: boolean
}

/**
 * Removes an upload, bytes and record, and tells the application.
 * @returns whether there was one
 * @throws TusError `ERR_LOCKED` if another request does not let go of it
 */
export async function removeUpload(core: Core, id: string, removal: Removal): Promise<boolean> {
  const { storage, durability } = core.options
  const claim = await core.claims.take(id, { signal: removal.signal })
  if (claim === undefined) return false
  try {
    await removal.before?.(claim.upload)
    // What was promised to be whole must not come back without its bytes, nor its file without a record.
    const durable = durability !== 'none' && (removal.promised || claim.upload.complete)
    if (!(await storage.remove(id, claim.fence, removal.tombstone, durable))) return false
    // With the record the claim is gone, too.
    claim.released()
  } finally {
    await claim.release()
  }
  await tellRemoved(core, removal.request, claim.upload)
  return true
}

/** Tells the application that an upload is gone. There is nothing left to refuse, so what it throws is only reported. */
export async function tellRemoved(core: Core, request: HookRequest | undefined, upload: Upload): Promise<void> {
  try {
    await core.options.hooks.onUploadTerminate?.({ request, upload: hookUpload(upload) })
  } catch (error) {
    core.report(error)
  }
}
