// How much of a file is read at a time: each read takes a trip through the thread pool, and a client may stop taking what was
// read for it, and hold it.

/** Where the bytes are copied, and clients that take them promptly: bytes. */
const LARGE_BYTES = 256 * 1024
/** For a client at first, and for a slow one: bytes. */
const SMALL_BYTES = 32 * 1024
/** A client that takes all of a read within this many milliseconds gets twice as much with the next one … */
const PROMPT_MS = 100
/** … as long as no more readings than this have more than a little. */
const MAX_LARGE = 32

/** The sizes of one reading. */
export interface ReadSize {
  /** How much to read now, in bytes. */
  readonly bytes: number
  /** @param tookMs - how long the last read was held, in milliseconds */
  taken(tookMs: number): void
  /** The reading is over. */
  end(): void
}

/** The size of a reading whose bytes nobody holds. */
export const LARGE_READS: ReadSize = { bytes: LARGE_BYTES, taken: () => {}, end: () => {} }

/** The sizes of all readings for clients, so that a crowd that reads fast and then stops holds little together. */
export class ReadSizes {
  #large = 0

  /** Those of one more reading. */
  begin(): ReadSize {
    let bytes = SMALL_BYTES
    const set = (wanted: number): void => {
      if (wanted > SMALL_BYTES && bytes === SMALL_BYTES) {
        if (this.#large >= MAX_LARGE) return
        this.#large++
      } else if (wanted === SMALL_BYTES && bytes > SMALL_BYTES) this.#large--
      bytes = wanted
    }
    return {
      get bytes() {
        return bytes
      },
      taken: (tookMs) => set(tookMs < PROMPT_MS ? Math.min(2 * bytes, LARGE_BYTES) : SMALL_BYTES),
      end: () => set(SMALL_BYTES),
    }
  }
}
