// Clients that reach an application through a proxy: one that can be cut, curl, and tus-js-client.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { connect, type IncomingHttpHeaders } from 'node:http2'
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import { DefaultHttpStack, Upload, type UploadOptions } from 'tus-js-client'
import { afterTest } from '../support/example.js'
import type { RunningProxy } from './proxy.js'

const TUS = { 'Tus-Resumable': '1.0.0' }
const CHUNK = { ...TUS, 'Content-Type': 'application/offset+octet-stream' }

type Headers = Readonly<Record<string, string | number>>

/** Begins a request, which ends with the test; its body is the caller's. */
export function open({ origin, ca }: RunningProxy, method: string, path: string, headers: Headers): ClientRequest {
  const opened = request(new URL(path, origin), { method, ca, agent: false, headers: { ...TUS, ...headers } })
  opened.on('error', () => {})
  // Some proxies end no sooner than their connections.
  afterTest(() => {
    opened.destroy()
  })
  return opened
}

/** Sends a request without a body, and waits for the answer. */
export async function ask(
  proxy: RunningProxy,
  method: string,
  path: string,
  headers: Headers = {},
): Promise<IncomingMessage> {
  const opened = open(proxy, method, path, headers).end()
  const [response] = (await once(opened, 'response')) as [IncomingMessage]
  response.resume()
  return response
}

/** Sends a request without a body over HTTP/2, and waits for the answer. */
export async function askHttp2({ origin, ca }: RunningProxy, method: string, path: string, headers: Headers = {}) {
  const session = connect(origin, { ca })
  afterTest(() => session.destroy())
  const stream = session.request({ ':method': method, ':path': path, ...TUS, ...headers }, { endStream: true })
  const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status'?: number }]
  stream.resume()
  return { statusCode: answer[':status'], headers: answer }
}

/** Creates an upload; returns its Location. */
export async function create(proxy: RunningProxy, length: number, path = '/files'): Promise<string> {
  const { statusCode, headers } = await ask(proxy, 'POST', path, { 'Upload-Length': length, 'Content-Length': 0 })
  if (statusCode !== 201) throw new Error(`the upload was not created: ${statusCode}`)
  return headers.location ?? ''
}

/** The offset of an upload. */
export async function offsetOf(proxy: RunningProxy, path: string): Promise<number> {
  return Number((await ask(proxy, 'HEAD', path)).headers['upload-offset'])
}

/** Begins a PATCH at the start of an upload, and sends what there is of its body. */
export function beginPatch(proxy: RunningProxy, path: string, begin: Buffer, framing: Headers): ClientRequest {
  const opened = open(proxy, 'PATCH', path, { ...CHUNK, 'Upload-Offset': 0, ...framing })
  opened.write(begin)
  return opened
}

/** What curl said of one request. */
export interface CurlResult {
  readonly status: number
  readonly httpVersion: string
  readonly body: string
}

/** Sends a file as the body of a PATCH by curl. */
export async function curlPatch(proxy: RunningProxy, path: string, file: string, options: readonly string[]) {
  const headers = Object.entries({ ...CHUNK, 'Upload-Offset': '0' }).flatMap(([name, value]) => [
    '-H',
    `${name}: ${value}`,
  ])
  const child = spawn(
    'curl',
    ['-s', '--insecure', '-X', 'PATCH', '--data-binary', `@${file}`, '-w', '\n%{http_code} %{http_version}']
      .concat(headers, options)
      .concat(new URL(path, proxy.origin).href),
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const output = await text(child.stdout)
  const [, body = '', status, httpVersion = ''] = /^([\s\S]*)\n(\d+) (\S+)$/.exec(output) ?? []
  return { status: Number(status), httpVersion, body } satisfies CurlResult
}

/** Uploads by tus-js-client; settles with the URL. */
export function upload(proxy: RunningProxy, content: Buffer, options: UploadOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    // Buffers work as files in Node, though the types of the client only know those of browsers.
    const upload: Upload = new Upload(content as unknown as Blob, {
      endpoint: `${proxy.origin}/files`,
      httpStack: new DefaultHttpStack({ ca: proxy.ca }),
      onSuccess: () => resolve(upload.url ?? ''),
      onError: reject,
      ...options,
    })
    upload.start()
  })
}
