// What a scenario is, and what comes out of it.

import type { Settings } from '../settings.js'

/** Something that is measured. */
export interface Scenario {
  /** How it is chosen on the command line. */
  readonly name: string
  readonly title: string
  run(settings: Settings): Promise<Outcome>
}

/** One column of numbers. */
export interface Column {
  readonly key: string
  readonly title: string
}

/** One line of a table: a server, or a workload. */
export interface Row {
  readonly label: string
  /** By the columns' keys. */
  readonly values: Readonly<Record<string, number | undefined>>
}

/** What a scenario has measured. */
export interface Outcome {
  /** What the lines are: `server`, `workload`. */
  readonly subject: string
  readonly columns: readonly Column[]
  readonly rows: readonly Row[]
  /** What a reader must know to read the numbers. */
  readonly notes?: readonly string[]
  /** Why there is nothing. */
  readonly skipped?: string
}

/** The outcome of a scenario that could not be run. */
export function skip(reason: string): Outcome {
  return { subject: '', columns: [], rows: [], skipped: reason }
}
