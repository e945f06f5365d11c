// Puts what many requests ask of the database at about the same time into one transaction: locking it and writing the
// log costs more than most statements do. And waits, off the event loop, for a database that another one is writing to.

import { isBusy, isFull } from './driver.js'
import type { Writes } from './writes.js'

/** So many at most, so that other processes get at the database, and the event loop at other work. */
const MOST = 64
/** For so long a database that somebody else has locked is waited for, in milliseconds. */
const PATIENCE_MS = 5_000
/** How soon it is tried again, in milliseconds: a transaction is short, a sync below it may not be. */
const RETRY_MS = [1, 1, 1, 2, 2, 5, 10]

interface Job {
  /** One or more statements, with no other effects: they may run again. */
  readonly run: () => unknown
  readonly resolve: (value: never) => void
  readonly reject: (error: unknown) => void
  /** Whether it shares its transaction with nobody. */
  readonly alone: boolean
  /** Until when it waits, once it has to. */
  until?: number
  /** Whether room was made for it already. */
  hadRoom?: boolean
}

/** Jobs that can't be done now, and why. */
interface Rest {
  readonly jobs: readonly Job[]
  readonly error: unknown
}

/** What {@link Batch} may be told. */
export interface BatchOptions {
  /** Makes room on a disk that is full. It settles when there may be some. */
  readonly makeRoom?: () => Promise<void>
  /** @default 5000 */
  readonly patienceMs?: number
}

/** Collects jobs until the events at hand are dealt with, and runs them then. */
export class Batch {
  readonly #transactions: Writes
  readonly #makeRoom: (() => Promise<void>) | undefined
  readonly #patienceMs: number
  #writes: Job[] = []
  #reads: Job[] = []
  #scheduled = false
  /** Whether writes wait for something else than the end of these events. */
  #held = false
  #retries = 0
  #onIdle: (() => void) | undefined

  /**
   * @param writes - the transactions of the connection, which must not wait by itself for others
   * @param options - for a full disk and a busy database
   */
  constructor(writes: Writes, { makeRoom, patienceMs = PATIENCE_MS }: BatchOptions = {}) {
    this.#transactions = writes
    this.#makeRoom = makeRoom
    this.#patienceMs = patienceMs
  }

  /** Settles with what `run` returns, once that is committed. */
  write<T>(run: () => T): Promise<T> {
    return this.#add(run, false)
  }

  /** Like {@link write}, in a transaction of its own: `run` may do other things than statements. */
  alone<T>(run: () => T): Promise<T> {
    return this.#add(run, true)
  }

  /** Settles with what `run` returns. It sees all that was committed before the call. */
  read<T>(run: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#reads.push({ run, resolve, reject, alone: false })
      this.#schedule()
    })
  }

  /** Runs all that waits and can be run, now. */
  flush(): void {
    if (!this.#held && this.#writes.length > 0) this.#runWrites()
    if (this.#reads.length > 0) this.#runReads()
    if (this.#onIdle && this.#writes.length + this.#reads.length === 0) this.#onIdle()
  }

  /** Settles when nothing waits any more, whatever has become of it. */
  async close(): Promise<void> {
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve
    })
    this.flush()
    await idle
  }

  #add<T>(run: () => T, alone: boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#writes.push({ run, resolve, reject, alone })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.flush()
    })
  }

  #runWrites(): void {
    const writes = this.#writes
    this.#writes = []
    for (let at = 0; at < writes.length; ) {
      const jobs = writes.slice(at, endOfGroup(writes, at))
      const rest = runAll(jobs, (action) => this.#transactions.transaction(action))
      at += jobs.length
      if (rest !== undefined) {
        this.#hold(rest, writes.slice(at))
        return
      }
      this.#retries = 0
    }
  }

  #runReads(): void {
    const reads = this.#reads
    this.#reads = []
    const rest = runAll(reads, (action) => this.#transactions.reading(action))
    if (rest === undefined) return
    // Rare: another process repairs the log after a crash.
    this.#reads = this.#patient(rest)
    if (this.#reads.length > 0) setTimeout(() => this.flush(), RETRY_MS.at(-1))
  }

  /** Keeps what could not be written until it can be, in its order. */
  #hold(rest: Rest, others: readonly Job[]): void {
    if (isBusy(rest.error)) {
      this.#writes = this.#patient({ jobs: [...rest.jobs, ...others], error: rest.error })
      if (this.#writes.length === 0) return
      this.#held = true
      setTimeout(() => this.#goOn(), RETRY_MS[Math.min(this.#retries++, RETRY_MS.length - 1)])
      return
    }
    this.#writes = [...rest.jobs, ...others]
    this.#held = true
    for (const job of this.#writes) job.hadRoom = true
    const makeRoom = this.#makeRoom ?? (() => Promise.resolve())
    // If there is none, they are told so when they are tried again.
    makeRoom().then(
      () => this.#goOn(),
      () => this.#goOn(),
    )
  }

  #goOn(): void {
    this.#held = false
    this.flush()
  }

  /** Those that may wait for longer. The others are over. */
  #patient({ jobs, error }: Rest): Job[] {
    const now = performance.now()
    return jobs.filter((job) => {
      job.until ??= now + this.#patienceMs
      if (job.until > now) return true
      job.reject(error)
      return false
    })
  }
}

function endOfGroup(jobs: readonly Job[], from: number): number {
  if (jobs[from]?.alone) return from + 1
  const most = Math.min(from + MOST, jobs.length)
  for (let at = from + 1; at < most; at++) if (jobs[at]?.alone) return at
  return most
}

/** @returns what can't be done now: the database is busy, or the disk is full and no room was made yet */
function runAll(jobs: readonly Job[], transaction: (action: () => unknown[]) => unknown[]): Rest | undefined {
  if (jobs.length > 1) {
    try {
      const results = transaction(() => jobs.map(({ run }) => run()))
      for (const [index, { resolve }] of jobs.entries()) resolve(results[index] as never)
      return undefined
    } catch (error) {
      // If not, nothing of it was done. Each by itself, the others don't suffer from the one that fails.
      if (isBusy(error)) return { jobs, error }
    }
  }
  for (const [index, { run, alone, resolve, reject, hadRoom }] of jobs.entries()) {
    try {
      resolve((alone ? transaction(() => [run()])[0] : run()) as never)
    } catch (error) {
      if (isBusy(error) || (isFull(error) && !hadRoom)) return { jobs: jobs.slice(index), error }
      reject(error)
    }
  }
  return undefined
}
