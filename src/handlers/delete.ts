// DELETE: the termination extension.

import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import { hookRequest, hookUpload } from '../hooks.js'
import type { TusRequest, TusResponse } from '../request.js'
import type { Storage } from '../storage/storage.js'
import { isPartial } from '../upload.js'
import { isUnneeded, missing } from './missing.js'
import { removeUpload } from './remove-upload.js'

/**
 * Answers DELETE (https://tus.io/protocols/resumable-upload#termination): bytes and record are gone before the answer.
 * @throws TusError `ERR_NOT_FOUND`, `ERR_LOCKED`, `ERR_PROCESSING`, `ERR_PARTIAL_NEEDED`, or what `onBeforeTerminate` throws
 */
export async function terminate(core: Core, request: TusRequest, id: string): Promise<TusResponse> {
  const { hooks, storage } = core.options
  let partial = false
  const removed = await removeUpload(core, id, {
    request: hookRequest(request),
    before: async (upload) => {
      core.completions.assertIdle(upload)
      partial = isPartial(upload)
      if (partial) await assertUnneeded(storage, id)
      await hooks.onBeforeTerminate?.({ request: hookRequest(request), upload: hookUpload(upload) })
    },
    promised: true,
    signal: () => request.options.signal,
  })
  // A final upload may have come to need it while the application thought about it.
  if (!removed && partial) await assertUnneeded(storage, id)
  if (!removed) throw await missing(core, id)
  return { status: 204, headers: {}, body: undefined }
}

async function assertUnneeded(storage: Storage, id: string): Promise<void> {
  if (!(await isUnneeded(storage, id))) throw new TusError('ERR_PARTIAL_NEEDED')
}
