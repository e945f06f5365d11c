// The body of a Node request as the core reads it: lazily, gathered by raw-body or streamed, with nothing lost on
// abort.

import { isUint8Array } from 'node:util/types'
import getRawBody from 'raw-body'
import { isTusError, TusError } from '../errors.js'
import { parseContentLength } from '../headers/integer.js'
import type { AdapterBody, RequestBody, RequestHeaders } from '../request.js'
import { releaseMemory } from './release-memory.js'
import type { AdapterRequest } from './request-target.js'

/**
 * The body of a request.
 * @param bufferLimit - up to so many bytes a body with a `Content-Length` is gathered into one Buffer
 * @returns `undefined` if the request has none
 */
export function bodyOf(req: AdapterRequest, bufferLimit: number): RequestBody | undefined {
  const length = parseContentLength(req.headers['content-length'])
  if (!hasBody(req)) return undefined
  if (req.readableDidRead || req.readableEnded) return consumedBody(req, length)
  return new StreamedBody(req, length !== undefined && length <= bufferLimit ? length : 0)
}

/** Whether a request has a body of which a part has not arrived yet. */
export function isStillComing(req: AdapterRequest): boolean {
  return !req.complete && hasBody(req)
}

/** Whether the head says that a body follows. In HTTP/2 that is no header's business (RFC 9113, 8.1). */
function hasBody({ headers, httpVersionMajor, stream }: AdapterRequest): boolean {
  if (headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > 0) return true
  if (httpVersionMajor < 2 || headers['content-length'] !== undefined || stream?.endAfterHeaders) return false
  // A client may end a request without a body only after its headers, but then says of no type.
  return headers['content-type'] !== undefined
}

/**
 * The headers of a request as they hold for its body: a middleware before this one may have undone its codings.
 * @param body - as {@link bodyOf} gave it
 */
export function headersOf({ headers }: AdapterRequest, body: RequestBody | undefined): RequestHeaders {
  if (!(body instanceof Uint8Array) || headers['content-encoding'] === undefined) return headers
  // What is exactly as long as it was sent is what was sent.
  if (parseContentLength(headers['content-length']) === body.length) return headers
  return { ...headers, 'content-encoding': undefined, 'content-length': String(body.length) }
}

/** What a middleware before this one has made of the body: of use only if it is all of its bytes. */
function consumedBody(req: AdapterRequest, length: number | undefined): RequestBody {
  const { body } = req
  const inflated = req.headers['content-encoding'] !== undefined
  if (isUint8Array(body) && (length === undefined || length === body.length || inflated)) return body
  return {
    [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new TusError('ERR_BODY_CONSUMED')) }),
  }
}

type Result = IteratorResult<Uint8Array, undefined>
const DONE: Result = { done: true, value: undefined }

/**
 * Whether the chunks come out of Node's parser of HTTP/1, which makes a buffer for each: not those of HTTP/2, where
 * several may lie in one, nor those of a test that makes up requests of buffers of its own.
 */
function isParsedByNode({ socket }: AdapterRequest): boolean {
  const { parser } = socket as { parser?: unknown }
  return typeof parser === 'object' && parser !== null
}

class StreamedBody implements AdapterBody, AsyncIterator<Uint8Array, undefined> {
  gathers: number
  received = 0
  readonly #req: AdapterRequest
  readonly #queue: Uint8Array[] = []
  #pull: { resolve(result: Result): void; reject(error: unknown): void } | undefined
  /** Whether nobody else has seen any of it: then its memory is nobody else's, either. */
  #isAlone: boolean
  #started = false
  #ended = false
  #error: unknown

  constructor(req: AdapterRequest, gathers: number) {
    this.#req = req
    this.gathers = gathers
    this.#isAlone = isParsedByNode(req)
  }

