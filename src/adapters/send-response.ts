// Writes an answer of the core: through Express's own methods where they exist, through Node's where not.

import type { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { TusResponse } from '../request.js'
import { closeAfterAnswer } from './early-answer.js'
import { isStillComing } from './request-body.js'
import type { AdapterRequest } from './request-target.js'

/** What Express adds to a response. */
interface ExpressResponse extends ServerResponse {
  status(code: number): this
  set(headers: Readonly<Record<string, string>>): this
  send(body?: unknown): this
}

/** Writes an answer. Settles when it is handed over; never rejects because the client is gone. */
export async function sendResponse(req: AdapterRequest, res: ServerResponse, response: TusResponse): Promise<void> {
  if (response.destroy) {
    req.socket.destroy()
    return
  }
  if (res.destroyed || res.headersSent || req.socket.destroyed) return
  if (isStillComing(req)) closeAfterAnswer(req, res)
  const { status, body } = response
  const headers = withVaryOf(res, response.headers)
  if (isExpress(res)) res.status(status).set(headers)
  else return sendByNode(req, res, { ...response, headers })
  // Express's send answers a HEAD with If-None-Match by 304, on which clients start a new upload; a GET, too, which may
  // be a HEAD by X-HTTP-Method-Override.
  if (req.method === 'HEAD' || (req.method === 'GET' && body === undefined)) res.end()
  // Without an argument where there is no body: an empty one would get an ETag and a content type.
  else if (body === undefined) res.send()
  else if (body instanceof Uint8Array) res.send(Buffer.from(body.buffer, body.byteOffset, body.length))
  else await pipeline(Readable.from(body), res).catch(() => {})
}

async function sendByNode(req: AdapterRequest, res: ServerResponse, response: TusResponse): Promise<void> {
  const { status, headers, body } = response
  if (body !== undefined && !(body instanceof Uint8Array) && req.method !== 'HEAD') {
    res.writeHead(status, headers)
    await pipeline(Readable.from(body), res).catch(() => {})
    return
  }
  // Said by us: Node would send an answer that is written in two steps in chunks. A 204, a 304 and a HEAD say nothing of it.
  const bytes = body instanceof Uint8Array ? body : undefined
  const length =
    status === 204 || status === 304 || req.method === 'HEAD' ? {} : { 'Content-Length': bytes?.length ?? 0 }
  res.writeHead(status, { ...headers, ...length })
  req.method === 'HEAD' ? res.end() : res.end(bytes)
}

/** `Vary` is a list that others may have begun: a cache must go by all of it. */
function withVaryOf(res: ServerResponse, headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const begun = headers.Vary === undefined ? undefined : res.getHeader('Vary')
  return begun === undefined ? headers : { ...headers, Vary: `${begun}, ${headers.Vary}` }
}

function isExpress(res: ServerResponse): res is ExpressResponse {
  const { status, set, send } = res as Partial<ExpressResponse>
  return typeof status === 'function' && typeof set === 'function' && typeof send === 'function'
}
