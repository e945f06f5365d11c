// How often a property is tried.

/** The number in the environment variable `FAST_CHECK_RUNS`, or else the one that takes moments. */
export function runs(byDefault: number): { numRuns: number } {
  return { numRuns: Number(process.env.FAST_CHECK_RUNS) || byDefault }
}
