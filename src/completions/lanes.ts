// The queues of background work. Copies and hooks have queues of their own, so that neither starves the other.

import type { CompletionStep } from '../storage/storage.js'
import type { Upload } from '../upload.js'

/** A copy of at most this many bytes takes no time to speak of, and has a queue beside the large ones. */
const SMALL_COPY_BYTES = 8 * 1024 * 1024
/** How many copies of each kind are made at the same time: more of them only share the disk. */
const MAX_COPIES = 2

/** A queue: which work it takes, and how much of it at the same time. */
export interface Lane {
  /** The step that it begins with. */
  readonly step: CompletionStep
  /** The largest upload that it takes, in bytes. */
  readonly maxBytes: number
  /** How many may run at the same time. */
  readonly limit: number
  /** How many run now. */
  running: number
}

/** All queues of a server. */
export class Lanes {
  readonly all: readonly Lane[]
  readonly #onFree: (lane: Lane) => void

  /**
   * @param maxHooks - how many hooks run at the same time
   * @param onFree - called when a slot is free again
   */
  constructor(maxHooks: number, onFree: (lane: Lane) => void) {
    const lane = (step: CompletionStep, maxBytes: number, limit: number): Lane => ({
      step,
      maxBytes,
      limit,
      running: 0,
    })
    this.#onFree = onFree
    // The first one that is free and takes an upload is used, so small copies leave the slots of large ones alone.
    this.all = [
      lane('copy', SMALL_COPY_BYTES, MAX_COPIES),
      lane('copy', Number.MAX_SAFE_INTEGER, MAX_COPIES),
      lane('hook', Number.MAX_SAFE_INTEGER, maxHooks),
    ]
  }

  /** Acquires a slot for a step. `undefined` if none is free. */
  acquire(step: CompletionStep, bytes: number): Slot | undefined {
    const lane = this.all.find((one) => one.step === step && bytes <= one.maxBytes && one.running < one.limit)
    return lane && new Slot(lane, this.#onFree)
  }

  /** Acquires a slot of one lane. `undefined` if none is free. */
  enter(lane: Lane): Slot | undefined {
    return lane.running < lane.limit ? new Slot(lane, this.#onFree) : undefined
  }
}

/** The right to do work of one lane now. */
export class Slot {
  readonly #lane: Lane
  readonly #onFree: (lane: Lane) => void
  #released = false

  constructor(lane: Lane, onFree: (lane: Lane) => void) {
    this.#lane = lane
    this.#onFree = onFree
    lane.running++
  }

  /** The step that it is for. */
  get step(): CompletionStep {
    return this.#lane.step
  }

  /** Gives it back. May be called twice. */
  release(): void {
    if (this.#released) return
    this.#released = true
    this.#lane.running--
    this.#onFree(this.#lane)
  }
}

/** Which step an unsettled upload needs next, and how large it is. */
export function workOf({ completion, offset }: Upload): { readonly step: CompletionStep; readonly bytes: number } {
  return { step: completion?.step ?? 'hook', bytes: offset }
}
