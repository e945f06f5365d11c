// A proxy that counts the bytes of bodies: what the client has sent, and what went on to the server.
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request that came through. */
export interface Counted {
  readonly method: string
  /** Its `Upload-Offset`; `NaN` if it has none. */
  readonly offset: number
  /** How many bytes of its body have left the client. */
  sent: number
  /** How many of them went on to the server. */
  passed: number
}

/** A running proxy. */
export interface CountingProxy {
  readonly port: number
  readonly requests: readonly Counted[]
  /** Sends new requests to another server from here on. */
  redirect(port: number): void
  /** From here on no body gets further than so many bytes: it stalls then. */
  limit(bytes: number): void
  /** Settles when so many bytes of one body have gone on to the server. */
  passed(bytes: number): Promise<void>
  close(): Promise<void>
}

/** Puts one before a server. */
export async function startCountingProxy(serverPort: number): Promise<CountingProxy> {
  const requests: Counted[] = []
  let port = serverPort
  let limit = Number.POSITIVE_INFINITY
  let onPassed = (): void => {}

  const join = (req: IncomingMessage, res: ServerResponse): void => {
    const offset = Number(req.headers['upload-offset'] ?? Number.NaN)
    const counted: Counted = { method: req.method ?? '', offset, sent: 0, passed: 0 }
    requests.push(counted)
    const upstream = request({
      host: '127.0.0.1',
      port,
      method: req.method,
      path: req.url,
      headers: req.headers,
      agent: false,
    })
    upstream.on('response', (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(res)
    })
    // A connection that breaks on the one side breaks on the other.
    upstream.on('error', () => req.socket.destroy())
    req.on('error', () => upstream.destroy())
    req.on('data', (chunk: Uint8Array) => {
      counted.sent += chunk.length
      const part = chunk.subarray(0, limit - counted.passed)
      counted.passed += part.length
      if (part.length < chunk.length) req.pause()
      else if (!upstream.write(part, () => onPassed())) {
        req.pause()
        upstream.once('drain', () => req.resume())
      }
      if (part.length > 0 && part.length < chunk.length) upstream.write(part, () => onPassed())
    })
    req.on('end', () => upstream.end())
  }

  const server = createServer(join)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    redirect: (to) => {
      port = to
    },
    limit: (bytes) => {
      limit = bytes
    },
    passed: (bytes) =>
      new Promise((resolve) => {
        onPassed = () => {
          if (requests.some(({ passed }) => passed >= bytes)) resolve()
        }
        onPassed()
      }),
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
