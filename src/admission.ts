// Who may read a body now, and how many bytes may be held in memory: what keeps the event loop and the memory level
// under a thousand clients.

import { Bag, type BagMember } from './bag.js'

/** How often stalled bodies are looked for, while others wait, in milliseconds. */
const STALL_CHECK_MS = 10

/** The right to read a body. */
export interface Turn extends BagMember {
  /** Set by the reader with every chunk; cleared by the check for stalls. */
  moved: boolean
  /** Whether the reader waits for its client, and for nothing else. */
  idle: boolean
  /** Whether the turn was taken back: the reader asks for another before it reads on. */
  over: boolean
  /** Whether it was only lent: it goes to the first who asks for one. */
  readonly lent: boolean
}

/**
 * Lets a few bodies be read at a time. While others wait, a body has a turn only as long as it has bytes: the first
 * moment in which its client sends none ends it, so slow clients don't hold up fast ones, however many they are.
 */
export class Turns {
  readonly #limit: number
  readonly #active = new Bag<Turn>()
  readonly #lent = new Bag<Turn>()
  readonly #waiting: Array<(turn: Turn) => void> = []
  #timer: NodeJS.Timeout | undefined
  /** Whether those that wait for their clients are being looked at. */
  #checking = false
  /** When those who are lent a turn were looked at. */
  #lookedAt = 0

  /** @param limit - how many bodies are read at a time */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** Whether anybody waits: then a reader should pass its turn on after a while. */
  get contended(): boolean {
    return this.#waiting.length > 0
  }

  /** A turn, if there is one now. */
  takeNow(): Turn | undefined {
    const [lent] = this.#isFull ? this.#lent.all() : []
    if (lent !== undefined) this.give(lent)
    return this.#isFull ? undefined : this.#grant(this.#active)
  }

  /** A turn, now or when there is one. */
  take(): Turn | Promise<Turn> {
    const turn = this.takeNow()
    if (turn !== undefined) return turn
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#timer ??= setInterval(() => this.#takeFromStalled(this.#active), STALL_CHECK_MS)
      if (this.#hasIdle) this.#checkIdle()
    })
  }

  /**
   * Says that a reader has taken all there was, and waits for its client: its turn ends if others wait and nothing
   * comes.
   */
  idle(turn: Turn): void {
    turn.idle = true
    if (this.contended) this.#checkIdle()
  }

  /** A turn that nobody else needs at the moment, if there is one. */
  lend(): Turn | undefined {
    if (this.#isFull) this.#lookAtLent()
    return this.#isFull ? undefined : this.#grant(this.#lent)
  }

  /** Gives a turn back. May be called twice. */
  give(turn: Turn): void {
    turn.over = true
    if ((turn.lent ? this.#lent : this.#active).delete(turn)) this.#next()
  }

  get #isFull(): boolean {
    return this.#active.size + this.#lent.size >= this.#limit
  }

  get #hasIdle(): boolean {
    return this.#active.all().some((turn) => turn.idle)
  }

  #grant(to: Bag<Turn>): Turn {
    const turn = { moved: true, idle: false, over: false, lent: to === this.#lent, place: -1 }
    to.add(turn)
    return turn
  }

  /**
   * Ends the turns of those that wait for their clients. Between the two callbacks the loop has polled all sockets:
   * what the kernel had of a body has reached it by then.
   */
  #checkIdle(): void {
    if (this.#checking) return
    this.#checking = true
    setImmediate(() => {
      for (const turn of this.#active.all()) if (turn.idle) turn.moved = false
      setImmediate(() => {
        this.#checking = false
        if (!this.contended) return
        for (const turn of this.#active.all()) if (turn.idle && !turn.moved) this.give(turn)
        if (this.contended && this.#hasIdle) this.#checkIdle()
      })
    })
  }

  /** Those who are lent one and stall keep nobody else from it for long. No timer: who would want it comes by. */
  #lookAtLent(): void {
    const now = performance.now()
    if (now - this.#lookedAt < STALL_CHECK_MS) return
    this.#lookedAt = now
    this.#takeFromStalled(this.#lent)
  }

  #next(): void {
    while (!this.#isFull) {
      const resolve = this.#waiting.shift()
      if (resolve === undefined) break
      resolve(this.#grant(this.#active))
    }
    if (this.#waiting.length > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #takeFromStalled(from: Bag<Turn>): void {
    for (const turn of from.all()) {
      if (turn.moved) turn.moved = false
      else this.give(turn)
    }
  }
}

/** Counts the bytes of bodies that are held in memory. */
export class MemoryBudget {
  #left: number

  /** @param bytes - how many bytes may be held in all */
  constructor(bytes: number) {
    this.#left = bytes
  }

  /** Takes bytes, if there are so many left. */
  take(bytes: number): boolean {
    if (bytes > this.#left) return false
    this.#left -= bytes
    return true
  }

  /** Gives bytes back. */
  give(bytes: number): void {
    this.#left += bytes
  }
}
