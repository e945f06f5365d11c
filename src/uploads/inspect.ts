// Uploads as the application looks at them: nobody who writes is disturbed, and nothing lives longer for it.

import { checkOptions, text } from '../check-options.js'
import type { Core } from '../core.js'
import { isExpired } from '../handlers/missing.js'
import { type HookUpload, hookUpload } from '../hooks.js'
import { isUploadId } from '../route.js'
import type { Upload } from '../upload.js'
import { isHeld, stateOf, type UploadState } from './state.js'

/** An upload as {@link TusServer.inspect} and {@link TusServer.list} tell of it. */
export interface InspectedUpload extends HookUpload {
  readonly state: UploadState
  /**
   * How many bytes have arrived, committed (`offset`) or not: for a progress bar. What arrives at another process
   * counts when it is committed.
   */
  readonly position: number
  /** Whether a request is writing to it at the moment, in this process or another one. */
  readonly held: boolean
  /** Whether its time is over: clients get 410, and it is removed with the next clean-up. */
  readonly expired: boolean
}

/**
 * Whether an upload may have an id.
 * @param method - what the application has called
 * @throws TypeError if it is no string
 */
export function mayHave(method: string, id: string): boolean {
  checkOptions(method, { id }, { id: text }, { required: ['id'] })
  return isUploadId(id)
}

/**
 * Reads one upload.
 * @throws TypeError if the id is no string
 */
export async function inspect(core: Core, id: string): Promise<InspectedUpload | undefined> {
  if (!mayHave('inspect', id)) return undefined
  const upload = await core.options.storage.get(id)
  return upload && describe(core, upload)
}

/** What is told of an upload. */
export async function describe(core: Core, upload: Upload): Promise<InspectedUpload> {
  const now = core.options.now()
  const received = core.claims.positionOf(upload.id)
  return {
    ...hookUpload(core, upload),
    state: stateOf(upload, now),
    position: Math.max(upload.offset, received ?? 0),
    held: received !== undefined || isHeld(upload, now),
    expired: await isExpired(core, upload),
  }
}
