// Keeps what was measured: each run in a file of its own, and the last one worth keeping in the repository.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Outcome } from '../scenarios/scenario.js'

const FOLDER = fileURLToPath(new URL('../results', import.meta.url))
const KEPT = join(FOLDER, 'last.json')
const RUN = join(
  process.env.BENCH_RESULTS ?? FOLDER,
  `${new Date().toISOString().replaceAll(':', '-').slice(0, 19)}.json`,
)

/** One scenario's result, and what it was measured on. */
export interface Result {
  readonly name: string
  readonly title: string
  readonly machine: string
  readonly outcome: Outcome
}

/** Results by the names of their scenarios. */
export type Results = Readonly<Record<string, Result>>

/**
 * Adds a result to this run's file.
 * @param save - whether it replaces the one that the repository keeps
 */
export function writeResult(result: Result, { save }: { save: boolean }): void {
  mkdirSync(dirname(RUN), { recursive: true })
  for (const file of save ? [RUN, KEPT] : [RUN]) {
    writeFileSync(file, `${JSON.stringify({ ...readResults(file), [result.name]: result }, null, 2)}\n`)
  }
}

/** The results that the repository keeps. */
export function keptResults(): Results {
  return readResults(KEPT)
}

function readResults(file: string): Results {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Results) : {}
}
