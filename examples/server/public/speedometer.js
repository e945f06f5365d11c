// How fast an upload goes, over the last few seconds.

const WINDOW_MS = 5_000
const STEP_MS = 250

export class Speedometer {
  /** @type {{ atMs: number, bytes: number }[]} */
  #samples = []

  /** Starts anew: what was not sent while nothing could be sent does not count. */
  reset() {
    this.#samples = []
  }

  /** @param {number} bytes how many have been sent by now */
  add(bytes) {
    const atMs = performance.now()
    const last = this.#samples.at(-1)
    if (last !== undefined && atMs - last.atMs < STEP_MS) return
    this.#samples.push({ atMs, bytes })
    while (atMs - this.#samples[0].atMs > WINDOW_MS) this.#samples.shift()
  }

  /** Bytes per second; `undefined` as long as nobody can say. */
  get speed() {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last.atMs - first.atMs < 2 * STEP_MS) return undefined
    // A pause after the last sample counts once it is longer than one between samples.
    const untilMs = Math.max(last.atMs, performance.now() - 2 * STEP_MS)
    return ((last.bytes - first.bytes) / (untilMs - first.atMs)) * 1000
  }
}
