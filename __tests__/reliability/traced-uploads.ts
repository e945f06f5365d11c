// Uploads to traced servers: what was sent, what was promised by which answer, and what must hold after a power loss.
import { once } from 'node:events'
import { statSync } from 'node:fs'
import type { ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { bytes } from '../../src/testing/subject.js'
import { waitUntil } from '../support/example.js'
import { type Answer, answerTo, openRequest } from '../support/requests.js'
import type { ServerProcess } from '../support/server-process.js'

/** What an answer says of an upload: so many bytes are stored, all of them are, or it is removed. */
export type Promised = { readonly offset: number } | 'complete' | 'removed'

/** One upload. */
export interface TracedUpload {
  readonly id: string
  /** For failures. */
  readonly title: string
  /** All that its client sends, or would have. */
  readonly content: Buffer
  readonly concat: 'partial' | 'final' | undefined
  /** What was promised, and to which port of the client's. */
  readonly promises: { readonly port: number; readonly what: Promised }[]
  /** Of a final upload: what it is made of. */
  readonly partials: readonly TracedUpload[]
}

type Headers = Readonly<Record<string, string | number>>
interface Ported extends Answer {
  readonly port: number
}

/** What was written is committed after this time, in milliseconds, under strace and on a busy machine as well. */
const COMMITTED_AFTER_MS = 500

const CHUNK = { 'Content-Type': 'application/offset+octet-stream' }

/** Uploads all sorts of things. */
export class TracedClient {
  readonly uploads: TracedUpload[] = []
  #count = 0

  /** One PATCH with everything. */
  async single(url: string, size: number): Promise<void> {
    const upload = await this.#create(url, 'single', size)
    await this.#patch(url, upload, 0, size)
  }

  /** Everything in the POST. */
  async withUpload(url: string, size: number): Promise<void> {
    const content = this.#content(size)
    const headers = { 'Upload-Length': size, 'Content-Length': size, ...CHUNK }
    const answer = await this.#ask('POST', url, headers, content)
    this.#made(answer, 'with the POST', content).promises.push({ port: answer.port, what: 'complete' })
  }

  /** A PATCH for each third. */
  async inParts(url: string, size: number): Promise<void> {
    const upload = await this.#create(url, 'in parts', size)
    for (const part of [0, 1, 2]) await this.#patch(url, upload, (size / 3) * part, (size / 3) * (part + 1))
  }

  /** A PATCH whose connection breaks after some segments, and another one. */
  async broken(url: string, size: number): Promise<void> {
    const upload = await this.#create(url, 'broken', size)
    const sent = this.#open(url, upload, 0)
    for (let start = 0; start < size / 2; start += 8000) {
      await new Promise((written) =>
        sent.write(upload.content.subarray(start, Math.min(start + 8000, size / 2)), written),
      )
    }
    // By HEAD the server is asked how far it has come, and cuts the connection.
    const { headers } = await this.#ask('HEAD', `${url}/${upload.id}`)
    sent.destroy()
    await this.#patch(url, upload, Number(headers['upload-offset']), size)
  }

  /** The length comes with the last chunk. */
  async deferred(url: string, size: number): Promise<void> {
    const content = this.#content(size)
    const answer = await this.#ask('POST', url, { 'Upload-Defer-Length': 1 })
    const upload = this.#made(answer, 'deferred length', content)
    await this.#patch(url, upload, 0, size / 2)
    await this.#patch(url, upload, size / 2, size, { 'Upload-Length': size })
  }

  /**
   * Three chunks, each sent until it is stored, whatever the disk does.
   * @returns how many of the requests failed
   */
  async stubborn(url: string, size: number): Promise<number> {
    const upload = await this.#create(url, 'stubborn', size)
    const target = `${url}/${upload.id}`
    let failures = 0
    for (let offset = 0; offset < size; ) {
      const end = Math.min(size, offset + Math.ceil(size / 3))
      const headers = { ...CHUNK, 'Upload-Offset': offset, 'Content-Length': end - offset }
      const { status, port } = await this.#ask('PATCH', target, headers, upload.content.subarray(offset, end))
      if (status === 204) {
        upload.promises.push({ port, what: end === size ? 'complete' : { offset: end } })
        offset = end
        continue
      }
      if (status !== 500 || ++failures > 100) throw new Error(`stubborn: PATCH at ${offset} got ${status}`)
      const known = await this.#ask('HEAD', target)
      offset = Number(known.headers['upload-offset'])
    }
    return failures
  }

  /** Uploads of no bytes, which nobody looks at: so many writes of records. */
  async churn(url: string, count: number): Promise<void> {
    for (let done = 0; done < count; done++) await this.#ask('POST', url, { 'Upload-Length': 1 })
  }

  /** Removed, finished or not. */
  async removed(url: string, size: number): Promise<void> {
    for (const to of [size, size / 2]) {
      const upload = await this.#create(url, `removed at ${to}`, size)
      await this.#patch(url, upload, 0, to)
      const { port } = await this.#ask('DELETE', `${url}/${upload.id}`)
      upload.promises.push({ port, what: 'removed' })
    }
  }

  /** Two partial uploads and a final one, before or after them. */
  async concatenated(url: string, size: number, when: 'before' | 'after'): Promise<void> {
    const partial = { 'Upload-Concat': 'partial' }
    const partials = [
      await this.#create(url, 'partial', size, partial),
      await this.#create(url, 'partial', size / 2, partial),
    ]
    const early = when === 'before' ? await this.#final(url, partials) : undefined
    for (const one of partials) {
      await this.#patch(url, one, 0, one.content.length / 2)
      const port = await this.#patch(url, one, one.content.length / 2, one.content.length)
      if (one === partials[1]) early?.promises.push({ port, what: 'complete' })
    }
    if (early === undefined) await this.#final(url, partials)
  }

  /** A server hangs in the middle of a PATCH, and another one takes over: the upload has two pieces then. */
  async takenOver(hangs: ServerProcess, other: ServerProcess, directory: string, size: number): Promise<void> {
    const upload = await this.#create(hangs.url, 'taken over', size)
    const sent = this.#open(hangs.url, upload, 0)
    sent.write(upload.content.subarray(0, size / 2))
    const part = join(directory, '.resumable-upload/parts', upload.id)
    await waitUntil(() => statSync(part, { throwIfNoEntry: false })?.size === size / 2)
    // Stopped in the middle of a transaction it would keep all others from the database: SQLite's nature.
    await new Promise((resolve) => setTimeout(resolve, COMMITTED_AFTER_MS))
    process.kill(hangs.pid, 'SIGSTOP')
    try {
      const { headers } = await this.#ask('HEAD', `${other.url}/${upload.id}`)
      const offset = Number(headers['upload-offset'])
      const middle = offset + Math.ceil((size - offset) / 2)
      await this.#patch(other.url, upload, offset, middle)
      await this.#patch(other.url, upload, middle, size)
    } finally {
      process.kill(hangs.pid, 'SIGCONT')
    }
    sent.end(upload.content.subarray(size / 2))
    await answerTo(sent).catch(() => {})
  }

  async #create(url: string, title: string, size: number, headers: Headers = {}): Promise<TracedUpload> {
    const answer = await this.#ask('POST', url, { 'Upload-Length': size, 'Content-Length': 0, ...headers })
    return this.#made(answer, title, this.#content(size), 'Upload-Concat' in headers ? 'partial' : undefined)
  }

  async #final(url: string, partials: readonly TracedUpload[]): Promise<TracedUpload> {
    const path = new URL(url).pathname
    const header = `final;${partials.map(({ id }) => `${path}/${id}`).join(' ')}`
    const answer = await this.#ask('POST', url, { 'Upload-Concat': header, 'Content-Length': 0 })
    const upload = this.#made(answer, 'final', Buffer.concat(partials.map(({ content }) => content)), 'final', partials)
    if (partials.every(isPromisedWhole)) upload.promises.push({ port: answer.port, what: 'complete' })
    return upload
  }

  async #patch(url: string, upload: TracedUpload, from: number, to: number, headers: Headers = {}): Promise<number> {
    const body = upload.content.subarray(from, to)
    const all = { ...CHUNK, 'Upload-Offset': from, 'Content-Length': body.length, ...headers }
    const answer = await this.#ask('PATCH', `${url}/${upload.id}`, all, body)
    if (answer.status !== 204) throw new Error(`${upload.title}: PATCH ${from} to ${to} got ${answer.status}`)
    const what = to === upload.content.length ? 'complete' : { offset: to }
    upload.promises.push({ port: answer.port, what })
    return answer.port
  }

  /** A PATCH that says nothing of its length. */
  #open(url: string, upload: TracedUpload, offset: number): ClientRequest {
    return openRequest('PATCH', `${url}/${upload.id}`, { ...CHUNK, 'Upload-Offset': offset })
  }

  async #ask(method: string, url: string, headers: Headers = {}, body?: Buffer): Promise<Ported> {
    const sent = openRequest(method, url, headers)
    const socket = once(sent, 'socket').then(async ([found]: Socket[]) => {
      if (found?.connecting) await once(found, 'connect')
      return found?.localPort ?? 0
    })
    const answer = answerTo(sent)
    sent.end(body)
    return { port: await socket, ...(await answer) }
  }

  #made(
    { status, headers }: Answer,
    title: string,
    content: Buffer,
    concat?: 'partial' | 'final',
    partials: readonly TracedUpload[] = [],
  ): TracedUpload {
    if (status !== 201) throw new Error(`${title}: POST got ${status}`)
    const id = (headers.location ?? '').split('/').at(-1) ?? ''
    const upload = { id, title, content, concat, partials, promises: [] }
    this.uploads.push(upload)
    return upload
  }

  #content(size: number): Buffer {
    // No zeros, which is what a power loss leaves where bytes should be.
    return Buffer.from(bytes(size, ++this.#count).map((byte) => byte || 1))
  }
}

/** Whether the last that was promised of an upload is that it is whole. */
export function isPromisedWhole({ promises }: TracedUpload): boolean {
  return promises.at(-1)?.what === 'complete'
}
