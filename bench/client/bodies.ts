// Bytes to upload. They differ from upload to upload, so that a byte in the wrong place shows.

import { randomFillSync } from 'node:crypto'

const STEP = 64
const STARTS = 1021
const MAX_BYTES = 8 * 1024 * 1024

const pool = randomFillSync(Buffer.allocUnsafe(MAX_BYTES + STEP * STARTS))

/** The bytes of every chunk of an upload: the same for each, and others than those of its neighbours. */
export function bytesFor(upload: number, size: number): Buffer {
  if (size > MAX_BYTES) throw new RangeError(`a chunk of ${size} bytes: there are ${MAX_BYTES}`)
  const start = (upload % STARTS) * STEP
  return pool.subarray(start, start + size)
}
