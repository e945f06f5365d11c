// Upload-Offset, Upload-Length, Content-Length: non-negative integers.

// 1*DIGIT; https://tus.io/protocols/resumable-upload#upload-offset
const DIGITS = /^[0-9]+$/

/**
 * Reads a non-negative integer of a header.
 * @returns the number, or `undefined` unless it is digits alone and at most 2^53-1
 */
export function parseInteger(value: string | undefined): number | undefined {
  if (value === undefined || !DIGITS.test(value)) return undefined
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : undefined
}

/**
 * Reads `Content-Length`. There may be more in it than can be counted exactly: that is still more than any limit.
 * @returns the number, or `undefined` unless it is digits alone
 */
export function parseContentLength(value: string | undefined): number | undefined {
  return value !== undefined && DIGITS.test(value) ? Number(value) : undefined
}
