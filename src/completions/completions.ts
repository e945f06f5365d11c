// Runs what follows when an upload is complete (the application's hook, making one file of a concatenation): at least
// once, by one server instance at a time, until it succeeds.

import { assemble } from '../assembly.js'
import type { Core } from '../core.js'
import { isTusError } from '../errors.js'
import type { HookRequest } from '../hooks.js'
import type { CompletionRequest, CompletionStep } from '../storage/storage.js'
import { type CompletionResult, isPartial, type Upload } from '../upload.js'
import { within } from '../within.js'
import { Lanes, type Slot, workOf } from './lanes.js'
import { processing } from './processing.js'
import { Search } from './search.js'
import { runTry, type Try, type TryContext } from './try.js'
import { Waits } from './waits.js'

/** How many final uploads are assembled at a time that another process has left behind. */
const READY_FINALS = 20

/** Completes uploads: at once, and again where that failed. */
export class Completions {
  readonly #core: () => Core
  readonly #onError: (error: unknown) => void
  readonly #lanes: Lanes
  readonly #search: Search
  readonly #waits: Waits
  /** The uploads that this instance is at work for. */
  readonly #running = new Map<string, Promise<CompletionResult | undefined>>()
  /** Those of them for which no request waits. */
  readonly #inBackground = new Set<Promise<void>>()
  #closed = false

