// The one consumer of request bodies: reads them in turns, counts, limits, stops, and says how each came to its end.

import type { MemoryBudget, Turn, Turns } from '../admission.js'
import type { Claim } from '../claims/held-claim.js'
import type { Pace, PacedBody } from '../pace.js'
import { isAdapterBody, type RequestBody } from '../request.js'
import type { Stage } from '../storage/storage.js'
import { BodyWriter, StorageFailure, WRITE_BYTES } from './body-writer.js'

/** A body without a turn keeps at most so much in memory, in bytes. */
const STALLED_BYTES = 16 * 1024
/** After so many bytes a body lets others have their turn. */
const BYTES_PER_TURN = 4 * 1024 * 1024

/** What all bodies of a server share, and how often they are committed. */
export interface Intake {
  readonly turns: Turns
  readonly budget: MemoryBudget
  readonly pace: Pace
  /** No more of a long body than so many bytes is received without being committed. */
  readonly segmentBytes: number
  /** After so many bytes it is committed if it need not be held up for that. */
  readonly commitBytes: number
  /** … and after so many milliseconds, so that a slow one loses little when the process is killed. */
  readonly segmentMs: number
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** One body, and where it goes. */
export interface Reception {
  readonly body: RequestBody
  readonly stage: Stage
  readonly claim: Claim
  /** The most bytes that the body may have. */
  readonly limit: number
  /** How many bytes the body says that it has. */
  readonly stated?: number | undefined
  /** Sees every chunk, before it is stored. */
  readonly inspect: ((chunk: Uint8Array) => void) | undefined
  /**
   * May refuse the body, by an error, once its regular end has come.
   * @param chunks - all of it, if nothing of it was written yet
   */
  readonly atEnd?: ((chunks: readonly Uint8Array[] | undefined) => void) | undefined
  /** Commits up to an offset in the middle of the body; `undefined` if it may only be committed as a whole. */
  readonly commitSegment: ((to: number) => Promise<void>) | undefined
}

/**
 * How a body came to its end: `complete`; `stopped`: somebody took over; `too-slow`; `interrupted`: the connection
 * broke; `too-long`; `refused`: by {@link Reception.atEnd}; `failed`: the storage did not take it.
 */
export type Ending = 'complete' | 'stopped' | 'too-slow' | 'interrupted' | 'too-long' | 'refused' | 'failed'

/** What became of a body. */
export interface Received {
  readonly ending: Ending
  /** Up to which offset bytes are staged. */
  readonly staged: number
  /** What went wrong, if it was interrupted, refused, or failed. */
  readonly cause?: unknown
}

/** Reads a body into a stage. What it leaves staged is the caller's to commit. Never throws. */
export function receiveBody(intake: Intake, reception: Reception): Promise<Received> {
  return new Receiver(intake, reception).run()
}

/** What a pull leads to, besides a chunk or the regular end: somebody asked the holder to let go. */
const STOPPED = Symbol('stopped')
type Pulled = IteratorResult<Uint8Array> | typeof STOPPED

class Receiver implements PacedBody {
  waiting = false
  place = -1
  readonly #intake: Intake
  readonly #reception: Reception
  readonly #start: number
  readonly #writer: BodyWriter
  #turn: Turn | undefined
  #turnBytes = 0
  #wakePull: ((pulled: typeof STOPPED) => void) | undefined
  #wakeTurn: (() => void) | undefined
  /** Why the body is not read on, from the moment at which somebody said so. */
  #stopped: 'stopped' | 'too-slow' | undefined
  #dropRest = false

  constructor(intake: Intake, reception: Reception) {
    this.#intake = intake
    this.#reception = reception
    this.#start = reception.claim.position
    this.#writer = new BodyWriter(intake, reception, () => this.#stop('stopped', true))
  }

  get received(): number {
    const { body, claim } = this.#reception
    return !(body instanceof Uint8Array) && isAdapterBody(body) ? body.received : claim.position - this.#start
  }

