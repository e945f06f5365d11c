// Moves the write-ahead log into the database from a worker, so that its syncs hold up no request.

import { Worker } from 'node:worker_threads'
import { workerSource } from '../../worker-sources.js'
import { MODULE_FOLDERS, type SQLiteDriver } from './driver.js'

/** A checkpoint is due after so many writes: some 4 to 12 MiB of log. */
const WRITES_PER_CHECKPOINT = 1000
/** A log that has grown to so many pages (32 MiB) is started over, for which writes have to wait a moment. */
const MAX_LOG_PAGES = 8192

/** Give up on the worker after this many consecutive failures. */
const MAX_FAILURES = 3

/** What a checkpoint worker is started with. */
export interface CheckpointWorkerData {
  readonly path: string
  readonly driver: SQLiteDriver | undefined
  /** Where `better-sqlite3` is looked for. */
  readonly moduleFolders: readonly string[]
  readonly maxLogPages: number
}

/** What the worker says after a checkpoint. */
export type CheckpointOutcome = 'done' | 'failed'

/** What {@link Checkpointer} needs. */
export interface CheckpointerOptions {
  /** The database file. */
  readonly path: string
  readonly driver: SQLiteDriver | undefined
  /** @default 8192 (32 MiB) */
  readonly maxLogPages?: number
  /** Called after each checkpoint; `asked`: it was one by {@link Checkpointer.run}. */
  readonly onDone?: (outcome: CheckpointOutcome, asked: boolean) => void
  /**
   * Called once when the worker has failed too often in a row: the owner must checkpoint by itself from then on.
   * `cause` is the last failure.
   */
  readonly onFailure: (cause: unknown) => void
}

/** Counts writes, and has a worker (started with the first checkpoint) check the log in. */
export class Checkpointer {
  readonly #options: CheckpointerOptions
  #writes = 0
  #worker: Worker | undefined
  #busy = false
  #over = false
  #failures = 0
  /** Who waits for the checkpoint that is under way. */
  #asked: readonly (() => void)[] = []
  /** Who waits for the next one. */
  #waiting: (() => void)[] = []

  /** @param options - the database, and what to do if the worker fails */
  constructor(options: CheckpointerOptions) {
    this.#options = options
  }

  /** Says that the database was written to. It never throws: what was written is written. */
  wrote(): void {
    if (++this.#writes < WRITES_PER_CHECKPOINT || this.#busy || this.#over) return
    this.#begin()
  }

  /**
   * Settles after a checkpoint that begins from now on, whatever has become of it.
   * @returns `undefined` if there is no worker to do it
   */
  run(): Promise<void> | undefined {
    if (this.#over) return undefined
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      if (this.#busy) this.#worker?.ref()
      else this.#begin()
    })
  }

  /** Ends the worker, after the checkpoint that is under way. */
  async close(): Promise<void> {
    if (this.#over) return
    this.#over = true
    const worker = this.#worker
    if (worker === undefined) return
    await new Promise((resolve) => {
      worker.once('exit', resolve)
      worker.ref()
      worker.postMessage('close')
    })
  }

  #begin(): void {
    this.#writes = 0
    this.#busy = true
    this.#asked = this.#waiting
    this.#waiting = []
    try {
      this.#worker ??= this.#start()
      // Somebody's request waits for it.
      if (this.#asked.length > 0) this.#worker.ref()
      this.#worker.postMessage('checkpoint')
    } catch (error) {
      // No thread can be had at the moment.
      this.#failed(error)
    }
  }

  #ended(outcome: CheckpointOutcome): void {
    this.#busy = false
    this.#failures = 0
    const asked = this.#asked
    this.#asked = []
    // When it closes, its end is waited for.
    if (!this.#over) this.#worker?.unref()
    for (const resolve of asked) resolve()
    this.#options.onDone?.(outcome, asked.length > 0)
    if (this.#waiting.length > 0) this.#begin()
  }

  /** The next checkpoint that is due has a worker of its own. */
  #failed(cause: unknown): void {
    this.#worker = undefined
    this.#busy = false
    const waiting = [...this.#asked, ...this.#waiting]
    this.#asked = []
    this.#waiting = []
    if (!this.#over && ++this.#failures >= MAX_FAILURES) {
      this.#over = true
      this.#options.onFailure(cause)
    }
    for (const resolve of waiting) resolve()
  }

  #start(): Worker {
    const { path, driver, maxLogPages = MAX_LOG_PAGES } = this.#options
    const worker = new Worker(workerSource('checkpoint-worker'), {
      eval: true,
      workerData: { path, driver, moduleFolders: MODULE_FOLDERS, maxLogPages } satisfies CheckpointWorkerData,
      execArgv: [],
    })
    worker.on('message', (outcome: CheckpointOutcome) => this.#ended(outcome))
    // A worker may end without an error, too: something that runs in every thread (an agent, a preloaded module) ends
    // it.
    const onEnd = (cause: unknown): void => {
      if (this.#worker === worker) this.#failed(cause)
    }
    worker.on('error', onEnd)
    worker.on('exit', (code) => onEnd(new Error(`the worker ended with exit code ${code}`)))
    // At last: a listener for messages would take it back.
    worker.unref()
    return worker
  }
}
