// DELETE: the termination extension.

import type { Core } from '../core.js'
import { hookRequest, hookUpload } from '../hooks.js'
import type { TusRequest, TusResponse } from '../request.js'
import type { Upload } from '../upload.js'
import { missing } from './missing.js'
import { assertRemovable, removeUpload } from './remove-upload.js'

/**
 * Answers DELETE (https://tus.io/protocols/resumable-upload#termination): bytes and record are gone before the answer.
 * The hook is asked before anybody who writes to the upload is disturbed, and once more only if the upload is another
 * than it saw by the time that nobody writes any more.
 * @param createdAtMs - of the upload that `onIncomingRequest` let the request through to, if it was asked
 * @throws TusError `ERR_NOT_FOUND`, `ERR_LOCKED`, `ERR_PROCESSING`, `ERR_PARTIAL_NEEDED`, or what `onBeforeTerminate`
 * throws
 */
export async function terminate(
  core: Core,
  request: TusRequest,
  id: string,
  createdAtMs?: number,
): Promise<TusResponse> {
  const { hooks } = core.options
  let seen: Upload | undefined
  const removed = await removeUpload(core, id, {
    request: hookRequest(request),
    before: async (upload, isHeld) => {
      await assertRemovable(core, upload)
      if (seen !== undefined && (!isHeld || looksSame(seen, upload))) return
      seen = upload
      await hooks.onBeforeTerminate?.({ request: hookRequest(request), upload: hookUpload(core, upload) })
    },
    asksFirst: hooks.onBeforeTerminate !== undefined,
    createdAtMs,
    promised: true,
    signal: () => request.options.signal,
  })
  if (!removed) throw await missing(core, id)
  return { status: 204, headers: {}, body: undefined }
}

/** Whether a hook would see the same upload in two of its records. */
function looksSame(one: Upload, other: Upload): boolean {
  return one.offset === other.offset && one.length === other.length && one.complete === other.complete
}
