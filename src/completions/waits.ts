// Requests that wait until an upload is settled: however many there are for one upload, one loop looks after it.

import type { Core } from '../core.js'
import type { Upload } from '../upload.js'
import { processing } from './processing.js'

/** How often the record is read of an upload that another process is at work for, in milliseconds. */
const CHECK_MS = 250

/** What {@link Waits} needs of the loop around it. */
export interface WaitActions {
  /** Whether nothing is to be waited for. */
  isThrough(upload: Upload): boolean
  /** The try that runs here, if one does. */
  running(id: string): Promise<unknown> | undefined
  /**
   * Makes a try if it is due.
   * @param dead - an instance that is known to be dead: its try may be taken over
   * @returns whether it was begun
   */
  begin(upload: Upload, dead: string | undefined): Promise<boolean>
  /** Told of what goes wrong. */
  report(error: unknown): void
}

/** The loop for one upload. */
interface Watch {
  /** What ends the wait of each request. */
  readonly waiting: Set<() => void>
  /** Ends the pause of a loop that nobody waits for any more. */
  abandon: () => void
}

/** Waits for completions. */
export class Waits {
  readonly #core: () => Core
  readonly #actions: WaitActions
  readonly #watches = new Map<string, Watch>()
  /** Who waits for each try that runs. */
  readonly #ends = new WeakMap<Promise<unknown>, Set<() => void>>()
  #stopped = false

  /**
   * @param core - the server's parts; asked for when they are needed
   * @param actions - how tries are joined and made
   */
  constructor(core: () => Core, actions: WaitActions) {
    this.#core = core
    this.#actions = actions
  }

  /**
   * Waits until a complete upload is settled.
   * @returns the upload as it is then; `undefined` if it was removed
   * @throws TusError `ERR_PROCESSING` after the wait, or if its last try failed
   */
  async settled(id: string, signal: () => AbortSignal | undefined): Promise<Upload | undefined> {
    const { storage, claimWaitMs, now } = this.#core().options
    if (!this.#stopped) await this.#wait(this.#watchOf(id), claimWaitMs, signal())
    const upload = await storage.get(id)
    const completion = upload?.completion
    if (upload === undefined || completion === undefined || this.#actions.isThrough(upload)) return upload
    const isLater = completion.worker === undefined && completion.dueAtMs !== undefined
    throw processing(isLater ? (completion.dueAtMs ?? 0) - now() : undefined)
  }

  /** Ends all waits, those to come included. */
  stop(): void {
    this.#stopped = true
    for (const { waiting } of this.#watches.values()) for (const end of [...waiting]) end()
  }

  /** Settles when the watch is over, the time has gone by, or the client is gone. */
  #wait(watch: Watch, ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', end)
        watch.waiting.delete(end)
        if (watch.waiting.size === 0) watch.abandon()
        resolve()
      }
      const timer = setTimeout(end, ms)
      watch.waiting.add(end)
      signal?.addEventListener('abort', end)
      if (signal?.aborted) end()
    })
  }

  #watchOf(id: string): Watch {
    const present = this.#watches.get(id)
    if (present !== undefined) return present
    const waiting = new Set<() => void>()
    let abandon = (): void => {}
    const abandoned = new Promise<void>((resolve) => {
      abandon = resolve
    })
    const watch: Watch = { waiting, abandon: () => this.#abandon(id, abandon) }
    this.#watches.set(id, watch)
    this.#run(id, waiting, abandoned)
      .catch((error) => this.#actions.report(error))
      .then(() => {
        if (this.#watches.get(id) === watch) this.#watches.delete(id)
        for (const end of [...waiting]) end()
      })
    return watch
  }

  #abandon(id: string, abandon: () => void): void {
    this.#watches.delete(id)
    abandon()
  }

  /**
   * Settles when a try is over, or nobody waits for it any more. Not by a race: what has waited for a promise stays in
   * memory as long as that does not settle, and a hook may run for hours while any number of requests come and go.
   */
  #end(running: Promise<unknown>, abandoned: Promise<void>): Promise<void> {
    const ends = this.#ends.get(running) ?? this.#endsOf(running)
    return new Promise((resolve) => {
      const end = (): void => {
        ends.delete(end)
        resolve()
      }
      ends.add(end)
      void abandoned.then(end)
    })
  }

  #endsOf(running: Promise<unknown>): Set<() => void> {
    const ends = new Set<() => void>()
    const endAll = (): void => {
      for (const end of ends) end()
    }
    this.#ends.set(running, ends)
    running.then(endAll, endAll)
    return ends
  }

  async #run(id: string, waiting: ReadonlySet<unknown>, abandoned: Promise<void>): Promise<void> {
    const { options, claims } = this.#core()
    do {
      const running = this.#actions.running(id)
      // One that fails is tried again later, and its error is reported by who made it.
      if (running !== undefined) await this.#end(running, abandoned)
      const upload = await options.storage.get(id)
      const completion = upload?.completion
      if (upload === undefined || completion === undefined || this.#actions.isThrough(upload)) return
      const { worker, dueAtMs = 0 } = completion
      const isDue = dueAtMs <= options.now()
      if (!isDue && worker === undefined) return
      const dead = !isDue && worker !== undefined && (await claims.isDead(worker)) ? worker : undefined
      const begun = (isDue || dead !== undefined) && (await this.#actions.begin(upload, dead))
      if (!begun) await pause(abandoned)
    } while (waiting.size > 0)
  }
}

async function pause(abandoned: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const passed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, CHECK_MS)
  })
  await Promise.race([passed, abandoned])
  clearTimeout(timer)
}
