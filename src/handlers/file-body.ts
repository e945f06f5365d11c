// The bytes of a finished file as the body of an answer: begun before its headers are sent, and whole or cut.

import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import type { Upload } from '../upload.js'
import { missing } from './missing.js'

/**
 * Reads bytes of a finished upload, `end` not included. Ends only when all of them were read.
 * @throws an error if fewer are there: an upload may be removed while it is sent
 */
export async function* readInFull(core: Core, { id }: Upload, start: number, end: number): AsyncGenerator<Uint8Array> {
  let left = end - start
  for await (const chunk of core.options.storage.read?.(id, start, end) ?? []) {
    left -= chunk.length
    yield chunk
  }
  if (left > 0) throw new Error(`the upload ${id} was removed while it was sent: ${left} bytes are missing`)
}

/**
 * Pulls the first chunks of a body, so that what can't be read is answered rather than cut. Whatever goes wrong later
 * is reported; a consumer that goes away is nothing wrong.
 * @param ahead - how many chunks are pulled until one of them is of the file
 * @returns the same body; whoever got it must iterate over it or `return` it, as it may hold a descriptor
 * @throws TusError `ERR_FILE_MISSING`, `ERR_NOT_FOUND` if it was removed meanwhile; what the storage throws
 */
export async function begin(
  core: Core,
  upload: Upload,
  chunks: AsyncGenerator<Uint8Array>,
  ahead: number,
): Promise<AsyncIterableIterator<Uint8Array>> {
  const first: Uint8Array[] = []
  try {
    while (first.length < ahead) {
      const { done, value } = await chunks.next()
      if (done) break
      first.push(value)
    }
  } catch (error) {
    throw await failure(core, upload, error)
  }
  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    const value = first.shift()
    if (value !== undefined) return { done: false, value }
    try {
      return await chunks.next()
    } catch (error) {
      core.report(error)
      throw error
    }
  }
  const body: AsyncIterableIterator<Uint8Array> = {
    next,
    // Not a generator: one that was not begun would not pass this on.
    return: () => chunks.return(undefined),
    [Symbol.asyncIterator]: () => body,
  }
  return body
}

async function failure(core: Core, { id }: Upload, error: unknown): Promise<unknown> {
  if ((await core.options.storage.get(id)) === undefined) return missing(core, id)
  const gone = (error as { readonly code?: unknown } | undefined)?.code === 'ERR_BYTES_GONE'
  return gone ? new TusError('ERR_FILE_MISSING', { cause: error }) : error
}
