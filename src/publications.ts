// Publishes complete uploads whose files could not get their names with the last commit: something was in the way, or a
// kill came between. Again and again, until it succeeds, with or without a hook.

import { backoffMs } from './completions/backoff.js'
import { processing } from './completions/processing.js'
import type { Core } from './core.js'
import { isUnpublished, type Upload } from './upload.js'
import { within } from './within.js'

/** How many are looked for at a time. */
const BATCH = 20
/** How often it is looked for what other processes have left unpublished, in milliseconds. */
const POLL_MS = 5_000

/** Publishes late, in the background and for requests that wait for it. */
export class Publications {
  readonly #core: () => Core
  readonly #onError: (error: unknown) => void
  /** How often in a row this instance could not publish an upload. */
  readonly #failures = new Map<string, number>()
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

  /** Begins to look for what is unpublished. */
  start(): void {
    if (this.#core().options.storage.publish !== undefined) this.#wakeIn(0)
  }

  /**
   * Publishes an upload for a request that waits for it.
   * @returns `false` if another instance holds the upload, or it is gone
   * @throws what keeps the file from its name: the upload is kept, and tried again in the background
   */
  publish(id: string): Promise<boolean> {
    return this.#publish(id)
  }

  /**
   * Publishes a complete upload that is not, if no instance that lives is at it. Making the file of a final upload is a
   * part of its completion.
   * @returns the upload as it is then; `undefined` if it was removed
   * @throws TusError `ERR_PROCESSING` as long as it is not published
   */
  settled(upload: Upload): Upload | Promise<Upload | undefined> {
    const isSettled = !isUnpublished(upload) || upload.concat?.partials !== undefined
    return isSettled ? upload : this.#settle(upload)
  }

  async #settle(upload: Upload): Promise<Upload | undefined> {
    const isKnown = this.#failures.has(upload.id)
    const published = await this.#publishFree(upload).catch((error) => {
      if (!isKnown) this.#report(error)
      return false
    })
    if (!published) throw processing()
    return this.#core().options.storage.get(upload.id)
  }

  /** Publishes all that is due now. */
  async runDue(): Promise<void> {
    await this.#looking
    await this.#publishAllDue()
  }

  /** Stops looking, and waits for what is under way, but no longer than this many milliseconds. */
  async close(timeoutMs: number): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    if (this.#looking !== undefined) await within(timeoutMs, this.#looking)
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

  async #look(): Promise<void> {
    try {
      await this.#publishAllDue()
    } catch (error) {
      this.#report(error)
    }
    this.#wakeIn(POLL_MS)
  }

  /** Each once, though it may stay due: on a full disk not even that it failed can be recorded. */
  async #publishAllDue(): Promise<void> {
    const tried = new Set<string>()
    while ((await this.#publishDue(tried)) && !this.#closed) {}
  }

  /** One failure keeps no other upload from being published. @returns whether there may be more */
  async #publishDue(tried: Set<string>): Promise<boolean> {
    const ids = (await this.#core().options.storage.unpublished?.(BATCH)) ?? []
    const untried = ids.filter((id) => !tried.has(id))
    for (const id of untried) {
      if (this.#closed) return false
      tried.add(id)
      const isKnown = this.#failures.has(id)
      // The same thing is in the way as before: one line in the log is enough.
      await this.#publish(id).catch((error) => isKnown || this.#report(error))
    }
    return untried.length === BATCH
  }

  /** Publishes an upload that nobody holds, or that only a dead instance does. */
  async #publishFree({ id, holder }: Upload): Promise<boolean> {
    // It is not time for the next try.
    if (this.#failures.has(id)) return false
    const { claims, options } = this.#core()
    if (holder === undefined || holder.leaseUntilMs <= options.now()) return this.#publish(id)
    return (await claims.isDead(holder.owner)) && this.#publish(id, holder.owner)
  }

  async #publish(id: string, dead?: string): Promise<boolean> {
    const { options, completions } = this.#core()
    const failures = this.#failures.get(id) ?? 0
    const retryAfterMs = backoffMs(failures + 1)
    try {
      const durable = options.durability !== 'none'
      const published = (await options.storage.publish?.(id, { durable, retryAfterMs, dead })) ?? false
      this.#failures.delete(id)
      if (published) completions.wake('hook')
      return published
    } catch (error) {
      this.#failures.set(id, failures + 1)
      this.#wakeIn(retryAfterMs)
      throw error
    }
  }

  #report(error: unknown): void {
    // After the end the storage is closed, and the rest is for the next process.
    if (!this.#closed) this.#onError(error)
  }
}
