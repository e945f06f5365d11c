// Ids that nobody can guess.

import { randomFillSync } from 'node:crypto'

/**
 * The second of the creation: uploads in use at the same time lie together in a database, however many others there
 * are.
 */
const TIME_BYTES = 4
/** What makes it impossible to guess. */
const RANDOM_BYTES = 16
const ID_BYTES = TIME_BYTES + RANDOM_BYTES
/** Random bytes are fetched for so many ids at once: each fetch costs as much as all else about an id. */
const IDS_AT_ONCE = 128

const pool = Buffer.allocUnsafeSlow(ID_BYTES * IDS_AT_ONCE)
let used = pool.length

/**
 * The time in seconds and 128 random bits, in hexadecimal: 40 digits, in lower case so that file systems that ignore
 * case can't confuse two of them.
 * @param nowMs - milliseconds since the epoch
 */
export function randomId(nowMs: number): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += ID_BYTES
  pool.writeUInt32BE(Math.floor(nowMs / 1000) >>> 0, used - ID_BYTES)
  return pool.toString('hex', used - ID_BYTES, used)
}
