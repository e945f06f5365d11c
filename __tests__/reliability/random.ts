// Chance that can be repeated: the same seed leads to the same numbers.

/** Draws numbers. */
export interface Random {
  /** A number from 0 up to 1, without 1. */
  next(): number
  /** An integer from `least` to `most`, both included. */
  integer(least: number, most: number): number
  /** One of several. */
  pick<T>(values: readonly T[]): T
}

/** A generator of its own (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const integer = (least: number, most: number): number => least + Math.floor(next() * (most - least + 1))
  return { next, integer, pick: (values) => values[integer(0, values.length - 1)] as never }
}
