// A client of the soak test: requests that get through a network however bad it is, and what it checks of the answers.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import { Upload, type UploadOptions } from 'tus-js-client'
import { idOf, sha256 } from '../support/client-site.js'
import { type Answer, ask, openRequest, sendChunk } from '../support/requests.js'
import type { Random } from './random.js'

/** Unfinished uploads expire after so long without a byte, in milliseconds. */
export const EXPIRY_MS = 8_000
const RETRY_MS = 20
/** After so many tries in vain something is wrong with more than the network. */
const MOST_TRIES = 200
const CHUNK_TYPE = 'application/offset+octet-stream'

/** An upload whose bytes are all there. */
export interface Finished {
  readonly id: string
  readonly url: string
  readonly content: Buffer
}

/**
 * What became of an upload that was to be finished. `expired`: the machine was so slow that it did meanwhile;
 * `given up`: by tus-js-client, which does not try again where the request that joins parallel uploads is not answered.
 */
export type Outcome = Finished | 'expired' | 'given up'

/** How the raw client sends an upload. */
export interface Sending {
  /** Whether the length is said with the last chunk only. */
  readonly deferred?: boolean
  /** Whether each chunk has a checksum. */
  readonly checked?: boolean
}

/** One client, on one way to the server. */
export class SoakClient {
  readonly #endpoint: string
  readonly #random: Random
  readonly #startedAtMs = performance.now()

  constructor(endpoint: string, random: Random) {
    this.#endpoint = endpoint
    this.#random = random
  }

  /** Creates an upload; one that was created in vain since the answer was lost is left to expire. */
  async create(content: Buffer, { deferred = false }: Sending = {}): Promise<string> {
    const length = deferred ? { 'Upload-Defer-Length': 1 } : { 'Upload-Length': content.length }
    // Not all of it: if the answer were lost, the upload would be finished, and nobody would know of it.
    const first = content.subarray(0, Math.min(this.#random.pick([0, 0, 1000, 50_000]), content.length - 1))
    const type = first.length > 0 ? { 'Content-Type': CHUNK_TYPE } : {}
    const headers = { ...length, ...type, 'Content-Length': first.length }
    const answer = await untilAnswered(() => ask('POST', this.#endpoint, headers, first))
    expectStatus(answer, 201)
    return new URL(answer.headers.location ?? '', this.#endpoint).href
  }

  /** Sends what is missing of an upload: asks how far it has come and goes on there, as often as it takes. */
  async finish(url: string, content: Buffer, { deferred = false, checked = false }: Sending = {}): Promise<Outcome> {
    for (;;) {
      const head = await untilAnswered(() => ask('HEAD', url))
      if (head.status === 410 && this.#isOld) return 'expired'
      expectStatus(head, 200)
      const offset = Number(head.headers['upload-offset'])
      const length = head.headers['upload-length']
      if (length === String(offset)) return this.#finished(url, content, head.headers['x-sha256'])
      const chunk = content.subarray(offset, offset + this.#random.pick([20_000, 200_000, 2_000_000]))
      const isLast = offset + chunk.length === content.length
      const answer = await attempt(() =>
        sendChunk(url, offset, chunk, {
          ...(deferred && isLast && { 'Upload-Length': content.length }),
          ...(checked && { 'Upload-Checksum': checksumOf(chunk) }),
        }),
      )
      if (answer !== undefined) expectStatus(answer, 204, 409, 410, 423)
    }
  }

  /** Sends a whole upload by tus-js-client. */
  async send(content: Buffer, options: UploadOptions): Promise<Outcome> {
    const missing: string[] = []
    try {
      return await new Promise<Finished>((resolve, reject) => {
        const upload: Upload = new Upload(content as never, {
          endpoint: this.#endpoint,
          retryDelays: Array(MOST_TRIES).fill(RETRY_MS),
          // It would start a new upload, and nobody would learn that the one before is lost.
          onAfterResponse: (req, res) => {
            if (req.getMethod() === 'HEAD' && res.getStatus() === 404) missing.push(req.getURL())
          },
          onSuccess: ({ lastResponse }) => {
            const hash = lastResponse.getHeader('X-SHA256')
            if (missing.length > 0) reject(new Error(`no such upload: ${missing}`))
            else resolve(this.#finished(upload.url ?? '', content, hash))
          },
          onError: reject,
          ...options,
        })
        upload.start()
      })
    } catch (error) {
      if (this.#isOld && /names something that is no partial upload/.test(String(error))) return 'expired'
      if (options.parallelUploads !== undefined && isOfConnection(error)) return 'given up'
      throw error
    }
  }

  /** Whether uploads may have expired while this client was at them. */
  get #isOld(): boolean {
    return performance.now() - this.#startedAtMs > EXPIRY_MS
  }

  /** Checks the hash that the server has made of the finished file. */
  #finished(url: string, content: Buffer, hash: string | string[] | undefined): Finished {
    if (hash !== sha256(content)) throw new Error(`${url} has the hash ${hash}`)
    return { id: idOf(url), url, content }
  }
}

/** What `Upload-Checksum` says of a chunk. */
export function checksumOf(chunk: Uint8Array): string {
  return `sha1 ${createHash('sha1').update(chunk).digest('base64')}`
}

/** @throws Error if it is none of these */
export function expectStatus({ status, body }: Answer, ...expected: readonly number[]): void {
  if (!expected.includes(status)) throw new Error(`status ${status} instead of ${expected}: ${body}`)
}

/** Tries until there is an answer, and one that does not ask to come again. */
export async function untilAnswered(request: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    const answer = await attempt(request)
    if (answer !== undefined && answer.status !== 423) return answer
    await wait(RETRY_MS)
  }
  throw new Error(`no answer after ${MOST_TRIES} tries`)
}

/** What is answered, or nothing if the connection breaks. */
export async function attempt<T>(request: () => Promise<T>): Promise<T | undefined> {
  try {
    return await request()
  } catch (error) {
    if (!isOfConnection(error)) throw error
    return undefined
  }
}

function isOfConnection(error: unknown): boolean {
  return ['ECONNRESET', 'ECONNREFUSED', 'EPIPE'].includes(String((error as NodeJS.ErrnoException).code))
}

/** The bytes that GET is answered by, with its status. */
export async function fetchBytes(url: string, range?: string): Promise<{ status: number; bytes: Buffer }> {
  const response = await responseTo(openGet(url, range))
  return { status: response.statusCode ?? 0, bytes: await buffer(response) }
}

/** Begins to download, and stops after the first bytes. */
export async function glanceAt(url: string): Promise<void> {
  const request = openGet(url)
  const response = await responseTo(request)
  await once(response, 'readable')
  request.destroy()
}

function openGet(url: string, range?: string): ClientRequest {
  const request = openRequest('GET', url, range === undefined ? {} : { Range: range })
  request.end()
  return request
}

async function responseTo(request: ClientRequest): Promise<IncomingMessage> {
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return response
}
