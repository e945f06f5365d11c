// Exclusive access to uploads: who holds one, who waits for it, and how the holder learns that it should let go.

import { TusError } from '../errors.js'
import type { ClaimResult, Storage } from '../storage/storage.js'
import { type Holder, isFrom, type Upload } from '../upload.js'
import { type AskOptions, askHolder, DoubtfulLeases, type Gone, locked } from './ask-holder.js'
import { type Claim, HeldClaim, overClaim } from './held-claim.js'
import { Peers } from './peers.js'

/** What {@link Claims} needs. */
export interface ClaimsOptions {
  readonly storage: Storage
  /** How long a claim lasts unless it is renewed, in milliseconds. */
  readonly leaseMs: number
  /** How long a request waits for a claim, in milliseconds. */
  readonly waitMs: number
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Whether this instance is at work under its name besides the claims that it holds. */
  readonly isWorking?: () => boolean
  /** Gets what went wrong in the background. */
  readonly onError: (error: unknown) => void
}

interface Waiter extends Pick<AskOptions, 'offset' | 'createdAtMs'> {
  proceed(): void
  refuse(error: TusError): void
}

interface Slot {
  claim: HeldClaim | undefined
  readonly queue: Waiter[]
}

/** The claims of one server instance, and the queues for them. */
export class Claims {
  readonly #options: ClaimsOptions
  readonly #slots = new Map<string, Slot>()
  readonly #peers: Peers
  readonly #doubtful = new DoubtfulLeases()
  #fences = 0
  #ending = false
  #renewal: NodeJS.Timeout | undefined

