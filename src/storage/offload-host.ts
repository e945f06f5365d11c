// Keeps a worker alive that hosts a storage: one that has died is followed by another one, when the next call comes.

import { about, Link, unavailable } from './offload-link.js'
import type { Hello } from './offload-messages.js'

/** A worker that has lived this long has not died of its start, in milliseconds. */
const STABLE_MS = 60_000
/** After the second failure in a row, in milliseconds; twice as long after each that follows. */
const FIRST_DELAY_MS = 500
const MAX_DELAY_MS = 30_000

/** What {@link Host} needs. */
export interface HostOptions {
  /** The URL of the module that makes the storage. */
  readonly module: string
  readonly options: unknown
  /** How long the module may take, in milliseconds. */
  readonly startTimeoutMs: number
  /** Told of each worker that has died, and of each that did not start. */
  readonly onExit: (failure: Error) => void
}

/** A worker, and those that follow it. */
export class Host {
  readonly #options: HostOptions
  /** What the storage can do. */
  readonly hello: Hello
  #link: Link
  #starting: Promise<Link> | undefined
  #startedAtMs = 0
  #failures = 0
  #failure: Error | undefined
  #retryAtMs = 0
  #closed: Promise<void> | undefined

  /**
   * Blocks until the first worker has made the storage.
   * @throws Error that names the module, if it can't be loaded or makes no storage
   */
  constructor(options: HostOptions) {
    this.#options = options
    this.#link = this.#newLink()
    this.hello = this.#link.helloNow()
    this.#startedAtMs = performance.now()
  }

  /**
   * Calls something on the worker, once there is one.
   * @throws Error with code `EUNAVAILABLE` if there is none at the moment, or it dies before it has answered
   */
  async call<T>(action: (link: Link) => Promise<T>): Promise<T> {
    return action(this.#link.isAlive ? this.#link : await this.link())
  }

  /** The worker, started again if it has died. */
  async link(): Promise<Link> {
    if (this.#closed !== undefined) throw closedError(this.#options.module)
    if (this.#link.isAlive) return this.#link
    if (this.#starting !== undefined) return this.#starting
    const waitMs = Math.ceil(this.#retryAtMs - performance.now())
    if (waitMs > 0) throw unavailable(`${this.#failure?.message}; another one may start in ${waitMs} ms`, this.#failure)
    this.#starting = this.#startAgain().finally(() => {
      this.#starting = undefined
    })
    return this.#starting
  }

  /** Closes the storage, and ends its worker. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    // A worker that is starting is closed as well: it may have opened something.
    const link = this.#starting === undefined ? this.#link : await this.#starting.catch(() => this.#link)
    if (!link.isAlive) return
    try {
      await link.request({ kind: 'call', method: 'close', args: [] }).answer
    } finally {
      await link.end()
    }
  }

  async #startAgain(): Promise<Link> {
    // Until then something of the former one may be writing, to files that the next one goes on with.
    await this.#link.ended
    try {
      const link = this.#newLink()
      await link.hello()
      this.#link = link
      this.#startedAtMs = performance.now()
      return link
    } catch (error) {
      this.#note(error as Error, 0)
      throw unavailable((error as Error).message, error)
    }
  }

  #newLink(): Link {
    const { module, options, startTimeoutMs } = this.#options
    const link: Link = new Link({
      module,
      options,
      startTimeoutMs,
      // Before it is in use, what it dies of comes out of its start.
      onFailure: (failure) => link === this.#link && this.#note(failure, performance.now() - this.#startedAtMs),
    })
    return link
  }

  #note(failure: Error, livedMs: number): void {
    this.#failures = livedMs >= STABLE_MS ? 1 : this.#failures + 1
    this.#failure = failure
    // One that has died once is followed at once: requests wait for it.
    const delayMs = this.#failures === 1 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** (this.#failures - 2), MAX_DELAY_MS)
    this.#retryAtMs = performance.now() + delayMs
    this.#options.onExit(failure)
  }
}

function closedError(module: string): Error {
  return Object.assign(new Error(about(module, 'the storage is closed')), { code: 'ERR_STORAGE_ENDED' })
}
