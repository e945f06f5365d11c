// Writes an answer of the core: through Express's own methods where they exist, through Node's where not.

import type { ServerResponse } from 'node:http'
import type { TusResponse } from '../request.js'
import { closeAfterAnswer } from './early-answer.js'
import { isStillComing } from './request-body.js'
import type { AdapterRequest } from './request-target.js'
import { streamAnswer, type Watch } from './stream-answer.js'

/** What Express adds to a response. */
interface ExpressResponse extends ServerResponse {
  status(code: number): this
  set(headers: Readonly<Record<string, string>>): this
  send(body?: unknown): this
}

/**
 * Writes an answer. Settles when it is handed over; never rejects because the client is gone.
 * @param watch - cuts an answer that is streamed if its client takes too little of it
 */
export async function sendResponse(
  req: AdapterRequest,
  res: ServerResponse,
  response: TusResponse,
  watch: Watch,
): Promise<void> {
  const { status, body } = response
  if (response.destroy) req.socket.destroy()
  if (response.destroy || res.destroyed || res.headersSent || req.socket.destroyed) return drop(body)
  if (isStillComing(req)) closeAfterAnswer(req, res)
  const headers = withBegun(res, response.headers)
  if (!isExpress(res)) return sendByNode(req, res, { ...response, headers }, watch)
  res.status(status).set(headers)
  if (res.hasHeader('Content-Type')) keepType(res, headers)
  // Express's send answers a HEAD with If-None-Match by 304, on which clients start a new upload; a GET, too, which may
  // be a HEAD by X-HTTP-Method-Override.
  if (req.method === 'HEAD' || (req.method === 'GET' && body === undefined)) {
    drop(body)
    res.end()
  }
  // Without an argument where there is no body: an empty one would get a content type.
  else if (body === undefined) res.send()
  else if (body instanceof Uint8Array) {
    // `send` makes an entity tag where there is none. This is none, too: Node writes a line for each of its values.
    if (!res.hasHeader('ETag')) res.setHeader('ETag', [])
    res.send(Buffer.from(body.buffer, body.byteOffset, body.length))
  } else await streamAnswer(req, res, body, watch)
}

/** Express's `set` adds a charset to what it takes for text: an answer is the same from every adapter. */
function keepType(res: ExpressResponse, headers: Readonly<Record<string, string>>): void {
  for (const name in headers) if (name.toLowerCase() === 'content-type') res.setHeader(name, headers[name] as string)
}

/** Gives back what a body holds that nobody reads. */
function drop(body: TusResponse['body']): void {
  if (body === undefined || body instanceof Uint8Array) return
  body[Symbol.asyncIterator]()
    .return?.()
    .catch(() => {})
}

async function sendByNode(
  req: AdapterRequest,
  res: ServerResponse,
  response: TusResponse,
  watch: Watch,
): Promise<void> {
  const { status, headers, body } = response
  if (body !== undefined && !(body instanceof Uint8Array) && req.method !== 'HEAD') {
    res.writeHead(status, headers)
    return streamAnswer(req, res, body, watch)
  }
  drop(body)
  // Said by us: Node would send an answer that is written in two steps in chunks. A 204, a 304 and a HEAD say nothing
  // of it.
  const bytes = body instanceof Uint8Array ? body : undefined
  const length =
    status === 204 || status === 304 || req.method === 'HEAD' ? {} : { 'Content-Length': bytes?.length ?? 0 }
  res.writeHead(status, { ...headers, ...length })
  req.method === 'HEAD' ? res.end() : res.end(bytes)
}

/** What others before have said of an answer, and the core can't know. */
function withBegun(res: ServerResponse, headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { Vary, 'Cross-Origin-Resource-Policy': policy } = headers
  // `Vary` is a list that others may have begun: a cache must go by all of it.
  const vary = Vary && res.getHeader('Vary')
  // Who may embed a file is the application's to say.
  const own = policy && res.getHeader('Cross-Origin-Resource-Policy')
  if (!vary && !own) return headers
  return {
    ...headers,
    ...(vary && { Vary: `${vary}, ${Vary}` }),
    ...(own && { 'Cross-Origin-Resource-Policy': String(own) }),
  }
}

function isExpress(res: ServerResponse): res is ExpressResponse {
  const { status, set, send } = res as Partial<ExpressResponse>
  return typeof status === 'function' && typeof set === 'function' && typeof send === 'function'
}