  /**
   * @param core - the server's parts; asked for when they are needed
   * @param options - how many hooks run at the same time in the background, and who gets what goes wrong there
   */
  constructor(core: () => Core, options: { concurrency: number; onError: (error: unknown) => void }) {
    this.#core = core
    this.#onError = options.onError
    this.#lanes = new Lanes(options.concurrency, (lane) => this.#search.wake([lane]))
    this.#search = new Search(core, this.#lanes, {
      begin: (id, slot) => this.#beginInBackground(id, slot),
      assembleReady: () => this.#assembleReady(),
      report: (error) => this.#reportInBackground(error),
    })
    this.#waits = new Waits(core, {
      isThrough: (upload) => this.#isThrough(upload),
      running: (id) => this.#running.get(id),
      begin: (upload, dead) => this.#beginForWaiting(upload, dead),
      report: (error) => this.#reportInBackground(error),
    })
  }

  /** Whether clients have to wait until it is done. */
  get areAwaited(): boolean {
    const { hooks, completion } = this.#core().options
    return hooks.onUploadComplete !== undefined && completion === 'await'
  }

  /** Whether this instance is at work for any upload. */
  get isWorking(): boolean {
    return this.#running.size > 0
  }

  /** What the commit that completes an upload has to say of it; `undefined` if nothing is to be done. */
  requestFor(upload: Upload): CompletionRequest | undefined {
    const { options, claims } = this.#core()
    if (options.hooks.onUploadComplete === undefined || isPartial(upload)) return undefined
    return this.areAwaited ? { owner: claims.owner, ttlMs: options.leaseMs } : { owner: undefined, ttlMs: 0 }
  }

  /** Begins to look for what is due. */
  start(): void {
    if (this.#core().options.storage.takeCompletion !== undefined) this.#search.wake()
  }

  /**
   * Completes an upload whose last bytes were committed just now, by a commit that gave this instance the right to.
   * @returns what the application answers
   * @throws TusError the application's refusal, after the upload was removed; whatever else went wrong, to be tried
   *   again
   */
  finish(upload: Upload, request: HookRequest): Promise<CompletionResult | undefined> {
    return this.#run({ upload, attempt: 1, request, hasFile: upload.concat === undefined })
  }

  /** Completes an upload if that is due, and no other instance is at it. */
  async finishIfDue(id: string, request?: HookRequest, dead?: string): Promise<CompletionResult | undefined> {
    const running = this.#running.get(id)
    if (running !== undefined) return running
    const taken = await this.#take(id, dead)
    // Another request here may have taken it at the same moment.
    return taken === undefined ? this.#running.get(id) : this.#run({ ...taken, request })
  }

  /** Looks for due work of one kind now, instead of some time later. */
  wake(step: CompletionStep): void {
    this.#search.wake(this.#lanes.all.filter((lane) => lane.step === step))
  }

  /** Does all that is due, and settles when that has been tried. */
  async runDue(): Promise<void> {
    while ((await this.#search.runAll()) || this.#lanes.all.some(({ running, limit }) => running >= limit)) {
      if (this.#inBackground.size > 0) await Promise.race(this.#inBackground)
    }
    await Promise.all(this.#inBackground)
  }

  /**
   * Waits until a complete upload is settled, if clients have to wait for that, and until a final one has its file:
   * joins the try that runs, and makes one that is due. No longer than a request waits for a claim, and not for one
   * that failed and is due later.
   * @param upload - as it was read just now
   * @param signal - the client's
   * @returns the upload as it is then; `undefined` if it was removed
   * @throws TusError `ERR_PROCESSING`
   */
  settled(upload: Upload, signal: () => AbortSignal | undefined): Upload | Promise<Upload | undefined> {
    return this.#isThrough(upload) ? upload : this.#waits.settled(upload.id, signal)
  }

  /** Refuses all requests that wait for an upload to be settled. */
  stopWaiting(): void {
    this.#waits.stop()
  }

  /**
   * Throws if the upload is not settled and clients have to wait for that. A try whose process has died is followed by
   * another one.
   * @throws TusError `ERR_PROCESSING`
   */
  assertSettled({ id, completion }: Upload): void {
    if (completion === undefined || completion.settled || !this.areAwaited) return
    this.#takeOverFromDead(id, completion.worker).catch((error) => this.#reportInBackground(error))
    throw processing()
  }

  /**
   * Throws while a try runs.
   * @throws TusError `ERR_PROCESSING`
   */
  assertIdle({ id, completion }: Upload): void {
    if (completion === undefined || completion.settled || completion.worker === undefined) return
    if ((completion.dueAtMs ?? 0) <= this.#core().options.now()) return
    this.#takeOverFromDead(id, completion.worker).catch((error) => this.#reportInBackground(error))
    throw processing()
  }

  /** Stops looking, and waits for what is under way, but no longer than this many milliseconds. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true
    this.#waits.stop()
    await within(timeoutMs, this.#end())
  }

  async #end(): Promise<void> {
    await this.#search.close()
    await Promise.allSettled([...this.#running.values(), ...this.#inBackground])
  }

  /** Whether a client may be told of a complete upload: it has its file, and no hook that it has to wait for. */
  #isThrough({ completion, published }: Upload): boolean {
    if (completion === undefined || completion.settled) return true
    return !this.areAwaited && published !== false
  }

  async #takeOverFromDead(id: string, worker: string | undefined): Promise<void> {
    if (worker === undefined || this.#running.has(id) || !(await this.#core().claims.isDead(worker))) return
    await this.finishIfDue(id, undefined, worker)
  }

  async #assembleReady(): Promise<void> {
    const { storage } = this.#core().options
    for (let after = ''; ; ) {
      const ready = (await storage.readyFinals?.(READY_FINALS, after)) ?? []
      for (const id of ready) {
        if (this.#closed) return
        await assemble(this.#core(), id).catch((error) => this.#reportInBackground(error))
      }
      if (ready.length > 0) this.wake('copy')
      const last = ready.at(-1)
      if (ready.length < READY_FINALS || last === undefined || last <= after) return
      after = last
      // Requests come first.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Takes the right to complete an upload, if that is due. */
  async #take(id: string, dead?: string): Promise<Try | undefined> {
    const { options, claims } = this.#core()
    return options.storage.takeCompletion?.(id, { owner: claims.owner, ttlMs: options.leaseMs, dead })
  }

  async #beginInBackground(id: string, slot: Slot): Promise<boolean> {
    const taken = this.#running.has(id) ? undefined : await this.#take(id)
    if (taken === undefined) {
      slot.release()
      return false
    }
    this.#workInBackground({ ...taken, slot })
    return true
  }

  /**
   * Makes the try that requests wait for, within the limits of the background: there may be requests for any number.
   */
  async #beginForWaiting(upload: Upload, dead: string | undefined): Promise<boolean> {
    const { step, bytes } = workOf(upload)
    const slot = this.#lanes.acquire(step, bytes)
    if (slot === undefined) return false
    try {
      const taken = this.#running.has(upload.id) ? undefined : await this.#take(upload.id, dead)
      if (taken === undefined) slot.release()
      else this.#workInBackground({ ...taken, slot })
      return taken !== undefined
    } catch (error) {
      slot.release()
      throw error
    }
  }

  #workInBackground(job: Try): void {
    const work = this.#run(job)
      .then(
        () => {},
        (error) => this.#reportInBackground(error),
      )
      .finally(() => this.#inBackground.delete(work))
    this.#inBackground.add(work)
  }

  #reportInBackground(error: unknown): void {
    // A refusal is the application's decision, not a server error.
    // After the end the storage is closed, and the next process does the rest.
    if (!isTusError(error) && !this.#closed) this.#onError(error)
  }

  #run(job: Try): Promise<CompletionResult | undefined> {
    const { id } = job.upload
    const context: TryContext = {
      core: this.#core(),
      lanes: this.#lanes,
      retryIn: (ms) => this.#search.retryIn(ms),
      isClosed: () => this.#closed,
    }
    const work = runTry(context, job)
    this.#running.set(id, work)
    const done = (): void => {
      this.#running.delete(id)
    }
    work.then(done, done)
    return work
  }
}
