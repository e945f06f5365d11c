// Puts what many requests ask of the database at about the same time into one transaction: locking it and writing the log
// costs more than most statements do.

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
    for (let at = 0; at < writes.length; at += MOST) {
      const jobs = writes.slice(at, at + MOST)
      runAll(jobs, (action) => this.#transactions.transaction(action))
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

function runAll(jobs: readonly Job[], transaction: (action: () => unknown[]) => unknown[]): void {
  if (jobs.length > 1) {
    let results: unknown[] | undefined
    try {
      results = transaction(() => jobs.map(({ run }) => run()))
    } catch {
      // Nothing of it was done. Each by itself, the others don't suffer from the one that fails.
    }
    if (results !== undefined) {
      for (const [index, { resolve }] of jobs.entries()) resolve(results[index] as never)
      return
    }
  }
  for (const { run, resolve, reject } of jobs) {
    try {
      resolve(run() as never)
    } catch (error) {
      reject(error)
    }
  }
}
