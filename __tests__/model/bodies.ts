// Bodies that arrive piece by piece, with others having their turn in between.

import type { RequestBody } from '../../src/index.js'
import type { AdapterBody } from '../../src/request.js'
import type { Chunk, Pause } from './calls.js'

const ROUNDS_FROM = 20

/** Lets others have their turn. */
export async function pauseFor(pause: Pause): Promise<void> {
  for (let turn = 0; turn < Math.min(pause, ROUNDS_FROM); turn++) await Promise.resolve()
  for (let round = ROUNDS_FROM; round < pause; round++) await new Promise((resolve) => setImmediate(resolve))
}

/**
 * The body of a request.
 * @param stall - called where it stalls; settles when it goes on
 */
export function bodyOf(chunk: Chunk, stall: () => Promise<void>): RequestBody {
  if (chunk.form === 'whole') return chunk.bytes
  const pieces = piecesOf(chunk, stall)
  return chunk.form === 'pieces' ? pieces : new GatheredBody(pieces, chunk.stated ?? 0)
}

async function* piecesOf(
  { bytes, piece, pauses, stalls, cut }: Chunk,
  stall: () => Promise<void>,
): AsyncGenerator<Uint8Array> {
  for (let start = 0, index = 0; start < bytes.length; start += piece, index++) {
    await pauseFor(pauses[index % pauses.length] ?? 0)
    if (stalls === 'last piece' && start + piece >= bytes.length) await stall()
    yield bytes.subarray(start, start + piece)
  }
  await pauseFor(pauses.at(-1) ?? 0)
  if (stalls === 'end') await stall()
  if (cut) throw new Error('the connection broke')
}

/** As adapters have it: the first pull gathers all, and gives what there is when it is told to stop. */
class GatheredBody implements AdapterBody, AsyncIterator<Uint8Array> {
  gathers: number
  received = 0
  readonly ready = true
  readonly whole = false
  readonly #pieces: AsyncGenerator<Uint8Array>
  #gathered: Uint8Array[] = []
  #stop: (() => void) | undefined
  readonly #stopped: Promise<void>
  #ended = false
  #error: unknown

  constructor(pieces: AsyncGenerator<Uint8Array>, gathers: number) {
    this.#pieces = pieces
    this.gathers = gathers
    this.#stopped = new Promise((resolve) => {
      this.#stop = resolve
    })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  streamInstead(): void {
    this.gathers = 0
  }

  stop(): void {
    this.#stop?.()
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    if (!this.#ended) {
      this.#ended = true
      await Promise.race([this.#gather(), this.#stopped])
      const whole = Buffer.concat(this.#gathered)
      if (whole.length > 0) return { done: false, value: whole }
    }
    if (this.#error !== undefined) throw this.#error
    return { done: true, value: undefined }
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    return { done: true, value: undefined }
  }

  async #gather(): Promise<void> {
    let stopped = false
    void this.#stopped.then(() => {
      stopped = true
    })
    try {
      for await (const piece of this.#pieces) {
        if (stopped) return
        this.received += piece.length
        this.#gathered.push(piece)
      }
    } catch (error) {
      if (!stopped) this.#error = error
    }
  }
}
