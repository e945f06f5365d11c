// Requests to an upload server on a real socket, by node:http.
import { once } from 'node:events'
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { buffer } from 'node:stream/consumers'

/** An answer, read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

type Headers = Readonly<Record<string, string | number>>

const CHUNK = { 'Content-Type': 'application/offset+octet-stream' }

/** Begins a request; its body and its end are the caller's. */
export function openRequest(method: string, url: string, headers: Headers = {}): ClientRequest {
  // A connection of its own, which the server is not told: it would close it after an early answer.
  const keepAlive = { 'Tus-Resumable': '1.0.0', Connection: 'keep-alive', ...headers }
  const opened = request(url, { method, agent: false, headers: keepAlive })
  // After an early answer, the rest of the body may meet a connection that is gone.
  opened.on('error', () => {})
  return opened
}

/** Begins a PATCH, and waits until the server reads its body. */
export async function openPatch(url: string, offset: number, length: number): Promise<ClientRequest> {
  const headers = { ...CHUNK, 'Upload-Offset': offset, 'Content-Length': length, Expect: '100-continue' }
  const patch = openRequest('PATCH', url, headers)
  patch.flushHeaders()
  await once(patch, 'continue')
  return patch
}

/** The answer to a request. */
export async function answerTo(sent: ClientRequest): Promise<Answer> {
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const body = await buffer(response)
  return { status: response.statusCode ?? 0, headers: response.headers, body: body.toString() }
}

/** Sends a request and waits for the answer. */
export function ask(method: string, url: string, headers: Headers = {}, body?: Buffer): Promise<Answer> {
  const sent = openRequest(method, url, headers)
  const answer = answerTo(sent)
  sent.end(body)
  return answer
}

/** Sends a chunk. */
export function sendChunk(url: string, offset: number, body: Buffer, headers: Headers = {}): Promise<Answer> {
  return ask('PATCH', url, { ...CHUNK, 'Upload-Offset': offset, 'Content-Length': body.length, ...headers }, body)
}

/** Creates an upload; returns its URL. */
export async function createUpload(endpoint: string, length: number, others: Headers = {}): Promise<string> {
  const { status, headers } = await ask('POST', endpoint, { 'Upload-Length': length, 'Content-Length': 0, ...others })
  if (status !== 201) throw new Error(`the upload was not created: ${status}`)
  return new URL(headers.location ?? '', endpoint).href
}

/** The offset of an upload; `undefined` if there is none. */
export async function offsetOf(url: string): Promise<number | undefined> {
  const { headers } = await ask('HEAD', url)
  return headers['upload-offset'] === undefined ? undefined : Number(headers['upload-offset'])
}
