// How long a failed try is followed by no other one.

const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 5 * 60_000

/**
 * How long after a failed try the next one begins, in milliseconds: twice as long each time.
 * @param attempt - the number of the try that failed, from 1 on
 */
export function backoffMs(attempt: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LAST_RETRY_MS)
}
