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
  /** Told when the worker has died. */
  readonly onFailure: (failure: Error) => void
}

interface Call {
  resolve(value: unknown): void
  reject(error: Error): void
}

type RequestBody<T = Request> = T extends { readonly id: number } ? Omit<T, 'id'> : never

/** Starts a worker, and talks to it. It keeps the process alive only while somebody waits for an answer. */
export class Link {
  readonly #options: LinkOptions
  readonly #worker: Worker
  readonly #port: MessagePort
  readonly #signal = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  readonly #calls = new Map<number, Call>()
  readonly #readings = new Map<number, Reading>()
  /** Settles when the thread is gone, with all that it had under way in the pool of threads. */
  readonly ended: Promise<void>
  #lastId = 0
  #waiting = 0
  #ending = false
  #failure: Error | undefined

  /** @param options - what to start; {@link helloNow} or {@link hello} must follow, and says how it went */
  constructor(options: LinkOptions) {
    const { port1, port2 } = new MessageChannel()
    const { module, options: ofStorage } = options
    this.#options = options
    this.#port = port1
    this.#worker = startWorker({ module, options: ofStorage, port: port2, signal: this.#signal })
    this.#worker.on('error', (error) => this.#fail('the worker has died', error))
    this.#worker.on('exit', (code) => this.#fail(`the worker has ended with exit code ${code}`))
    this.ended = new Promise((resolve) => this.#worker.once('exit', () => resolve()))
    this.#worker.unref()
  }

  /** Whether it takes requests. */
  get isAlive(): boolean {
    return this.#failure === undefined
  }

  /**
   * Blocks until the worker has made the storage.
   * @returns what the storage can do
   * @throws Error that names the module, if it can't be loaded or makes no storage
   */
  helloNow(): Hello {
    Atomics.wait(this.#signal, 0, 0, this.#options.startTimeoutMs)
    return this.#begin(receiveMessageOnPort(this.#port)?.message as Response | undefined)
  }

  /** Like {@link helloNow}, without blocking. It keeps the process alive. */
  async hello(): Promise<Hello> {
    const first = await new Promise<Response | undefined>((resolve) => {
      const timer = setTimeout(() => resolve(undefined), this.#options.startTimeoutMs)
      const done = (response?: Response): void => {
        clearTimeout(timer)
        resolve(response)
      }
      this.#port.once('message', done)
      this.#worker.once('exit', () => done())
    })
    return this.#begin(first)
  }

  #begin(first: Response | undefined): Hello {
    const { module, startTimeoutMs } = this.#options
    if (first?.kind === 'hello') {
      this.#port.on('message', (response: Response) => this.#receive(response))
      this.#port.on('messageerror', (error) => this.#fail('an answer was not readable', error))
      this.#port.unref()
      return first.hello
    }
    this.#ending = true
    void this.#worker.terminate()
    this.#port.close()
    if (this.#failure !== undefined) throw this.#failure
    if (first?.kind === 'failed')
      throw new Error(about(module, first.error.message), { cause: unpackError(first.error) })
    const ended = Atomics.load(this.#signal, 0) === 1
    throw new Error(about(module, ended ? 'it ended its worker' : `it made no storage within ${startTimeoutMs} ms`))
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
    this.#ending = true
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
    if (this.#waiting++ === 0) this.#keepAlive(true)
    try {
      return await new Promise<T>(start)
    } finally {
      if (--this.#waiting === 0) this.#keepAlive(false)
    }
  }

  #keepAlive(wanted: boolean): void {
    if (wanted) this.#port.ref()
    else this.#port.unref()
    // The port closes before the worker's death is told.
    if (wanted) this.#worker.ref()
    else this.#worker.unref()
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
    this.#failure = unavailable(about(this.#options.module, how), cause)
    for (const call of this.#calls.values()) call.reject(this.#failure)
    for (const reading of this.#readings.values()) reading.end(this.#failure)
    this.#calls.clear()
    this.#port.close()
    if (!this.#ending) this.#options.onFailure(this.#failure)
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

/** The error of calls that a dead worker can't answer: a client may try again. */
export function unavailable(message: string, cause?: unknown): Error {
  const error = new Error(message, cause === undefined ? {} : { cause })
  return Object.assign(error, { code: 'EUNAVAILABLE' })
}

/** Says which module a message is about. */
export function about(module: string, what: string): string {
  return `offload(${module}): ${what}`
}
