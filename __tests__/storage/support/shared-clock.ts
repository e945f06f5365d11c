// A clock that a worker sees, too.
import type { Clock } from '../../../src/testing/index.js'

/** The clock, and the memory that carries its time. */
export function sharedClock(): Clock & { readonly time: BigInt64Array<SharedArrayBuffer> } {
  const time = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT))
  time[0] = BigInt(Date.now())
  return {
    time,
    now: () => Number(Atomics.load(time, 0)),
    advance: (ms) => {
      Atomics.add(time, 0, BigInt(Math.ceil(ms)))
    },
  }
}
