// Tables in Markdown.

import type { Outcome } from '../scenarios/scenario.js'

/** An outcome as a table, and what belongs to it. */
export function tableOf({ subject, columns, rows, notes = [], skipped }: Outcome): string {
  if (skipped !== undefined) return `Not run: ${skipped}.\n`
  const lines = [
    `| ${[subject, ...columns.map(({ title }) => title)].join(' | ')} |`,
    `|${'---|'.repeat(columns.length + 1)}`,
    ...rows.map(({ label, values }) => `| ${[label, ...columns.map(({ key }) => format(values[key]))].join(' | ')} |`),
  ]
  return `${[...lines, ...notes.flatMap((note) => ['', note])].join('\n')}\n`
}

/** Three significant digits, which is more than a measurement has. */
export function format(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '–'
  if (Math.abs(value) >= 100) return String(Math.round(value))
  return value === 0 ? '0' : value.toPrecision(3)
}
