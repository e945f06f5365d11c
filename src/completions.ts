// What is to be done once an upload is complete: the application's hook, and making one file of a concatenation. Each
// is done at least once, by one server instance at a time, until it succeeds.

import { assemble } from './assembly.js'
import type { Core } from './core.js'
import { isTusError, TusError } from './errors.js'
import { isUnneeded, tombstoneOf } from './handlers/missing.js'
import { removeUpload } from './handlers/remove-upload.js'
import { checkResult, type HookRequest, hookUpload } from './hooks.js'
import type { CompletionOutcome, CompletionRequest } from './storage/storage.js'
import { type CompletionResult, isPartial, type Upload } from './upload.js'
import { within } from './within.js'

/** How many are looked for at a time, and how many are tried at the same time where no request waits for it. */
const BATCH = 20
const AT_ONCE = 4
/** How often it is looked for what other processes have left undone, in milliseconds. */
const POLL_MS = 5_000
const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 5 * 60_000

/** One try. */
interface Try {
  readonly upload: Upload
  readonly attempt: number
}

/** Does what is to be done for complete uploads: at once, and again where that failed. */
export class Completions {
  readonly #core: () => Core
  readonly #onError: (error: unknown) => void
  /** The uploads that this instance is at work for. */
  readonly #running = new Map<string, Promise<CompletionResult | undefined>>()
  /** Those of them for which no request waits. */
  readonly #inBackground = new Set<Promise<void>>()
  /** When one is due again here, where that comes before it is looked for anyway. */
  readonly #retriesAtMs = new Set<number>()
  #timer: NodeJS.Timeout | undefined
  #wakeAtMs = Number.POSITIVE_INFINITY
  #looking: Promise<void> | undefined
  #closed = false

  /**
   * @param core - the server's parts; asked for when they are needed
   * @param onError - gets what goes wrong in the background
   */
  constructor(core: () => Core, onError: (error: unknown) => void) {
    this.#core = core
    this.#onError = onError
  }

  /** Whether clients have to wait until it is done. */
  get areAwaited(): boolean {
    const { hooks, completion } = this.#core().options
    return hooks.onUploadComplete !== undefined && completion === 'await'
  }

  /** What the commit that completes an upload has to say of it; `undefined` if nothing is to be done. */
  requestFor(upload: Upload): CompletionRequest | undefined {
    const { options, claims } = this.#core()
    if (options.hooks.onUploadComplete === undefined || isPartial(upload)) return undefined
    return this.areAwaited ? { owner: claims.owner, ttlMs: options.leaseMs } : { owner: undefined, ttlMs: 0 }
  }

