// Puts what many requests ask of the database at about the same time into one transaction: locking it and writing the log
// costs more than most statements do.

import { isBusy } from './driver.js'
import type { Writes } from './writes.js'

/** So many at most, so that other processes get at the database, and the event loop at other work. */
const MOST = 64

interface Job {
  /** One or more statements, with no other effects: they may run again. */
  readonly run: () => unknown
  readonly resolve: (value: never) => void
  readonly reject: (error: unknown) => void
}

/** Collects jobs until the events at hand are dealt with, and runs them then. */
export class Batch {
  readonly #transactions: Writes
  #writes: Job[] = []
  #reads: Job[] = []
  #scheduled = false

  /** @param writes - the transactions of the connection */
  constructor(writes: Writes) {
    this.#transactions = writes
  }

  /** Settles with what `run` returns, once that is committed. */
  write<T>(run: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#writes.push({ run, resolve, reject })
      this.#schedule()
    })
  }

  /** Settles with what `run` returns. It sees all that was committed before the call. */
  read<T>(run: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#reads.push({ run, resolve, reject })
      this.#schedule()
    })
  }

  /** Runs all that waits, now. */
  flush(): void {
    const writes = this.#writes
    const reads = this.#reads
    this.#writes = []
    this.#reads = []
    let busy: { readonly error: unknown } | undefined
    for (let at = 0; at < writes.length; at += MOST) {
      const jobs = writes.slice(at, at + MOST)
      // Whoever has the database for so long will have it longer: waited for again, it would hold up everything else here.
      if (busy !== undefined) rejectAll(jobs, busy.error)
      else busy = runAll(jobs, (action) => this.#transactions.transaction(action))
    }
    if (reads.length > 0) runAll(reads, (action) => this.#transactions.reading(action))
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.flush()
    })
  }
}

/** @returns the error, if the database was busy for as long as it is waited for; then what is left was not even tried */
function runAll(
  jobs: readonly Job[],
  transaction: (action: () => unknown[]) => unknown[],
): { readonly error: unknown } | undefined {
  if (jobs.length > 1) {
    try {
      const results = transaction(() => jobs.map(({ run }) => run()))
      for (const [index, { resolve }] of jobs.entries()) resolve(results[index] as never)
      return undefined
    } catch (error) {
      // If not, nothing of it was done. Each by itself, the others don't suffer from the one that fails.
      if (isBusy(error)) return rejectAll(jobs, error)
    }
  }
  for (const [index, { run, resolve, reject }] of jobs.entries()) {
    try {
      resolve(run() as never)
    } catch (error) {
      if (isBusy(error)) return rejectAll(jobs.slice(index), error)
      reject(error)
    }
  }
  return undefined
}

function rejectAll(jobs: readonly Job[], error: unknown): { readonly error: unknown } {
  for (const { reject } of jobs) reject(error)
  return { error }
}
