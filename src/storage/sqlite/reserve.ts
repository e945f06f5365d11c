// A file of no use but its size: on a full disk it makes way for the records, so that uploads can still be removed.

import { closeSync, openSync, rmSync, statSync, writeSync } from 'node:fs'

/** More than the records of a few thousand uploads need that the log has and the database has not yet. */
const RESERVE_BYTES = 512 * 1024

/** Space that is kept for when there is no other. */
export class Reserve {
  readonly #path: string
  #released = false

  /** @param path - the file, which is made if it is missing */
  constructor(path: string) {
    this.#path = path
    if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) < RESERVE_BYTES) this.#take()
  }

  /** Gives the space free. */
  release(): void {
    this.#released = true
    rmSync(this.#path, { force: true })
  }

  /** Takes the space again, if it was given free and there is enough now. */
  restore(): void {
    if (this.#released) this.#take()
  }

  #take(): void {
    try {
      const descriptor = openSync(this.#path, 'w')
      try {
        const zeros = Buffer.alloc(RESERVE_BYTES)
        for (let done = 0; done < RESERVE_BYTES; )
          done += writeSync(descriptor, zeros, done, RESERVE_BYTES - done, done)
      } finally {
        closeSync(descriptor)
      }
      this.#released = false
    } catch {
      // Half a reserve would only be in the way.
      this.release()
    }
  }
}
