// HEAD of a finished file, by a client that says nothing of tus: a browser, a CDN, a download manager.

import type { Core } from '../core.js'
import type { TusRequest, TusResponse } from '../request.js'
import { download } from './get.js'

/**
 * Whether a request asks for a file as HTTP has it, so that no rule of tus concerns it: GET, and HEAD without a word of
 * tus where GET is answered. A request that names its method by `X-HTTP-Method-Override` speaks tus.
 */
export function asksForFile({ options }: Core, { method, headers }: TusRequest): boolean {
  if (method === 'GET') return true
  if (method !== 'HEAD' || !options.downloads || options.storage.read === undefined) return false
  return headers['tus-resumable'] === undefined && headers['x-http-method-override'] === undefined
}

/**
 * Answers HEAD by the headers that GET would have (RFC 9110, 9.3.2), of the whole file: ranges are for GET only (14.2).
 * @throws TusError what {@link download} throws
 */
export async function describeFile(
  core: Core,
  request: TusRequest,
  id: string,
  createdAtMs?: number,
): Promise<TusResponse> {
  const { range: _, ...headers } = request.headers
  const { body, ...answer } = await download(core, { ...request, headers }, id, createdAtMs)
  // It may hold a descriptor.
  if (body !== undefined && Symbol.asyncIterator in body) await body[Symbol.asyncIterator]().return?.()
  return { ...answer, body: undefined }
}
