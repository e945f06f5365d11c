// Moves the write-ahead log into the database from a worker, so that its syncs hold up no request.

import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { here } from '../../here.cjs'
import type { SQLiteDriver } from './driver.js'

/** A checkpoint is due after so many writes: some 4 to 12 MiB of log. */
const WRITES_PER_CHECKPOINT = 1000
/** A log that has grown to so many pages (32 MiB) is started over, for which writers have to wait a moment. */
const MAX_LOG_PAGES = 8192

/** What a checkpoint worker is started with. */
export interface CheckpointWorkerData {
  readonly path: string
  readonly driver: SQLiteDriver | undefined
  readonly maxLogPages: number
}

/** What the worker says after a checkpoint. */
export type CheckpointOutcome = 'done' | 'failed'

/** What {@link Checkpointer} needs. */
export interface CheckpointerOptions {
  /** The database file. */
  readonly path: string
  readonly driver: SQLiteDriver | undefined
  /** Called after each checkpoint. */
  readonly onDone?: (outcome: CheckpointOutcome) => void
  /** Called once if the worker fails: the owner must checkpoint by itself from then on. */
  readonly onFailure: () => void
}

/** Counts writes, and has a worker (started with the first checkpoint) check the log in. */
export class Checkpointer {
  readonly #options: CheckpointerOptions
  #writes = 0
  #worker: Worker | undefined
  #busy = false
  #over = false

  /** @param options - the database, and what to do if the worker fails */
  constructor(options: CheckpointerOptions) {
    this.#options = options
  }

  /** Says that the database was written to. */
  wrote(): void {
    if (++this.#writes < WRITES_PER_CHECKPOINT || this.#busy || this.#over) return
    this.#writes = 0
    this.#busy = true
    this.#worker ??= this.#start()
    this.#worker.postMessage('checkpoint')
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

  #start(): Worker {
    const { path, driver, onDone, onFailure } = this.#options
    const worker = new Worker(join(here, 'storage/sqlite/checkpoint-worker.js'), {
      workerData: { path, driver, maxLogPages: MAX_LOG_PAGES } satisfies CheckpointWorkerData,
      execArgv: [],
    })
    worker.on('message', (outcome: CheckpointOutcome) => {
      this.#busy = false
      onDone?.(outcome)
    })
    worker.on('error', () => {
      if (this.#over) return
      this.#over = true
      onFailure()
    })
    // At last: a listener for messages would take it back.
    worker.unref()
    return worker
  }
}
