// Puts the kept results into docs/performance.md, between its markers, and draws the charts beside it.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Row } from '../scenarios/scenario.js'
import { WORKLOADS } from '../scenarios/workloads.js'
import { OURS_EXPRESS, OURS_NODE, RIVALS, TUS_SERVER, UPLOADX } from '../servers.js'
import { barChart, type Panel } from './bar-chart.js'
import type { Result, Results } from './results.js'
import { format, tableOf } from './table.js'

const DOCS = fileURLToPath(new URL('../../docs', import.meta.url))

/** Brings the page and its charts up to date. */
export function writeDocument(results: Results): void {
  const page = join(DOCS, 'performance.md')
  let text = readFileSync(page, 'utf8')
  for (const [name, content] of sectionsOf(results)) text = replaceSection(text, name, content)
  writeFileSync(page, text)
  mkdirSync(join(DOCS, 'charts'), { recursive: true })
  for (const [name, chart] of chartsOf(results)) writeFileSync(join(DOCS, 'charts', `${name}.svg`), chart)
}

function sectionsOf(results: Results): ReadonlyMap<string, string> {
  const compared = WORKLOADS.flatMap(({ name }) => results[name] ?? [])
  const sections = new Map<string, string>()
  for (const { name, outcome } of Object.values(results)) sections.set(name, tableOf(outcome))
  const machines = new Set(Object.values(results).map(({ machine }) => machine))
  sections.set('machine', `${[...machines].join('\n\n')}\n`)
  sections.set('summary', summary(compared))
  sections.set('ratios', ratios(compared))
  sections.set('behind', behind(compared))
  return sections
}

function replaceSection(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name} -->\n`, `<!-- /${name} -->`]
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  // Not every scenario has a place of its own on the page.
  if (from === -1 || to === -1) return text
  return `${text.slice(0, from + begin.length)}${content}${text.slice(to)}`
}

function summary(results: readonly Result[]): string {
  const lines = results.map(({ title, outcome }) => {
    const unit = outcome.columns[0]?.title ?? ''
    const cells = RIVALS.map(({ name }) => {
      const values = rowOf(outcome.rows, name)?.values
      return `${format(values?.perSecond)} (${format(values?.cpuMs)})`
    })
    return `| ${title}, ${unit} | ${cells.join(' | ')} |`
  })
  return [
    `| workload | ${RIVALS.map(({ name }) => name).join(' | ')} |`,
    `|${'---|'.repeat(RIVALS.length + 1)}`,
    ...lines,
    '',
  ].join('\n')
}

function ratios(results: readonly Result[]): string {
  const lines = results.map(({ title, outcome }) => {
    const express = rowOf(outcome.rows, OURS_EXPRESS.name)?.values
    const node = rowOf(outcome.rows, OURS_NODE.name)?.values
    const cells = [express?.speedup, express?.cpuToTusServer, express?.cpuToBare, node?.cpuToBare].map(format)
    return `| ${title} | ${cells.join(' | ')} |`
  })
  return [
    '| workload | Express: throughput, × @tus/server | CPU, × @tus/server | CPU, × bare Express | node:http: CPU, × bare node:http |',
    `|${'---|'.repeat(5)}`,
    ...lines,
    '',
  ].join('\n')
}

/** Where another package is ahead of this one in Express. */
function behind(results: readonly Result[]): string {
  const lines: string[] = []
  for (const { title, outcome } of results) {
    const ours = rowOf(outcome.rows, OURS_EXPRESS.name)?.values
    for (const { name } of [TUS_SERVER, UPLOADX]) {
      const theirs = rowOf(outcome.rows, name)?.values
      if (ours === undefined || theirs === undefined) continue
      if (Number(theirs.perSecond) > Number(ours.perSecond)) {
        lines.push(`- ${title}: ${name} has ${format(theirs.perSecond)} against ${format(ours.perSecond)} a second.`)
      }
      if (Number(theirs.cpuMs) < Number(ours.cpuMs)) {
        lines.push(`- ${title}: ${name} takes ${format(theirs.cpuMs)} ms of CPU against ${format(ours.cpuMs)}.`)
      }
    }
  }
  return `${(lines.length > 0 ? lines : ['On none of these workloads.']).join('\n')}\n`
}

function chartsOf(results: Results): ReadonlyMap<string, string> {
  const compared = WORKLOADS.flatMap(({ name }) => results[name] ?? [])
  return new Map([
    [
      'throughput',
      barChart(
        'Throughput (more is better)',
        compared.map((result) => panelOf(result, 'perSecond')),
      ),
    ],
    [
      'cpu',
      barChart(
        'CPU of the server, ms (less is better)',
        compared.map((result) => panelOf(result, 'cpuMs')),
      ),
    ],
  ])
}

function panelOf({ title, outcome }: Result, key: 'perSecond' | 'cpuMs'): Panel {
  const unit = outcome.columns.find((column) => column.key === key)?.title.replace('CPU ms ', '') ?? ''
  const bars = RIVALS.flatMap(({ name }) => {
    const value = rowOf(outcome.rows, name)?.values[key]
    return value === undefined ? [] : [{ label: name, value, ours: name.startsWith('this package') }]
  })
  return { title: `${title}, ${unit}`, bars }
}

function rowOf(rows: readonly Row[], label: string): Row | undefined {
  return rows.find((row) => row.label === label)
}
