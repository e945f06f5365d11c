// The connection with a worker that hosts a storage: calls with ids, readings with a window, and its death.

import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { workerSource } from '../worker-sources.js'
import { type Hello, type OffloadWorkerData, type Request, type Response, unpackError } from './offload-messages.js'
import { Reading } from './offload-reading.js'

/** How many chunks a worker may send ahead of a reader. */
const READ_WINDOW = 4

/** What to start a worker with. */
export interface LinkOptions {
  /** The URL of the module that makes the storage. */
  readonly module: string
  readonly options: unknown
  /** How long the module may take, in milliseconds. */
  readonly startTimeoutMs: number
}

interface Call {
  resolve(value: unknown): void
  reject(error: Error): void
}

type RequestBody<T = Request> = T extends { readonly id: number } ? Omit<T, 'id'> : never

/** Starts a worker, and talks to it. It keeps the process alive only while somebody waits for an answer. */
export class Link {
  readonly #module: string
  readonly #worker: Worker
  readonly #port: MessagePort
  readonly #calls = new Map<number, Call>()
  readonly #readings = new Map<number, Reading>()
  /** What the storage can do. */
  readonly hello: Hello
  #lastId = 0
  #waiting = 0
  #failure: Error | undefined

  /**
   * Blocks until the worker has made the storage.
   * @throws Error that names the module, if it can't be loaded or makes no storage
   */
  constructor({ module, options, startTimeoutMs }: LinkOptions) {
    const { port1, port2 } = new MessageChannel()
    const signal = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
    this.#module = module
    this.#port = port1
    this.#worker = startWorker({ module, options, port: port2, signal })
    this.#worker.on('error', (error) => this.#fail('the worker has died', error))
    this.#worker.on('exit', (code) => this.#fail(`the worker has ended with exit code ${code}`))
    this.#worker.unref()
    Atomics.wait(signal, 0, 0, startTimeoutMs)
    const first = receiveMessageOnPort(port1)?.message as Response | undefined
    if (first?.kind !== 'hello') {
      void this.#worker.terminate()
      port1.close()
      if (first?.kind === 'failed')
        throw new Error(about(module, first.error.message), { cause: unpackError(first.error) })
      const ended = Atomics.load(signal, 0) === 1
      throw new Error(about(module, ended ? 'it ended its worker' : `it made no storage within ${startTimeoutMs} ms`))
    }
    this.hello = first.hello
    port1.on('message', (response: Response) => this.#receive(response))
    port1.on('messageerror', (error) => this.#fail('an answer was not readable', error))
    port1.unref()
  }

  /** Sends a request; settles with its answer. `id` is the number that names it from then on. */
  request(request: RequestBody, transferred?: ArrayBuffer): { readonly id: number; readonly answer: Promise<unknown> } {
    const id = ++this.#lastId
    const answer = this.#whileAlive<unknown>((resolve, reject) => {
      this.#post({ ...request, id } as Request, transferred)
      this.#calls.set(id, { resolve, reject })
    })
    return { id, answer }
  }

  /** Reads chunks as the consumer takes them. */
  async *read(args: readonly [id: string, start: number, end: number]): AsyncGenerator<Uint8Array> {
    const id = ++this.#lastId
    const reading = new Reading()
    if (this.#failure) throw this.#failure
    this.#post({ kind: 'read', id, args, window: READ_WINDOW })
    this.#readings.set(id, reading)
    try {
      for (;;) {
        const chunk = await this.#whileAlive<Uint8Array | undefined>((resolve, reject) => reading.next(resolve, reject))
        if (chunk === undefined) return
        this.#post({ kind: 'more', id })
        yield chunk
      }
    } finally {
      // What the storage holds for the reading (a descriptor, say) is freed before this has ended.
      if (!reading.ended) await this.#stop(id, reading)
      this.#readings.delete(id)
    }
  }

  /** Ends the worker. Later calls are rejected. */
  async end(): Promise<void> {
    this.#fail('the storage is closed')
    await this.#worker.terminate()
  }

  async #stop(id: number, reading: Reading): Promise<void> {
    this.#post({ kind: 'stop', id })
    try {
      while ((await this.#whileAlive<Uint8Array | undefined>((...settle) => reading.next(...settle))) !== undefined);
    } catch {
      // Nobody is interested in the rest any more.
    }
  }

  #post(request: Request, transferred?: ArrayBuffer): void {
    this.#port.postMessage(request, transferred === undefined ? [] : [transferred])
  }

  /** A promise that keeps the process alive until it has settled. */
  async #whileAlive<T>(start: (resolve: (value: T) => void, reject: (error: Error) => void) => void): Promise<T> {
    if (this.#failure) throw this.#failure
    if (this.#waiting++ === 0) this.#port.ref()
    try {
      return await new Promise<T>(start)
    } finally {
      if (--this.#waiting === 0) this.#port.unref()
    }
  }

  #receive(response: Response): void {
    if (response.kind === 'result' || response.kind === 'error') {
      const call = this.#calls.get(response.id)
      this.#calls.delete(response.id)
      if (response.kind === 'result') call?.resolve(response.value)
      else call?.reject(unpackError(response.error))
    } else if (response.kind === 'chunk') {
      this.#readings.get(response.id)?.push(response.chunk)
    } else if (response.kind === 'end') {
      this.#readings.get(response.id)?.end(response.error && unpackError(response.error))
    }
  }

  #fail(how: string, cause?: unknown): void {
    if (this.#failure) return
    // What it has answered before it died counts.
    for (let left = receiveMessageOnPort(this.#port); left; left = receiveMessageOnPort(this.#port)) {
      this.#receive(left.message as Response)
    }
    const failure = new Error(about(this.#module, how), cause === undefined ? {} : { cause })
    this.#failure = Object.assign(failure, { code: 'ERR_STORAGE_ENDED' })
    for (const call of this.#calls.values()) call.reject(this.#failure)
    for (const reading of this.#readings.values()) reading.end(this.#failure)
    this.#calls.clear()
    this.#port.close()
  }
}

function startWorker(data: OffloadWorkerData): Worker {
  try {
    return new Worker(workerSource('offload-worker'), {
      eval: true,
      workerData: data,
      transferList: [data.port],
      ...inheritable(),
    })
  } catch (error) {
    const { name, message } = error as Error
    if (name !== 'DataCloneError') throw error
    throw new TypeError(about(data.module, `its options can't be passed to a worker: ${message}`), { cause: error })
  }
}

/** The worker runs with the flags of the process, a loader for TypeScript say, unless it would die of one. */
function inheritable(): { execArgv?: string[] } {
  return process.execArgv.some((flag) => flag.startsWith('--input-type')) ? { execArgv: [] } : {}
}

function about(module: string, what: string): string {
  return `offload(${module}): ${what}`
}
