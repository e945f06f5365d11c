// DELETE: the termination extension.

import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import type { TusRequest, TusResponse } from '../request.js'

/**
 * Answers DELETE (https://tus.io/protocols/resumable-upload#termination): bytes and record are gone before the answer.
 * @throws TusError `ERR_NOT_FOUND`, `ERR_LOCKED`
 */
export async function terminate(core: Core, request: TusRequest, id: string): Promise<TusResponse> {
  const claim = await core.claims.take(id, { signal: () => request.options.signal })
  if (claim === undefined) throw new TusError('ERR_NOT_FOUND')
  try {
    if (!(await core.options.storage.remove(id, claim.fence))) throw new TusError('ERR_NOT_FOUND')
  } finally {
    await claim.release()
  }
  return { status: 204, headers: {}, body: undefined }
}
