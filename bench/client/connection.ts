// One keep-alive connection that speaks just enough HTTP/1.1 for a load generator: it must cost less than any server.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const LAST_CHUNK = '0\r\n\r\n'

/** What came back. */
export interface Answer {
  readonly status: number
  /** Status line and headers, as they came. */
  readonly head: string
}

interface Pending {
  readonly bodiless: boolean
  resolve(answer: Answer): void
  reject(error: Error): void
}

/** A connection. One request at a time. */
export class Connection {
  readonly #socket: Socket
  #pending: Pending | undefined
  #received: Buffer | undefined
  #failure: Error | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the server closed the connection')))
  }

  /** Connects. */
  static async open(port: number): Promise<Connection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    return new Connection(socket)
  }

  /** Sends a request whose body is at hand. */
  send(head: string, body?: Uint8Array): Promise<Answer> {
    const answer = this.#expect(head)
    if (body === undefined) this.#socket.write(head, 'latin1')
    else {
      this.#socket.cork()
      this.#socket.write(head, 'latin1')
      this.#socket.write(body)
      this.#socket.uncork()
    }
    return answer
  }

  /** Sends a request whose body comes in chunks, as fast as the server takes them. */
  async stream(head: string, chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<Answer> {
    const answer = this.#expect(head)
    // Awaited below; a failure while the chunks are still going out must not count as unhandled.
    answer.catch(() => {})
    this.#socket.write(head, 'latin1')
    for await (const chunk of chunks) {
      if (this.#pending === undefined) break
      if (!this.#socket.write(chunk)) await this.#drained()
    }
    return answer
  }

  close(): void {
    this.#pending = undefined
    this.#socket.destroy()
  }

  #expect(head: string): Promise<Answer> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#pending = { bodiless: head.startsWith('HEAD'), resolve, reject }
    })
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        this.#socket.off('drain', settle)
        this.#socket.off('close', settle)
        resolve()
      }
      this.#socket.on('drain', settle)
      this.#socket.on('close', settle)
    })
  }

  #read(chunk: Buffer): void {
    const data = this.#received === undefined ? chunk : Buffer.concat([this.#received, chunk])
    this.#received = undefined
    const end = data.indexOf('\r\n\r\n')
    if (end === -1) {
      this.#received = data
      return
    }
    const head = data.toString('latin1', 0, end + 2)
    const status = Number(head.slice(9, 12))
    const bodiless = this.#pending?.bodiless === true || status === 204
    if (!bodiless && !isWhole(head, data.subarray(end + 4))) {
      this.#received = data
      return
    }
    const pending = this.#pending
    this.#pending = undefined
    if (pending === undefined) this.#fail(new Error(`an answer that nobody asked for: ${head}`))
    else pending.resolve({ status, head })
  }

  #fail(error: Error): void {
    this.#failure ??= error
    const pending = this.#pending
    this.#pending = undefined
    pending?.reject(this.#failure)
  }
}

/** Whether all of a body has come. What the servers under measurement put into theirs does not look like a last chunk. */
function isWhole(head: string, body: Buffer): boolean {
  const length = /\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1]
  return length === undefined ? body.toString('latin1').endsWith(LAST_CHUNK) : body.length >= Number(length)
}
