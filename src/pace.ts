// Finds bodies, of requests and of answers, that move too slowly to be worth a connection: one timer for all of them,
// none for each.

import { Bag, type BagMember } from './bag.js'

/** How slow a body may be. */
export interface PaceOptions {
  /**
   * A body that brings less than `minBytesPerSecond` on average for so long is cut, in milliseconds: what arrived is
   * stored, the connection is closed, and the upload is free. Only the time in which the server waits for the client
   * counts. `0` cuts none. The same holds for downloads: one of which the client takes less is cut.
   * @default 60000
   */
  readonly stallTimeoutMs?: number | undefined
  /**
   * The least that a body has to bring, or a client to take of a download, in bytes per second, as the average over
   * `stallTimeoutMs`.
   * @default 1
   */
  readonly minBytesPerSecond?: number | undefined
}

/** A body that is being received, or sent. */
export interface PacedBody extends BagMember {
  /** How much had arrived at the last looks at which it was waited for, the latest last. */
  looks?: number[] | undefined
  /** Whether the client is waited for, and nothing else: for its next bytes, or to take some. */
  readonly waiting: boolean
  /** How many of its bytes have arrived, or were taken. */
  readonly received: number
  /** Ends it. Called once. */
  cut(): void
}

/** How often a body is looked at in `stallTimeoutMs`. */
const LOOKS = 6
/** The longest time that a timer of Node can wait, in milliseconds. */
const MAX_TIMER_MS = 2 ** 31 - 1

/**
 * Looks at all bodies from time to time and cuts those that come too slowly. The bodies of fast requests are never
 * looked at, so they cost nothing but being listed.
 */
export class Pace {
  readonly #everyMs: number
  readonly #leastBytes: number
  readonly #bodies = new Bag<PacedBody>()
  #timer: NodeJS.Timeout | undefined
  /** Whether there was any body since the last look. */
  #busy = false

  /** @param options - how slow a body may be */
  constructor({ stallTimeoutMs, minBytesPerSecond }: Record<keyof PaceOptions, number>) {
    this.#everyMs = Math.min(stallTimeoutMs / LOOKS, MAX_TIMER_MS)
    this.#leastBytes = (minBytesPerSecond * stallTimeoutMs) / 1000
  }

  /** Watches over a body until {@link Pace.leave}. */
  join(body: PacedBody): void {
    if (this.#everyMs === 0) return
    this.#bodies.add(body)
    this.#busy = true
    // It goes on from one request to the next, so that none of them pays for it.
    this.#timer ??= setInterval(() => this.#look(), this.#everyMs).unref()
  }

  /** A body is over. */
  leave(body: PacedBody): void {
    this.#bodies.delete(body)
  }

  /** Ends the timer. */
  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /**
   * Time is counted in looks, not by the clock: when the process was held up, the bodies in it were, too, and there is
   * one look at the end of it.
   */
  #look(): void {
    for (const body of this.#bodies.all()) {
      if (!body.waiting) continue
      const { received } = body
      body.looks ??= []
      const before = body.looks
      const first = before.length === LOOKS ? before.shift() : undefined
      if (first !== undefined && received - first < this.#leastBytes) {
        this.#bodies.delete(body)
        body.cut()
        continue
      }
      before.push(received)
    }
    if (!this.#busy) this.close()
    this.#busy = this.#bodies.size > 0
  }
}
