// The near end of a reading from a worker: chunks arrive, and wait for whoever takes them.

/** The chunks of one reading that have arrived and were not taken yet: as many as its window allows. */
export class Reading {
  readonly #chunks: Uint8Array[] = []
  #error: Error | undefined
  #settle: (() => void) | undefined
  /** Whether the worker has said that no more comes. */
  ended = false

  /** A chunk arrives. */
  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#settle?.()
  }

  /** No more comes. The chunks that have arrived are still handed out. */
  end(error?: Error): void {
    if (this.ended) return
    this.ended = true
    this.#error = error
    this.#settle?.()
  }

  /** Waits for the next chunk, `undefined` at the end. */
  next(resolve: (chunk: Uint8Array | undefined) => void, reject: (error: Error) => void): void {
    const settle = (): void => {
      const chunk = this.#chunks.shift()
      if (chunk === undefined && !this.ended) return
      this.#settle = undefined
      if (chunk === undefined && this.#error !== undefined) reject(this.#error)
      else resolve(chunk)
    }
    this.#settle = settle
    settle()
  }
}
