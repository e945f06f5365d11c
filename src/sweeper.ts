// Removes expired uploads and what kills have left behind, in the background or by hand.

import type { Core } from './core.js'
import { isExpired, tombstoneOf } from './handlers/missing.js'
import { isKept, removeUpload } from './handlers/remove-upload.js'
import { within } from './within.js'

/** How much is done before others have their turn. */
const STEP = 20
/** After a start, everyone who was cut off comes back at once: tidying up waits so many milliseconds. */
const AFTER_START_MS = 60_000

/**
 * How often a server tidies up where nothing expires, in milliseconds: what it remembers of rejected uploads has an
 * end.
 */
const VACUUM_EVERY_MS = 60 * 60_000
/** How long tidying up waits for completions that are due, in milliseconds: a hook that hangs keeps nothing from it. */
const MAX_DUE_MS = 10_000

/** What one clean-up has done. */
export interface CleanUpResult {
  /** How many expired uploads were removed. */
  readonly expired: number
}

/** Cleans up, and does so from time to time. */
export class Sweeper {
  readonly #core: Core
  readonly #onError: (error: unknown) => void
  #timer: NodeJS.Timeout | undefined
  #startTimer: NodeJS.Timeout | undefined
  #running: Promise<unknown> | undefined
  #stopped = false
  #closed = false

  /**
   * @param core - the server's parts
   * @param onError - gets what goes wrong in the background
   */
  constructor(core: Core, onError: (error: unknown) => void) {
    this.#core = core
    this.#onError = onError
    const everyMs = core.options.expiration?.sweepEveryMs ?? VACUUM_EVERY_MS
    this.#timer = setInterval(() => this.#sweep(everyMs), everyMs).unref()
  }

  /** Tidies up, a minute from now, what a kill has left behind. */
  start(): void {
    this.#startTimer = setTimeout(() => this.#inBackground(() => this.#vacuum()), AFTER_START_MS).unref()
  }

  /** Does what is left to be done for complete uploads, removes all that have expired, and tidies up. */
  async cleanUp(): Promise<CleanUpResult> {
    await this.#core.publications.runDue()
    const due = this.#core.completions.runDue()
    const [expired] = await Promise.all([this.#removeExpired(), within(MAX_DUE_MS, due)])
    await this.#vacuum()
    await due
    return { expired }
  }

  /** Stops, and waits for what is under way, but no longer than so many milliseconds. */
  async close(timeoutMs: number): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    clearTimeout(this.#startTimer)
    if (this.#running !== undefined) await within(timeoutMs, this.#running)
    this.#closed = true
  }

  /** After the end the storage is closed, and what is left is for the next process. */
  #report(error: unknown): void {
    if (!this.#closed) this.#onError(error)
  }

  async #clean(): Promise<void> {
    await this.#removeExpired()
    await this.#vacuum()
  }

  #sweep(everyMs: number): void {
    const { storage } = this.#core.options
    this.#inBackground(async () => {
      // A little longer than a round, so that the one that sweeps goes on doing it.
      const request = { owner: this.#core.claims.owner, ttlMs: everyMs * 2 }
      if (storage.lease === undefined || (await storage.lease(this.#leaseName(), request))) await this.#clean()
    })
  }

  /**
   * Servers with other times of expiry on the same storage sweep by themselves: each removes what is over by its own.
   */
  #leaseName(): string {
    const { expiration } = this.#core.options
    return `sweep ${expiration?.unfinishedAfterMs ?? 'never'} ${expiration?.finishedAfterMs ?? 'never'}`
  }

  #inBackground(action: () => Promise<unknown>): void {
    if (this.#running !== undefined || this.#stopped) return
    this.#running = action()
      .catch((error) => this.#report(error))
      .finally(() => {
        this.#running = undefined
      })
  }

  async #removeExpired(): Promise<number> {
    const { storage, expiration, now } = this.#core.options
    if (expiration === undefined) return 0
    const { unfinishedAfterMs, finishedAfterMs } = expiration
    let removed = 0
    const stuck = new Set<string>()
    while (!this.#stopped) {
      // The earliest come first, so those that are stuck must not take the place of the others.
      const wanted = {
        unfinishedSinceMs: now() - unfinishedAfterMs,
        finishedSinceMs: finishedAfterMs === undefined ? undefined : now() - finishedAfterMs,
        limit: STEP + stuck.size,
      }
      const ids = (await storage.expired?.(wanted)) ?? []
      const untried = ids.filter((id) => !stuck.has(id))
      // Those that can't be removed now must not be tried for ever. What was removed may have kept others alive.
      if (untried.length === 0) break
      for (const id of untried) {
        if (this.#stopped) break
        if (await this.#removeOne(id)) removed++
        else stuck.add(id)
      }
      await pause()
    }
    return removed
  }

  async #removeOne(id: string): Promise<boolean> {
    try {
      return await removeUpload(this.#core, id, {
        request: undefined,
        // It may have been renewed between the search and the claim.
        before: async (upload) => {
          if (!(await isExpired(this.#core, upload, true))) throw new StillAlive()
          this.#core.completions.assertIdle(upload)
        },
        tombstone: tombstoneOf(this.#core, 410),
      })
    } catch (error) {
      // One that somebody holds on to, or needs by now, comes up again in the next round.
      const passing = error instanceof StillAlive || isKept(error)
      if (!passing) this.#report(error)
      return false
    }
  }

  async #vacuum(): Promise<void> {
    const { storage } = this.#core.options
    while (!this.#stopped) {
      const { more = false, failures = [] } = (await storage.vacuum?.(STEP)) ?? {}
      for (const failure of failures) this.#report(failure)
      if (!more) return
      await pause()
    }
  }
}

class StillAlive extends Error {}

function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
