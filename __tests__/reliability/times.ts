// What is said of times that were measured several times over.

/** Times in milliseconds, in a few numbers. */
export interface Times {
  /** A quarter of them took no longer: what a machine that is busy with other things does not spoil. */
  readonly quarterMs: number
  readonly medianMs: number
  readonly mostMs: number
}

/** Sums times up. */
export function timesOf(ms: readonly number[]): Times {
  const sorted = [...ms].sort((one, other) => one - other)
  const at = (share: number): number => {
    const value = sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? Number.NaN
    return Math.round(value * 10) / 10
  }
  return { quarterMs: at(0.25), medianMs: at(0.5), mostMs: at(1) }
}
