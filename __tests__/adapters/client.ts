// Clients that can do what well-behaved ones don't: stall, lie, break off, and send anything as a path.

import { type ClientRequest, request } from 'node:http'
import { connect, type Socket } from 'node:net'

/** An answer. Names of headers are in lower case. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
}

/** A request by Node's own client. */
export interface Call {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly body?: string | Uint8Array
  /** Sends no end of the body. */
  readonly open?: boolean
  /** What follows the body, which is chunked then. */
  readonly trailers?: Readonly<Record<string, string>>
}

export const TUS = { 'Tus-Resumable': '1.0.0' }
export const CHUNK = { ...TUS, 'Content-Type': 'application/offset+octet-stream' }

/** Opens a request and sends what there is of its body. */
export function open(
  port: number,
  { method, path, headers = {}, body, open: unfinished = false, trailers }: Call,
): ClientRequest {
  const defined = Object.entries(headers).filter(([, value]) => value !== undefined)
  const outgoing = Object.fromEntries(defined) as Record<string, string | string[]>
  const client = request({ port, host: '127.0.0.1', method, path, headers: outgoing, agent: false })
  if (unfinished) {
    client.flushHeaders()
    if (body !== undefined && body.length > 0) client.write(body)
  } else {
    if (trailers) {
      client.flushHeaders()
      client.addTrailers(trailers)
    }
    client.end(body)
  }
  return client
}

/** The answer to a request. */
export function answerOf(client: ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    client.on('error', reject)
    client.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const headers = Object.fromEntries(
          Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
        )
        resolve({ status: response.statusCode ?? 0, headers, body: Buffer.concat(chunks).toString() })
      })
    })
  })
}

/** Sends a request and waits for its answer, whether the body has been taken or not. */
export async function send(port: number, call: Call): Promise<Answer> {
  const client = open(port, call)
  try {
    return await answerOf(client)
  } finally {
    client.destroy()
  }
}

/** Creates an upload; returns its Location. */
export async function create(port: number, length: number | 'deferred', path = '/files'): Promise<string> {
  const known = length === 'deferred' ? { 'Upload-Defer-Length': '1' } : { 'Upload-Length': String(length) }
  const answer = await send(port, { method: 'POST', path, headers: { ...TUS, ...known } })
  if (answer.status !== 201 || answer.headers.location === undefined) throw new Error(`not created: ${answer.status}`)
  return answer.headers.location
}

/** Sends a chunk. */
export function patch(
  port: number,
  path: string,
  offset: number,
  body: string | Uint8Array,
  headers: Call['headers'] = {},
) {
  return send(port, { method: 'PATCH', path, headers: { ...CHUNK, 'Upload-Offset': String(offset), ...headers }, body })
}

/** Asks for the offset of an upload. */
export async function offsetOf(port: number, path: string): Promise<number> {
  const { headers } = await send(port, { method: 'HEAD', path, headers: TUS })
  return Number(headers['upload-offset'])
}

/** A connection on which a test writes its bytes itself. */
export class RawConnection {
  readonly socket: Socket
  /** Settles when the connection is gone, for whichever reason. */
  readonly closed: Promise<void>
  /** Whether it was reset. */
  reset = false
  #received = ''
  #ended = false
  #arrived: () => void = () => {}

  private constructor(socket: Socket) {
    this.socket = socket.setNoDelay()
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.reset = error.code === 'ECONNRESET' || error.code === 'EPIPE'
    })
    socket.on('data', (data) => {
      this.#received += data.toString('latin1')
      this.#arrived()
    })
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#ended = true
        this.#arrived()
      })
    }
  }

  /** Connects. */
  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: '127.0.0.1' })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new RawConnection(socket))
      })
    })
  }

  /** Everything that has come so far and was not taken by {@link RawConnection.answer}. */
  get received(): string {
    return this.#received
  }

  /** Writes bytes; settles when they have left for the kernel. */
  write(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => this.socket.write(data, () => resolve()))
  }

  /** Writes the head of a request. */
  head(method: string, path: string, headers: Readonly<Record<string, string | number>>): Promise<void> {
    const lines = Object.entries({ Host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
    return this.write(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
  }

  /** Takes the next answer. */
  async answer(method = 'GET'): Promise<Answer> {
    for (;;) {
      const end = this.#received.indexOf('\r\n\r\n')
      if (end !== -1) {
        const [first = '', ...lines] = this.#received.slice(0, end).split('\r\n')
        const headers = Object.fromEntries(
          lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]),
        )
        const status = Number(first.split(' ')[1])
        const bodiless = method === 'HEAD' || status === 204 || status < 200
        const rest = this.#received.slice(end + 4)
        const chunked = !bodiless && headers['transfer-encoding'] === 'chunked'
        const length = bodiless ? 0 : Number(headers['content-length'] ?? 0)
        const taken = chunked ? takeChunks(rest) : takeBytes(rest, length)
        if (taken !== undefined) {
          this.#received = taken.rest
          return { status, headers, body: taken.body }
        }
      }
      if (this.#ended) throw new Error(`the connection ended after ${JSON.stringify(this.#received)}`)
      await new Promise<void>((resolve) => {
        this.#arrived = resolve
      })
    }
  }

  /** Breaks the connection off. */
  destroy(): void {
    this.socket.destroy()
  }
}

interface Taken {
  readonly body: string
  readonly rest: string
}

function takeBytes(text: string, length: number): Taken | undefined {
  return text.length < length ? undefined : { body: text.slice(0, length), rest: text.slice(length) }
}

/** A body in chunks, without trailers, if all of it is there. */
function takeChunks(text: string): Taken | undefined {
  let body = ''
  for (let start = 0; ; ) {
    const size = /^([0-9a-f]+)\r\n/i.exec(text.slice(start, start + 12))
    if (size === null) return undefined
    const from = start + size[0].length
    const length = Number.parseInt(size[1] as string, 16)
    if (text.length < from + length + 2) return undefined
    body += text.slice(from, from + length)
    start = from + length + 2
    if (length === 0) return { body, rest: text.slice(start) }
  }
}

/** Settles when a connection of the server has read so many bytes in all. */
export async function untilRead(socket: Socket | undefined, bytes: number): Promise<void> {
  while (socket !== undefined && socket.bytesRead < bytes) await new Promise((resolve) => setImmediate(resolve))
}

/** Settles when a connection of the server reads no more; returns how much it has read. */
export async function untilQuiet(socket: Socket): Promise<number> {
  for (let before = -1; before !== socket.bytesRead; await idle(100)) before = socket.bytesRead
  return socket.bytesRead
}

/** Lets everything run that can run without new input. */
export async function idle(rounds = 50): Promise<void> {
  for (let round = 0; round < rounds; round++) await new Promise((resolve) => setImmediate(resolve))
}
