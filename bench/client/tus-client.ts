// What a tus client does, over one connection. Every answer is checked: a refused request must not count as a fast one.

import type { Answer } from './connection.js'
import { Connection } from './connection.js'

const COMMON = 'Host: 127.0.0.1\r\nTus-Resumable: 1.0.0\r\n'
const FILETYPE = Buffer.from('application/octet-stream').toString('base64')

let uploads = 0

/** More headers of a request. */
export type Headers = Readonly<Record<string, string>>

/** A chunk that goes out in parts. */
export interface StreamedChunk {
  readonly size: number
  readonly parts: Iterable<Uint8Array> | AsyncIterable<Uint8Array>
}

/** A client with one connection. */
export class TusClient {
  readonly #connection: Connection

  private constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Connects. */
  static async open(port: number): Promise<TusClient> {
    return new TusClient(await Connection.open(port))
  }

  /** Creates an upload; returns the path of its URL. */
  async create(length: number | undefined, headers: Headers = {}): Promise<string> {
    const name = Buffer.from(`file-${++uploads}.bin`).toString('base64')
    const size = length === undefined ? '' : `Upload-Length: ${length}\r\n`
    const answer = await this.#connection.send(
      `POST /files HTTP/1.1\r\n${COMMON}${size}Upload-Metadata: filename ${name},filetype ${FILETYPE}\r\n` +
        `${linesOf(headers)}Content-Length: 0\r\n\r\n`,
    )
    expectStatus(answer, 201)
    const location = headerOf(answer, 'location')
    if (location === undefined) throw new Error(`a 201 without Location: ${answer.head}`)
    return location.startsWith('/') && !location.startsWith('//')
      ? location
      : new URL(location, 'http://127.0.0.1').pathname
  }

  /** Sends a chunk; returns the new offset, which must be right. */
  async patch(path: string, offset: number, chunk: Uint8Array | StreamedChunk, headers: Headers = {}): Promise<number> {
    const size = chunk instanceof Uint8Array ? chunk.length : chunk.size
    const head =
      `PATCH ${path} HTTP/1.1\r\n${COMMON}Upload-Offset: ${offset}\r\nContent-Type: application/offset+octet-stream\r\n` +
      `${linesOf(headers)}Content-Length: ${size}\r\n\r\n`
    const answer =
      chunk instanceof Uint8Array
        ? await this.#connection.send(head, chunk)
        : await this.#connection.stream(head, chunk.parts)
    // @uploadx/core answers the last chunk of an upload by 200 and a description of the file.
    if (answer.status !== 200) expectStatus(answer, 204)
    expectOffset(answer, offset + size)
    return offset + size
  }

  /** Asks for the offset, which must be the expected one. */
  async head(path: string, offset: number): Promise<void> {
    const answer = await this.#connection.send(`HEAD ${path} HTTP/1.1\r\n${COMMON}\r\n`)
    expectStatus(answer, 200)
    expectOffset(answer, offset)
  }

  /** The extensions that the server has. */
  async extensions(): Promise<readonly string[]> {
    const answer = await this.#connection.send(`OPTIONS /files HTTP/1.1\r\n${COMMON}\r\n`)
    return headerOf(answer, 'tus-extension')?.split(',') ?? []
  }

  close(): void {
    this.#connection.close()
  }
}

function linesOf(headers: Headers): string {
  let lines = ''
  for (const name in headers) lines += `${name}: ${headers[name]}\r\n`
  return lines
}

function expectStatus(answer: Answer, status: number): void {
  if (answer.status !== status) throw new Error(`expected ${status}, got ${answer.head}`)
}

function expectOffset(answer: Answer, offset: number): void {
  const got = headerOf(answer, 'upload-offset')
  if (Number(got) !== offset || got === undefined) throw new Error(`expected the offset ${offset}, got ${answer.head}`)
}

function headerOf({ head }: Answer, name: string): string | undefined {
  // The head of an answer is short, and case differs from server to server.
  const at = head.toLowerCase().indexOf(`\r\n${name}: `)
  if (at === -1) return undefined
  const from = at + name.length + 4
  return head.slice(from, head.indexOf('\r\n', from))
}