  /** @param options - the storage, times */
  constructor(options: ClaimsOptions) {
    this.#options = options
    this.#peers = new Peers(options.storage.meetingPoint, {
      onAsk: (id, offset, answer) => this.#answerPeer(id, offset, answer),
      isHolding: () => this.#isHolding(),
      patienceMs: options.leaseMs,
      onError: options.onError,
    })
  }

  /** The name under which this instance holds claims. */
  get owner(): string {
    return this.#peers.owner
  }

  /**
   * Takes the claim for an upload, asking whoever holds it to let go.
   * @returns `undefined` if there is no such upload
   * @throws TusError `ERR_OFFSET_MISMATCH` if the holder is at another offset; `ERR_LOCKED` after the wait
   */
  async take(id: string, options: AskOptions): Promise<Claim | undefined> {
    const deadline = this.#deadline()
    const slot = await this.#enter(id, options)
    try {
      const result = await this.#claim(id, options, deadline)
      if (result !== undefined && 'fence' in result) return meant(this.#hold(id, slot, result), options)
      this.#leave(id, slot)
      return result && meant(overClaim(result.complete), options)
    } catch (error) {
      this.#leave(id, slot)
      throw error
    }
  }

  /**
   * Takes the claim for an upload that nobody holds, without asking anybody and without waiting.
   * @returns `undefined` if somebody holds it, or there is no such upload
   */
  async takeFree(id: string, options: Pick<AskOptions, 'createdAtMs' | 'unfinished'> = {}): Promise<Claim | undefined> {
    if (this.#slots.has(id)) return undefined
    const slot: Slot = { claim: undefined, queue: [] }
    this.#slots.set(id, slot)
    try {
      const result = await this.#claimOnce(id, options)
      if (result !== undefined && 'fence' in result) return meant(this.#hold(id, slot, result), options)
      this.#leave(id, slot)
      return result && 'complete' in result ? meant(overClaim(result.complete), options) : undefined
    } catch (error) {
      this.#leave(id, slot)
      throw error
    }
  }

  /**
   * Reads an upload once nobody writes to it, asking whoever does to let go.
   * @throws TusError `ERR_LOCKED` after the wait
   */
  async settled(id: string, options: AskOptions): Promise<Upload | undefined> {
    if (!this.#slots.has(id)) {
      const upload = await this.#options.storage.get(id)
      // Somebody may have begun to write while a slow storage was asked.
      if (upload !== undefined && !isFrom(upload, options.createdAtMs)) return undefined
      if (!this.#slots.has(id) && !this.#heldElsewhere(upload?.holder)) return upload
    }
    const deadline = this.#deadline()
    const slot = await this.#enter(id, options)
    try {
      return await this.#waitForPeer(id, options, deadline)
    } finally {
      this.#leave(id, slot)
    }
  }

  /** Whether another server instance is known to have died. */
  async isDead(owner: string): Promise<boolean> {
    return owner !== this.owner && this.#peers.isDead(owner)
  }

  /** Whether somebody holds an upload, as it was read just now. One that is known to be dead loses it. */
  async isHeld({ id, holder }: Upload): Promise<boolean> {
    if (this.#slots.get(id)?.claim !== undefined) return true
    if (holder === undefined || !this.#heldElsewhere(holder)) return false
    if (!(await this.#peers.isDead(holder.owner))) return true
    await this.#freeFrom(id, { dead: holder.owner })
    return false
  }

  /** How far the bytes have come that a holder in this process has received. */
  positionOf(id: string): number | undefined {
    return this.#slots.get(id)?.claim?.position
  }

  /** Asks all holders to let go, those to come included, and refuses all who wait. */
  stopAll(): void {
    this.#ending = true
    for (const slot of this.#slots.values()) {
      for (const waiter of slot.queue.splice(0)) waiter.refuse(locked())
      slot.claim?.stop(true)
    }
  }

  /** Ends timers and the conversation with other processes. Claims must have been released. */
  async close(): Promise<void> {
    clearInterval(this.#renewal)
    await this.#peers.close()
  }

  #isHolding(): boolean {
    for (const { claim } of this.#slots.values()) if (claim !== undefined) return true
    return this.#options.isWorking?.() ?? false
  }

  /**
   * When a request that comes now has waited long enough: in the queue here and for another process together. By a
   * clock that nobody sets.
   */
  #deadline(): number {
    return performance.now() + this.#options.waitMs
  }

  /** Waits until this request is the one in this process that may claim the upload. */
  #enter(id: string, options: AskOptions): Slot | Promise<Slot> {
    const present = this.#slots.get(id)
    if (present === undefined) {
      const slot: Slot = { claim: undefined, queue: [] }
      this.#slots.set(id, slot)
      return slot
    }
    return this.#queueUp(present, options).then(() => present)
  }

  #queueUp(slot: Slot, { offset, createdAtMs, signal }: AskOptions): Promise<void> {
    const abort = signal?.()
    if (this.#ending || abort?.aborted) return Promise.reject(locked())
    return new Promise((resolve, reject) => {
      const refuse = (error: TusError): void => {
        const index = slot.queue.indexOf(waiter)
        if (index !== -1) slot.queue.splice(index, 1)
        settle()
        reject(error)
      }
      const give = (): void => refuse(locked())
      const timer = setTimeout(give, this.#options.waitMs)
      const settle = (): void => {
        clearTimeout(timer)
        abort?.removeEventListener('abort', give)
      }
      const proceed = (): void => {
        settle()
        resolve()
      }
      const waiter: Waiter = { offset, createdAtMs, proceed, refuse }
      slot.queue.push(waiter)
      abort?.addEventListener('abort', give)
      this.#ask(slot, waiter)
    })
  }

  #ask({ claim }: Slot, waiter: Waiter): void {
    if (claim === undefined) return
    if (!isFrom(claim.upload, waiter.createdAtMs)) waiter.refuse(new TusError('ERR_NOT_FOUND'))
    else if (waiter.offset === undefined) claim.stop(true)
    else if (claim.position !== waiter.offset) waiter.refuse(new TusError('ERR_OFFSET_MISMATCH'))
    else claim.stop(false)
  }

  #leave(id: string, slot: Slot): void {
    slot.claim = undefined
    const next = slot.queue.shift()
    if (next === undefined) this.#slots.delete(id)
    else next.proceed()
  }

  #hold(id: string, slot: Slot, result: { upload: Upload; fence: number }): Claim {
    const claim = new HeldClaim(result, {
      giveBack: async (fence, moved) =>
        this.#options.storage.release?.(id, fence, moved ? this.#options.now() : undefined),
      freed: () => this.#leave(id, slot),
    })
    slot.claim = claim
    this.#renewal ??= setInterval(() => this.#renew(), this.#options.leaseMs / 3).unref()
    // Whoever waits already came later than this request, so it stands for what the client wants now.
    for (const waiter of [...slot.queue]) this.#ask(slot, waiter)
    if (this.#ending) claim.stop(true)
    return claim
  }

  /** Asks the storage once. One that knows no claims is asked for the upload. */
  async #claimOnce(id: string, { unfinished }: Pick<AskOptions, 'unfinished'>, gone: Gone = {}): Promise<ClaimResult> {
    const { storage, leaseMs: ttlMs } = this.#options
    if (storage.claim !== undefined) return storage.claim(id, { owner: this.owner, ttlMs, unfinished, ...gone })
    const upload = await storage.get(id)
    return upload && { upload, fence: ++this.#fences }
  }

  async #claim(
    id: string,
    options: AskOptions,
    deadline: number,
  ): Promise<{ upload: Upload; fence: number } | { complete: Upload } | undefined> {
    const { owner } = this
    let gone: Gone = {}
    for (;;) {
      const result = await this.#claimOnce(id, options, gone)
      if (result === undefined || !('heldBy' in result)) return result
      // A claim of our own that no slot knows of is what a failed release left.
      if (result.heldBy.owner === owner) {
        gone = { dead: owner }
        continue
      }
      const { createdAtMs } = options
      const present = createdAtMs === undefined ? undefined : await this.#options.storage.get(id)
      if (present !== undefined && !isFrom(present, createdAtMs)) return undefined
      gone = await this.#askPeer(id, result.heldBy, options, deadline)
    }
  }

  async #waitForPeer(id: string, options: AskOptions, deadline: number): Promise<Upload | undefined> {
    for (;;) {
      const upload = await this.#options.storage.get(id)
      if (upload !== undefined && !isFrom(upload, options.createdAtMs)) return undefined
      if (upload?.holder === undefined || !this.#heldElsewhere(upload.holder)) return upload
      const gone = await this.#askPeer(id, upload.holder, options, deadline)
      if (gone.dead !== undefined || gone.lapsed !== undefined) return this.#freeFrom(id, gone)
    }
  }

  /**
   * Takes the claim that a process has left that is gone, and gives it back. Otherwise a complete upload, which nobody
   * ever claims again, would keep what follows it (assembly, completion) waiting until the lease has run out.
   */
  async #freeFrom(id: string, gone: Gone): Promise<Upload | undefined> {
    const result = await this.#claimOnce(id, {}, gone)
    if (result === undefined || !('fence' in result)) return this.#options.storage.get(id)
    await this.#options.storage.release?.(id, result.fence)
    // It was read under that claim: with it, an upload whose time is over would seem to be in use.
    return { ...result.upload, holder: undefined }
  }

  #heldElsewhere(holder: Holder | undefined): boolean {
    return holder !== undefined && holder.owner !== this.#peers.owner && holder.leaseUntilMs > this.#options.now()
  }

  #askPeer(id: string, holder: Holder, { offset, signal }: AskOptions, deadline: number): Promise<Gone> {
    const { leaseMs, now } = this.#options
    const leftMs = deadline - performance.now()
    return askHolder(this.#peers, holder, {
      id,
      offset,
      signal: signal?.(),
      leftMs,
      leaseMs,
      now: now(),
      doubtful: this.#doubtful,
    })
  }

  /** Another process asks: it queues up here like everybody else, and its turn lasts until it hangs up. */
  #answerPeer(id: string, offset: number | undefined, answer: (word: 'free' | 'other') => Promise<void>): void {
    const slot = this.#enter(id, { offset })
    Promise.resolve(slot).then(
      async (entered) => {
        await answer('free')
        this.#leave(id, entered)
      },
      (error: TusError) => {
        if (error.code === 'ERR_OFFSET_MISMATCH') void answer('other')
      },
    )
  }

  #renew(): void {
    let held = 0
    for (const [id, { claim }] of this.#slots) {
      if (claim === undefined) continue
      held++
      this.#renewOne(id, claim).catch(this.#options.onError)
    }
    if (held > 0) return
    clearInterval(this.#renewal)
    this.#renewal = undefined
  }

  async #renewOne(id: string, claim: HeldClaim): Promise<void> {
    const { storage, leaseMs } = this.#options
    if (storage.renew !== undefined && !(await storage.renew(id, claim.fence, leaseMs))) claim.stop(false)
  }
}

/** A claim, or `undefined` after it was given back if it is that of another upload than the one that is meant. */
function meant(claim: Claim, { createdAtMs }: Pick<AskOptions, 'createdAtMs'>): Claim | Promise<undefined> {
  return isFrom(claim.upload, createdAtMs) ? claim : claim.release().then(() => undefined)
}