  async run(): Promise<Received> {
    const { claim, body } = this.#reception
    try {
      if (claim.stopped && !this.#isWhole()) return this.#result('stopped')
      const whole = body instanceof Uint8Array ? body : isAdapterBody(body) ? body.takeWhole?.() : undefined
      if (whole !== undefined) return await this.#take(whole)
      claim.onStop = (keep) => this.#stop('stopped', keep)
      this.#intake.pace.join(this)
      return await this.#readAll(body as AsyncIterable<Uint8Array>)
    } catch (error) {
      if (error instanceof StorageFailure) return this.#result('failed', error.cause)
      return await this.#endEarly('interrupted', error)
    } finally {
      claim.onStop = undefined
      this.#intake.pace.leave(this)
      await this.#writer.end()
      if (this.#turn !== undefined) this.#intake.turns.give(this.#turn)
    }
  }

  async #take(bytes: Uint8Array): Promise<Received> {
    if (this.#count(bytes) > this.#reception.limit) return this.#result('too-long')
    return this.#endWhole('complete')
  }

  async #readAll(body: AsyncIterable<Uint8Array>): Promise<Received> {
    if (this.#isReady()) await this.#takeTurn()
    if (isAdapterBody(body) && body.gathers > 0 && !this.#writer.reserve(body.gathers)) body.streamInstead()
    const iterator = body[Symbol.asyncIterator]()
    let more = false
    try {
      for (;;) {
        more = false
        this.waiting = true
        this.#sayIdle()
        const pulled = await this.#pull(iterator)
        this.waiting = false
        more = pulled === STOPPED || pulled.done !== true
        if (pulled === STOPPED || this.#dropRest) return await this.#endEarly(this.#stopped ?? 'stopped')
        if (pulled.done) {
          // Whoever asks from here on comes too late: the body is whole.
          return await this.#endWhole(this.#stopped ?? 'complete')
        }
        if (this.#count(pulled.value) > this.#reception.limit) return this.#result('too-long')
        // Most chunks leave nothing to be waited for, and there are many.
        const settling = this.#afterChunk()
        if (settling !== undefined) await settling
      }
    } finally {
      // Not awaited: a generator that waits for its next chunk ends only after that.
      if (more) Promise.resolve(iterator.return?.()).catch(() => {})
    }
  }

  /** Counts a chunk in; returns how many bytes the body has so far. */
  #count(chunk: Uint8Array): number {
    const { claim } = this.#reception
    claim.position += chunk.length
    this.#turnBytes += chunk.length
    if (this.#turn !== undefined) {
      this.#turn.moved = true
      this.#turn.idle = false
    }
    this.#writer.add(chunk)
    return claim.position - this.#start
  }

  /** What has to be waited for before more is read, if anything has. */
  #afterChunk(): Promise<void> | undefined {
    const lostTurn = this.#turn?.over !== false && !this.#hasTurnNow()
    const settling = this.#writer.advance(lostTurn ? STALLED_BYTES : WRITE_BYTES)
    return settling === undefined ? this.#nextTurn(lostTurn) : settling.then(() => this.#nextTurn(lostTurn))
  }

  /**
   * What can be gathered need not be written in small pieces. A body that is no faster than it is read is lent a turn
   * while nobody waits for one.
   */
  #hasTurnNow(): boolean {
    if (this.#writer.gathered <= STALLED_BYTES) return false
    const { turns } = this.#intake
    this.#giveTurn()
    this.#turn = this.#isReady() ? turns.takeNow() : turns.lend()
    return this.#turn !== undefined
  }

  #nextTurn(lostTurn: boolean): Promise<void> | undefined {
    const isOver = this.#turnBytes >= BYTES_PER_TURN && this.#intake.turns.contended
    if (lostTurn ? this.#isReady() : isOver) return this.#takeTurn()
    if (lostTurn) this.#giveTurn()
    return undefined
  }

  /**
   * Whether there may be more to be read at once. A body that trickles waits without a turn, and is in nobody's way.
   */
  #isReady(): boolean {
    const { body } = this.#reception
    return body instanceof Uint8Array || !isAdapterBody(body) || body.ready
  }

  /** Others may have the turn while the client sends nothing. Nobody knows of a plain iterable before it yields. */
  #sayIdle(): void {
    const { body } = this.#reception
    if (this.#turn === undefined || body instanceof Uint8Array || (isAdapterBody(body) && body.ready)) return
    this.#intake.turns.idle(this.#turn)
  }

  #giveTurn(): void {
    if (this.#turn !== undefined) this.#intake.turns.give(this.#turn)
    this.#turn = undefined
    this.#turnBytes = 0
  }

  async #takeTurn(): Promise<void> {
    const { turns } = this.#intake
    if (this.#stopped) return
    this.#giveTurn()
    const turn = turns.take()
    if (!(turn instanceof Promise)) {
      this.#turn = turn
      return
    }
    // A turn that comes after this body was stopped goes to the next one.
    const stopped = new Promise<void>((resolve) => {
      this.#wakeTurn = resolve
    })
    let waiting = true
    const granted = turn.then((mine) => {
      if (waiting) this.#turn = mine
      else turns.give(mine)
    })
    await Promise.race([granted, stopped])
    waiting = false
    this.#wakeTurn = undefined
  }

  #pull(iterator: AsyncIterator<Uint8Array>): Promise<Pulled> {
    // It ends when it is told to. Nobody can tell any other one.
    if (isAdapterBody(this.#reception.body)) return iterator.next()
    if (this.#stopped) return Promise.resolve(STOPPED)
    return new Promise((resolve, reject) => {
      this.#wakePull = resolve
      iterator.next().then(resolve, reject)
    })
  }

  cut(): void {
    this.#stop('too-slow', true)
  }

  #stop(why: 'stopped' | 'too-slow', keep: boolean): void {
    const { body } = this.#reception
    if (this.#isWhole()) return
    this.#stopped ??= why
    this.#dropRest = !keep
    // An adapter's body yields what it has gathered before it ends; any other one is left where it is.
    if (!(body instanceof Uint8Array) && isAdapterBody(body)) body.stop()
    else this.#wakePull?.(STOPPED)
    this.#wakeTurn?.()
  }

  /**
   * Whether nothing more of the body is waited for. Then it ends by itself: whoever asks its holder to let go may be
   * the next request on the same connection, which would be destroyed with it.
   */
  #isWhole(): boolean {
    const { body, claim, stated } = this.#reception
    if (body instanceof Uint8Array) return true
    // Of a body off a socket nothing is missing after its last byte but the word that it is over.
    return isAdapterBody(body) && (body.whole || claim.position - this.#start === stated)
  }

  async #endWhole(ending: Ending): Promise<Received> {
    try {
      if (ending === 'complete') this.#reception.atEnd?.(this.#writer.unwritten)
    } catch (error) {
      return this.#result('refused', error)
    }
    await this.#writer.flush()
    return this.#result(ending)
  }

  /** Keeps what arrived before the end came. */
  async #endEarly(ending: Ending, cause?: unknown): Promise<Received> {
    try {
      await this.#writer.flush()
    } catch (error) {
      if (error instanceof StorageFailure) return this.#result('failed', error.cause)
      throw error
    }
    return this.#result(ending, cause)
  }

  #result(ending: Ending, cause?: unknown): Received {
    return { ending, staged: this.#writer.staged, cause }
  }
}
