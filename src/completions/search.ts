// Looks for completions that are due: when something happened here, when a retry is due, and from time to time for what
// other processes have left undone.

import type { Core } from '../core.js'
import { backoffMs } from './backoff.js'
import type { Lane, Lanes, Slot } from './lanes.js'

/** How often the storage is asked for what other processes have left undone, in milliseconds. */
const POLL_MS = 5_000
/** How many uploads that cannot even be taken are remembered, so that they do not hide the others. */
const MAX_STUCK = 1_000
/** How long after their time they are forgotten, in milliseconds: another process may have settled them. */
const FORGET_STUCK_MS = 10 * 60_000

/** What {@link Search} does with what it finds. */
export interface SearchActions {
  /**
   * Takes an upload and begins to work for it. The slot is released when that is over.
   * @returns whether it was taken
   */
  begin(id: string, slot: Slot): Promise<boolean>
  /** Assembles final uploads that were not, although their partial uploads are complete. */
  assembleReady(): Promise<void>
  /** Told of what goes wrong. */
  report(error: unknown): void
}

/** An upload that could not be taken, and for how long it is passed over. */
interface Stuck {
  readonly failures: number
  readonly untilMs: number
}

/** Finds due completions, lane by lane, and begins them. */
export class Search {
  readonly #core: () => Core
  readonly #lanes: Lanes
  readonly #actions: SearchActions
  /** The lanes that may have something to do. */
  readonly #waking = new Set<Lane>()
  /** When a try that failed here is due again, where that comes before the next poll; by a clock that nobody sets. */
  readonly #retriesAtMs = new Set<number>()
  readonly #stuck = new Map<string, Stuck>()
  #timer: NodeJS.Timeout | undefined
  #wakeAtMs = Number.POSITIVE_INFINITY
  #pollAtMs = 0
  #running: Promise<boolean> | undefined
  #assembling: Promise<void> | undefined
  #closed = false

  /**
   * @param core - the server's parts; asked for when they are needed
   * @param lanes - the queues
   * @param actions - what is done with what is found
   */
  constructor(core: () => Core, lanes: Lanes, actions: SearchActions) {
    this.#core = core
    this.#lanes = lanes
    this.#actions = actions
  }

  /** Searches some lanes now, or all of them. */
  wake(lanes: readonly Lane[] = this.#lanes.all): void {
    for (const lane of lanes) this.#waking.add(lane)
    this.#wakeIn(0)
  }

  /** Searches when a try that failed is due again, where that comes before the next poll. */
  retryIn(ms: number): void {
    if (ms >= POLL_MS) return
    // By whole milliseconds, of which there are few.
    this.#retriesAtMs.add(Math.ceil(performance.now() + ms))
    this.#wakeIn(ms)
  }

  /** Searches all lanes once. @returns whether anything was begun */
  async runAll(): Promise<boolean> {
    await this.#assembleReady()
    await this.#running
    for (const lane of this.#lanes.all) this.#waking.add(lane)
    return this.#run()
  }

  /** Stops. Settles when no search is under way any more. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await Promise.all([this.#running, this.#assembling])
  }

  #wakeIn(ms: number): void {
    const atMs = performance.now() + ms
    if (this.#closed || atMs >= this.#wakeAtMs) return
    clearTimeout(this.#timer)
    this.#wakeAtMs = atMs
    this.#timer = setTimeout(() => this.#onTimer(), ms).unref()
  }

  #onTimer(): void {
    this.#wakeAtMs = Number.POSITIVE_INFINITY
    const now = performance.now()
    let all = now >= this.#pollAtMs
    if (all) {
      this.#pollAtMs = now + POLL_MS
      // Beside the search: one that must be removed may be held by another request.
      void this.#assembleReady()
    }
    for (const atMs of this.#retriesAtMs) {
      if (atMs > now) continue
      this.#retriesAtMs.delete(atMs)
      all = true
    }
    if (all) for (const lane of this.#lanes.all) this.#waking.add(lane)
    void this.#run()
    this.#wakeIn(Math.min(this.#pollAtMs, ...this.#retriesAtMs) - now)
  }

  #assembleReady(): Promise<void> {
    this.#assembling ??= this.#actions
      .assembleReady()
      .catch((error) => this.#actions.report(error))
      .finally(() => {
        this.#assembling = undefined
      })
    return this.#assembling
  }

  #run(): Promise<boolean> {
    this.#running ??= this.#searchLanes().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #searchLanes(): Promise<boolean> {
    let begun = false
    for (let [lane] = this.#waking; lane !== undefined && !this.#closed; [lane] = this.#waking) {
      this.#waking.delete(lane)
      try {
        if (await this.#fill(lane)) begun = true
      } catch (error) {
        // The next lane may be in another table, or the storage be back; this one comes up again with the next poll.
        this.#actions.report(error)
      }
    }
    return begun
  }

  /** Begins as much of a lane as it has slots for. */
  async #fill(lane: Lane): Promise<boolean> {
    const { storage, hooks } = this.#core().options
    // A server without the hook leaves it to those that have one.
    if (lane.step === 'hook' && hooks.onUploadComplete === undefined) return false
    let begun = false
    const tried = new Set<string>()
    while (!this.#closed && lane.running < lane.limit) {
      const passed = this.#passedOver()
      const limit = lane.limit - lane.running + passed.size + tried.size
      const ids = (await storage.dueCompletions?.({ step: lane.step, maxBytes: lane.maxBytes, limit })) ?? []
      const untried = ids.filter((id) => !passed.has(id) && !tried.has(id))
      if (untried.length === 0) break
      for (const id of untried) {
        const slot = this.#closed ? undefined : this.#lanes.enter(lane)
        if (slot === undefined) break
        if (await this.#begin(id, slot)) begun = true
        else tried.add(id)
      }
    }
    return begun
  }

  /** One that cannot be taken is passed over for a while, and never stops the search for others. */
  async #begin(id: string, slot: Slot): Promise<boolean> {
    try {
      const begun = await this.#actions.begin(id, slot)
      this.#stuck.delete(id)
      return begun
    } catch (error) {
      slot.release()
      const failures = (this.#stuck.get(id)?.failures ?? 0) + 1
      if (this.#stuck.size < MAX_STUCK)
        this.#stuck.set(id, { failures, untilMs: performance.now() + backoffMs(failures) })
      this.#actions.report(error)
      return false
    }
  }

  #passedOver(): ReadonlySet<string> {
    const now = performance.now()
    const passed = new Set<string>()
    for (const [id, { untilMs }] of this.#stuck) {
      if (untilMs > now) passed.add(id)
      else if (untilMs < now - FORGET_STUCK_MS) this.#stuck.delete(id)
    }
    return passed
  }
}
