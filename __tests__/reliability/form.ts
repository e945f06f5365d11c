// The two forms of these tests: the short one, which CI runs, and the long one (npm run test:long), whose figures are in
// docs/reliability.md.
import { appendFileSync } from 'node:fs'

/** Whether this is the long form. */
export const LONG = process.env.RELIABILITY === 'long'

/** What differs between the two forms. */
export function form<T>(short: T, long: T): T {
  return LONG ? long : short
}

/** What was tried, how often, and what came of it. */
export type Figures = Readonly<Record<string, number | string>>

/** Prints figures as they are measured; into a file of lines of JSON, too, if `RELIABILITY_FIGURES` names one. */
export function report(what: string, figures: Figures): void {
  const line = Object.entries(figures).map(([name, value]) => `${name} ${value}`)
  process.stdout.write(`  ${what}: ${line.join(', ')}\n`)
  const file = process.env.RELIABILITY_FIGURES
  if (file) appendFileSync(file, `${JSON.stringify({ what, ...figures })}\n`)
}
