// How much space is left to store something, as `minFreeBytes` has it.

import { isTusError, TusError } from './errors.js'
import type { Storage } from './storage/storage.js'

/** What {@link Space} needs. */
export interface SpaceOptions {
  readonly storage: Storage
  /** How many bytes must stay free; 0: nothing is checked. */
  readonly minFreeBytes: number
  /** Says something that the operator of the server should know. */
  readonly warn: (message: string) => void
}

/** Decides what may still be stored. */
export class Space {
  readonly #options: SpaceOptions
  /** How many bytes the copies that run may still write, in all. */
  #reservedBytes = 0
  #isShort = false

  /** @param options - the storage, the limit */
  constructor(options: SpaceOptions) {
    this.#options = options
  }

  /**
   * Checks that this many bytes more would leave enough space.
   * @throws TusError `ERR_LOW_SPACE`
   */
  check(bytes: number): void | Promise<void> {
    return this.#options.minFreeBytes === 0 ? undefined : this.#check(bytes)
  }

  async #check(bytes: number): Promise<void> {
    if ((await this.#left()) < bytes) throw new TusError('ERR_LOW_SPACE')
  }

  /**
   * Takes space for a copy, before other copies can: the file system learns of it only as it is written. Copies of
   * other processes are not known. Says once that there is not enough, until there is again.
   * @returns what gives the space back once the copy has ended
   * @throws TusError `ERR_LOW_SPACE`
   */
  async reserve(bytes: number): Promise<() => void> {
    if (this.#options.minFreeBytes === 0) return () => {}
    this.#reservedBytes += bytes
    const giveBack = (): void => {
      this.#reservedBytes -= bytes
    }
    try {
      if ((await this.#left()) < this.#reservedBytes) throw new TusError('ERR_LOW_SPACE')
      this.#isShort = false
      return giveBack
    } catch (error) {
      giveBack()
      if (isTusError(error)) this.#warn(bytes)
      throw error
    }
  }

  async #left(): Promise<number> {
    const { storage, minFreeBytes } = this.#options
    if (minFreeBytes === 0) return Number.POSITIVE_INFINITY
    return ((await storage.freeBytes?.()) ?? Number.POSITIVE_INFINITY) - minFreeBytes
  }

  #warn(bytes: number): void {
    if (this.#isShort) return
    this.#isShort = true
    this.#options.warn(
      `the ${bytes} bytes of a final upload cannot be copied into its own file without leaving less than minFreeBytes; ` +
        'this and others are tried again later, and stay readable until then',
    )
  }
}