  /** Begins to look for what is due. */
  start(): void {
    if (this.#core().options.storage.takeCompletion !== undefined) this.#wakeIn(0)
  }

  /**
   * Does it for an upload that was completed just now, by a commit that gave this instance the right to.
   * @returns what the application answers
   * @throws TusError the application's verdict, after the upload was removed; whatever else went wrong, to be tried again
   */
  finish(upload: Upload, request: HookRequest): Promise<CompletionResult | undefined> {
    return this.#track(upload.id, this.#try({ upload, attempt: 1 }, request))
  }

  /** Does it for an upload if it is due, and nobody else is at it. */
  async finishIfDue(id: string, request?: HookRequest, dead?: string): Promise<CompletionResult | undefined> {
    const running = this.#running.get(id)
    if (running !== undefined) return running
    const taken = await this.#take(id, dead)
    // Somebody else here may have taken it at the same moment.
    return taken === undefined ? this.#running.get(id) : this.#track(id, this.#try(taken, request))
  }

  /** Looks for what is due now, instead of some time later. */
  wake(): void {
    this.#wakeIn(0)
  }

  /** Does all that is due, and settles when that has been tried. */
  async runDue(): Promise<void> {
    await this.#looking
    while ((await this.#beginDue()) || this.#isFull()) {
      if (this.#inBackground.size > 0) await Promise.race(this.#inBackground)
    }
    await Promise.all(this.#inBackground)
  }

  /**
   * Throws as long as it is not settled. If whoever is at it has died, it is taken over.
   * @throws TusError `ERR_PROCESSING`
   */
  assertSettled({ id, completion }: Upload): void {
    if (completion === undefined || completion.settled || !this.areAwaited) return
    this.#takeOverFromDead(id, completion.worker).catch((error) => this.#reportInBackground(error))
    throw processing()
  }

  /**
   * Throws while somebody is at it.
   * @throws TusError `ERR_PROCESSING`
   */
  assertIdle({ id, completion }: Upload): void {
    if (completion === undefined || completion.settled || completion.worker === undefined) return
    if ((completion.dueAtMs ?? 0) <= this.#core().options.now()) return
    this.#takeOverFromDead(id, completion.worker).catch((error) => this.#reportInBackground(error))
    throw processing()
  }

  /** Stops looking, and waits for what is under way, but no longer than so many milliseconds. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await within(timeoutMs, this.#end())
  }

  async #end(): Promise<void> {
    await this.#looking
    await Promise.allSettled([...this.#running.values(), ...this.#inBackground])
  }

  async #takeOverFromDead(id: string, worker: string | undefined): Promise<void> {
    if (worker === undefined || this.#running.has(id) || !(await this.#core().claims.isDead(worker))) return
    await this.finishIfDue(id, undefined, worker)
  }

  #wakeIn(ms: number): void {
    const atMs = Date.now() + ms
    if (this.#closed || atMs >= this.#wakeAtMs) return
    clearTimeout(this.#timer)
    this.#wakeAtMs = atMs
    this.#timer = setTimeout(() => {
      this.#wakeAtMs = Number.POSITIVE_INFINITY
      this.#looking = this.#look()
    }, ms).unref()
  }

  #retryIn(ms: number): void {
    if (ms < POLL_MS) this.#retriesAtMs.add(Date.now() + ms)
    this.#wakeIn(ms)
  }

  async #look(): Promise<void> {
    try {
      await this.#beginDue()
    } catch (error) {
      this.#reportInBackground(error)
    }
    const now = Date.now()
    let nextMs = now + POLL_MS
    for (const atMs of this.#retriesAtMs) {
      if (atMs <= now) this.#retriesAtMs.delete(atMs)
      else nextMs = Math.min(nextMs, atMs)
    }
    this.#wakeIn(nextMs - now)
  }

  /** Begins what is due, as long as there is room: one that takes hours must not hold up the others. */
  async #beginDue(): Promise<boolean> {
    const { storage } = this.#core().options
    for (const id of (await storage.readyFinals?.(BATCH)) ?? []) await assemble(this.#core(), id).catch(this.#onError)
    let begun = false
    for (const id of await this.#due()) {
      if (this.#closed || this.#isFull()) break
      const taken = this.#running.has(id) ? undefined : await this.#take(id)
      if (taken === undefined) continue
      begun = true
      this.#doInBackground(taken)
    }
    return begun
  }

  async #due(): Promise<readonly string[]> {
    const { storage, hooks } = this.#core().options
    for (let limit = BATCH; ; limit *= 2) {
      const ids = (await storage.dueCompletions?.(limit)) ?? []
      // Among them may be any number that are left to servers with the hook.
      if (hooks.onUploadComplete !== undefined || ids.length < limit) return ids
    }
  }

  #isFull(): boolean {
    return this.#inBackground.size >= AT_ONCE
  }

  /** Takes the right to do it, if it is due, and this server can. */
  async #take(id: string, dead?: string): Promise<Try | undefined> {
    const { options, claims } = this.#core()
    const { storage, leaseMs, hooks } = options
    // A job that only cleans up must not settle what the application wants to be told.
    if (hooks.onUploadComplete === undefined && isForHook(await storage.get(id))) return undefined
    return storage.takeCompletion?.(id, { owner: claims.owner, ttlMs: leaseMs, dead })
  }

  #doInBackground(job: Try): void {
    const work = this.#track(job.upload.id, this.#try(job, undefined))
      .then(
        () => {},
        (error) => this.#reportInBackground(error),
      )
      .finally(() => {
        this.#inBackground.delete(work)
        this.#wakeIn(0)
      })
    this.#inBackground.add(work)
  }

  #reportInBackground(error: unknown): void {
    // A verdict is no trouble of the server's: the application has spoken.
    // After the end the storage is closed, and what is left is for the next process.
    if (!isTusError(error) && !this.#closed) this.#onError(error)
  }

  #track(id: string, work: Promise<CompletionResult | undefined>): Promise<CompletionResult | undefined> {
    this.#running.set(id, work)
    const done = (): void => {
      this.#running.delete(id)
    }
    work.then(done, done)
    return work
  }

  async #try(job: Try, request: HookRequest | undefined): Promise<CompletionResult | undefined> {
    const { options } = this.#core()
    const { storage, leaseMs } = options
    const { upload, attempt } = job
    const renew = async (): Promise<unknown> => storage.renewCompletion?.(upload.id, attempt, leaseMs)
    const renewal = setInterval(() => renew().catch(this.#onError), leaseMs / 3).unref()
    try {
      // Somebody else has the right to by now.
      if (!(await this.#makeFile(job))) throw processing()
      const result = await this.#callHook(job, request)
      await this.#settle(job, { result })
      return result
    } catch (error) {
      if (error instanceof Rejection) await this.#reject(job, error.verdict)
      await this.#settle(job, { retryAfterMs: retryAfterMs(attempt) })
      this.#retryIn(retryAfterMs(attempt))
      throw error
    } finally {
      clearInterval(renewal)
    }
  }

  async #settle({ upload, attempt }: Try, outcome: CompletionOutcome): Promise<void> {
    // The storage may be closed by now; then the try runs out, and somebody makes another one.
    try {
      await this.#core().options.storage.settleCompletion?.(upload.id, attempt, outcome)
    } catch (error) {
      if (!this.#closed) throw error
    }
  }

  /** Makes one file of a final upload. @returns `false` if somebody else has the right to by now, or it is gone */
  async #makeFile({ upload, attempt }: Try): Promise<boolean> {
    const { storage, durability, keepPartials } = this.#core().options
    const partials = upload.concat?.partials
    if (partials === undefined) return true
    if (storage.flatten !== undefined && !(await storage.flatten(upload.id, attempt, durability !== 'none')))
      return false
    if (!keepPartials) for (const partial of new Set(partials)) await this.#removePartial(partial)
    return true
  }

  async #removePartial(id: string): Promise<void> {
    // Another final upload may need it still.
    if (!(await isUnneeded(this.#core().options.storage, id))) return
    try {
      await removeUpload(this.#core(), id, { request: undefined })
    } catch (error) {
      // Somebody thinks about its removal, and for long. The final upload, which is whole, need not wait for that.
      if (!(isTusError(error) && error.status === 423)) throw error
    }
  }

  async #callHook({ upload, attempt }: Try, request: HookRequest | undefined): Promise<CompletionResult | undefined> {
    const { hooks, storage } = this.#core().options
    if (hooks.onUploadComplete === undefined) return undefined
    const path = await storage.pathOf?.(upload)
    try {
      return checkResult(await hooks.onUploadComplete({ upload: hookUpload(upload), path, attempt, request }))
    } catch (error) {
      throw isTusError(error) ? new Rejection(error) : error
    }
  }

  /** Removes an upload that the application does not want. @throws the verdict */
  async #reject({ upload, attempt }: Try, verdict: TusError): Promise<never> {
    const core = this.#core()
    await removeUpload(core, upload.id, {
      request: undefined,
      // Another try may have begun since this one ran out, and may have ended otherwise.
      before: ({ completion }) => {
        if (completion?.settled !== false || completion.attempt !== attempt) throw processing()
      },
      tombstone: tombstoneOf(core, verdict.status),
      promised: true,
    })
    throw verdict
  }
}

/** What the application threw to refuse an upload, as opposed to what went wrong on the way to it. */
class Rejection extends Error {
  readonly verdict: TusError

  constructor(verdict: TusError) {
    super(verdict.message)
    this.verdict = verdict
  }
}

/** Whether the application has a hook for it, so that no server without that hook may say that it is done. */
function isForHook(upload: Upload | undefined): boolean {
  return upload?.concat?.partials === undefined || upload.concat.awaitsHook === true
}

function retryAfterMs(attempt: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LAST_RETRY_MS)
}

function processing(): TusError {
  return new TusError('ERR_PROCESSING', { headers: { 'Retry-After': '1' } })
}
