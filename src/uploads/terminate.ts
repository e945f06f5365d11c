// Removes an upload because the application wants it.

import type { Core } from '../core.js'
import { isTusError } from '../errors.js'
import { assertRemovable, removeUpload } from '../handlers/remove-upload.js'
import { mayHave } from './inspect.js'

/**
 * `removed`; `not-found`: there is none; `in-use`: a request or a process has it and does not let go; `processing`:
 * `onUploadComplete` is at work for it; `needed`: it is a partial upload, and a final one waits for it.
 */
export type TerminateResult = 'removed' | 'not-found' | 'in-use' | 'processing' | 'needed'

const KEPT: Readonly<Record<string, TerminateResult>> = {
  ERR_LOCKED: 'in-use',
  ERR_PROCESSING: 'processing',
  ERR_PARTIAL_NEEDED: 'needed',
}

/**
 * Removes an upload, asking whoever writes to it to let go.
 * @returns what came of it
 * @throws TypeError if the id is no string
 */
export async function terminateUpload(core: Core, id: string): Promise<TerminateResult> {
  if (!mayHave('terminate', id)) return 'not-found'
  try {
    const before = assertRemovable.bind(undefined, core)
    return (await removeUpload(core, id, { request: undefined, before, promised: true })) ? 'removed' : 'not-found'
  } catch (error) {
    const result = isTusError(error) ? KEPT[error.code] : undefined
    if (result === undefined) throw error
    return result
  }
}
