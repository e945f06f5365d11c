// The body of a Node request as the core reads it: lazily, gathered by raw-body or streamed, with nothing lost on abort.

import getRawBody from 'raw-body'
import { TusError } from '../errors.js'
import { parseContentLength } from '../headers/integer.js'
import type { AdapterBody, RequestBody } from '../request.js'
import type { AdapterRequest } from './request-target.js'

/**
 * The body of a request.
 * @param bufferLimit - up to so many bytes a body with a `Content-Length` is gathered into one Buffer
 * @returns `undefined` if the request has none
 */
export function bodyOf(req: AdapterRequest, bufferLimit: number): RequestBody | undefined {
  const length = parseContentLength(req.headers['content-length'])
  if (req.headers['transfer-encoding'] === undefined && (length === undefined || length === 0)) return undefined
  if (req.readableDidRead || req.readableEnded) return consumedBody(req, length)
  return new StreamedBody(req, length !== undefined && length <= bufferLimit ? length : 0)
}

/** Whether a request has a body of which a part has not arrived yet. */
export function isStillComing(req: AdapterRequest): boolean {
  return !req.complete && (req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length']) > 0)
}

/** What a middleware before this one has made of the body: of use only if it is all of its bytes. */
function consumedBody(req: AdapterRequest, length: number | undefined): RequestBody {
  const { body } = req
  const inflated = req.headers['content-encoding'] !== undefined
  if (body instanceof Uint8Array && (length === undefined || length === body.length || inflated)) return body
  return {
    [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new TusError('ERR_BODY_CONSUMED')) }),
  }
}

type Result = IteratorResult<Uint8Array, undefined>
const DONE: Result = { done: true, value: undefined }

class StreamedBody implements AdapterBody, AsyncIterator<Uint8Array, undefined> {
  gathers: number
  readonly #req: AdapterRequest
  readonly #queue: Uint8Array[] = []
  #pull: { resolve(result: Result): void; reject(error: unknown): void } | undefined
  #started = false
  #ended = false
  #error: unknown

  constructor(req: AdapterRequest, gathers: number) {
    this.#req = req
    this.gathers = gathers
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array, undefined> {
    return this
  }

  streamInstead(): void {
    this.gathers = 0
  }

  next(): Promise<Result> {
    if (!this.#started) this.#start()
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
    this.#queue.length = 0
    this.#end()
    return Promise.resolve(DONE)
  }

  stop(): void {
    this.#end()
  }

  #start(): void {
    this.#started = true
    const req = this.#req
    if (req.destroyed || req.socket.destroyed) {
      this.#end(new Error('the request was aborted'))
      return
    }
    // Beside raw-body too: on an abort it drops what it has gathered.
    req.on('data', this.#onData)
    req.on('error', this.#onError)
    req.on('close', this.#onClose)
    if (this.gathers === 0) req.on('end', this.#onEnd)
    else this.#gather()
  }

  #gather(): void {
    getRawBody(this.#req, { length: this.gathers, limit: this.gathers }).then((whole) => {
      if (this.#ended) return
      this.#queue.length = 0
      this.#queue.push(whole)
      this.#end()
    }, this.#onError)
  }

  readonly #onData = (chunk: Uint8Array | string): void => {
    if (typeof chunk === 'string') {
      // Somebody called setEncoding: the bytes can't be had back.
      this.#end(new TusError('ERR_BODY_CONSUMED'))
    } else if (this.gathers > 0 || this.#pull === undefined) {
      this.#queue.push(chunk)
      if (this.gathers === 0) this.#req.pause()
    } else {
      const { resolve } = this.#pull
      this.#pull = undefined
      resolve({ done: false, value: chunk })
    }
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
    // The listener for errors stays: one may come when the socket is destroyed, and nobody else listens.
    if (this.#started && !this.#req.readableEnded) this.#req.pause()
    const pull = this.#pull
    this.#pull = undefined
    if (pull !== undefined) this.next().then(pull.resolve, pull.reject)
  }
}