  get ready(): boolean {
    if (this.#req.complete) return true
    // What is being gathered is yielded only as a whole.
    const yields = this.gathers === 0 || this.#ended
    return yields && (this.#queue.length > 0 || this.#req.readableLength > 0)
  }

  get whole(): boolean {
    return this.#req.complete
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return this
  }

  takeWhole(): Uint8Array | undefined {
    const req = this.#req
    if (this.gathers === 0 || !req.complete || req.readableLength !== this.gathers) return undefined
    if (this.#started || this.#ended || this.#isConsumed || req.destroyed) return undefined
    this.#ended = true
    this.received = this.gathers
    return this.#read()
  }

  release(chunks: readonly Uint8Array[]): void {
    if (this.#isAlone) releaseMemory(chunks)
  }

  streamInstead(): void {
    this.gathers = 0
  }

  next(): Promise<Result> {
    if (!this.#started && !this.#ended) this.#start()
    // What is being gathered is yielded as a whole, or as what there is of it at an early end.
    const chunk = this.gathers === 0 || this.#ended ? this.#queue.shift() : undefined
    if (chunk !== undefined) return Promise.resolve({ done: false, value: chunk })
    if (this.#ended) return this.#error === undefined ? Promise.resolve(DONE) : Promise.reject(this.#error)
    return new Promise((resolve, reject) => {
      this.#pull = { resolve, reject }
      if (this.#req.isPaused()) this.#req.resume()
    })
  }

  return(): Promise<Result> {
    this.#end()
    this.#queue.length = 0
    return Promise.resolve(DONE)
  }

  stop(): void {
    this.#end()
  }

  /** Whether somebody has read of it since the request came in, or has it as text, or reads it in his own way. */
  get #isConsumed(): boolean {
    const req = this.#req
    return req.readableDidRead || req.readableEncoding !== null || req.listenerCount('readable') > 0
  }

  #start(): void {
    this.#started = true
    const req = this.#req
    if (this.#isConsumed) {
      this.#end(new TusError('ERR_BODY_CONSUMED'))
      return
    }
    if (req.listenerCount('data') > 0) this.#isAlone = false
    // It stays after the end: an error may come when the socket is destroyed, and nobody else listens.
    req.on('error', this.#onError)
    if (req.destroyed || req.socket.destroyed) {
      this.#end(new Error('the request was aborted'))
      return
    }
    // Beside raw-body too: on an abort it drops what it has gathered.
    req.on('data', this.#onData)
    req.on('close', this.#onClose)
    if (this.gathers === 0) req.on('end', this.#onEnd)
    else getRawBody(req, { length: this.gathers, limit: this.gathers }, this.#onGathered)
  }

  readonly #onData = (chunk: Uint8Array): void => {
    this.received += chunk.length
    if (this.#req.listenerCount('data') > 1) this.#isAlone = false
    if (this.gathers > 0 || this.#pull === undefined) {
      this.#queue.push(chunk)
      if (this.gathers === 0) this.#req.pause()
    } else {
      const { resolve } = this.#pull
      this.#pull = undefined
      resolve({ done: false, value: chunk })
    }
  }

  // By callback: a promise would settle only after the request's own `close`.
  readonly #onGathered = (error: Error | null | undefined, whole: Uint8Array): void => {
    if (this.#ended) return
    if (!error) this.#queue.splice(0, this.#queue.length, whole)
    this.#end(error ?? undefined)
  }

  readonly #onEnd = (): void => this.#end()

  readonly #onError = (error: unknown): void => this.#end(error)

  readonly #onClose = (): void => {
    this.#end(this.#req.readableEnded ? undefined : new Error('the request was aborted'))
  }

  /** The body is over, in whichever way: what is in the queue is still to be had, and the error comes after it. */
  #end(error?: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#req.off('data', this.#onData)
    this.#req.off('end', this.#onEnd)
    this.#req.off('close', this.#onClose)
    if (this.#started && !this.#req.readableEnded) this.#req.pause()
    if (!isTusError(error)) this.#takeRest()
    const pull = this.#pull
    this.#pull = undefined
    if (pull !== undefined) this.next().then(pull.resolve, pull.reject)
  }

  /** Takes what has arrived, which whoever listens is told as well. */
  #read(): Uint8Array | undefined {
    if (this.#req.listenerCount('data') > 0) this.#isAlone = false
    return this.#req.read() ?? undefined
  }

  /** What has arrived and waits in the request's own buffer counts, too: a request that is destroyed drops it. */
  #takeRest(): void {
    const { readableLength, readableEncoding } = this.#req
    const rest = readableLength > 0 && readableEncoding === null ? this.#read() : undefined
    if (rest !== undefined) this.#queue.push(rest)
  }
}
