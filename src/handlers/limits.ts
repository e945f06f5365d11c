// What refuses a request by its size, before its body is read.

import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import { parseContentLength } from '../headers/integer.js'
import { hookRequest } from '../hooks.js'
import type { TusRequest } from '../request.js'

/**
 * The largest upload that a request may create or go on with, in bytes; `undefined` for no limit.
 * @throws TypeError if the application's function gives something else: no limit must come of a mistake
 */
export async function maxSizeFor(core: Core, request: TusRequest): Promise<number | undefined> {
  const { maxSize } = core.options
  if (typeof maxSize !== 'function') return maxSize
  const limit: unknown = (await maxSize(hookRequest(request))) ?? undefined
  if (limit === undefined || (typeof limit === 'number' && !Number.isNaN(limit))) return limit
  throw new TypeError(`TusServer: maxSize must give a number of bytes, not ${String(limit)}`)
}

/**
 * Checks what `Content-Length` says of a body.
 * @param offset - where its bytes begin
 * @param length - the length of the upload, if known
 * @throws TusError `ERR_CHUNK_TOO_LARGE`, `ERR_BODY_TOO_LONG`, `ERR_MAX_SIZE_EXCEEDED`
 */
export function checkBodyLength(
  core: Core,
  request: TusRequest,
  { offset, length, maxSize }: { offset: number; length: number | undefined; maxSize: number | undefined },
): void {
  const bodyLength = parseContentLength(request.headers['content-length'])
  if (bodyLength === undefined) return
  if (bodyLength > core.options.maxChunkSize) throw new TusError('ERR_CHUNK_TOO_LARGE')
  if (length !== undefined && offset + bodyLength > length) throw new TusError('ERR_BODY_TOO_LONG')
  if (offset + bodyLength > (maxSize ?? Number.MAX_SAFE_INTEGER)) throw new TusError('ERR_MAX_SIZE_EXCEEDED')
}
