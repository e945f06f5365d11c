// Ids that nobody can guess.

import { randomFillSync } from 'node:crypto'

/** 128 bits, in lower case so that file systems that ignore case can't confuse two of them. */
const ID_BYTES = 16
/** Random bytes are fetched for so many ids at once: each fetch costs as much as all else about an id. */
const IDS_AT_ONCE = 128

const pool = Buffer.allocUnsafeSlow(ID_BYTES * IDS_AT_ONCE)
let used = pool.length

/** 128 random bits in hexadecimal. */
export function randomId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += ID_BYTES
  return pool.toString('hex', used - ID_BYTES, used)
}
