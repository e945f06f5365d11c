// docs/conformance.md: each rule of the protocol with its tests, and what is wrong where a rule has none.

import type { Case } from '../__tests__/protocol/case.js'
import type { Level, Rule } from '../__tests__/protocol/rules.js'

/** What the page is made of. */
export interface Conformance {
  readonly rules: readonly Rule[]
  /** What titles may name instead of a rule, and its heading. */
  readonly topics: Readonly<Record<string, string>>
  /** The cases, by the name of their suite. */
  readonly suites: ReadonlyArray<readonly [name: string, cases: readonly Case[]]>
  /** Titles of tests that are no cases, with the file that they are in. */
  readonly others: ReadonlyArray<{ readonly title: string; readonly file: string }>
}

interface Entry {
  readonly level: Level
  /** The numbers of rules, or topics. */
  readonly of: readonly string[]
  readonly text: string
  /** Of how many values it is tried. */
  count: number
}

const TITLE = /^(MUST|SHOULD|MAY) ([\w, ]+): (\S.*)$/
const LEVELS: readonly Level[] = ['MUST', 'SHOULD', 'MAY']

/** What is wrong: rules without a case, and titles that name none. */
export function problemsOf({ rules, topics, suites, others }: Conformance): readonly string[] {
  const problems: string[] = []
  const known = new Set([...rules.map(({ number }) => String(number)), ...Object.keys(topics)])
  const titles = [
    ...suites.flatMap(([, cases]) => cases.map(({ title }) => title)),
    ...others.map(({ title }) => title),
  ]
  for (const title of titles) {
    const unknown = (parse(title)?.of ?? [title]).filter((name) => !known.has(name))
    if (unknown.length > 0) problems.push(`the test '${title}' names no rule that there is`)
  }
  const entries = entriesOf(suites)
  for (const { number, asks } of rules) {
    for (const level of LEVELS) {
      const tested = entries.some((entry) => entry.level === level && entry.of.includes(String(number)))
      if (asks[level] !== undefined && !tested) problems.push(`rule ${number} has no ${level} test`)
    }
  }
  return problems
}

/** The page, as Markdown. */
export function pageOf({ rules, topics, suites, others }: Conformance): string {
  const entries = entriesOf(suites)
  const lines = [
    '# Conformance',
    '',
    'What [tus 1.0.0](https://tus.io/protocols/resumable-upload) asks of a server, in short, and the tests that hold it.',
    'Written by `npm run conformance`; `npm run check` fails where this page is stale or a rule has no test.',
    '',
    'Each test is data, in `__tests__/protocol/`. It runs against the core, with `MemoryStorage` and `SQLiteStorage` and with',
    'bodies in one piece and byte by byte, and over sockets through Express 4, Express 5, Connect and `node:http`. A number',
    'behind a title says for how many values it runs. Tests of a file of their own are named with it.',
  ]
  for (const part of new Set(rules.map((rule) => rule.part))) {
    lines.push('', `## ${part}`)
    for (const rule of rules.filter((other) => other.part === part)) lines.push('', ...ruleLines(rule, entries, others))
  }
  for (const [topic, heading] of Object.entries(topics)) {
    const tests = entries.filter(({ of }) => of.includes(topic))
    if (tests.length > 0) lines.push('', `## ${heading}`, '', ...tests.map(testLine))
  }
  return `${lines.join('\n')}\n`
}

function ruleLines({ number, anchor, asks }: Rule, entries: readonly Entry[], others: Conformance['others']): string[] {
  const name = String(number)
  const lines = [`### Rule ${number}`, '']
  for (const level of LEVELS) if (asks[level] !== undefined) lines.push(`**${level}** ${asks[level]}`)
  lines.push(`([${anchor}](https://tus.io/protocols/resumable-upload#${anchor}))`, '')
  lines.push(...entries.filter(({ of }) => of.includes(name)).map(testLine))
  for (const { title, file } of others) {
    const entry = parse(title)
    if (entry?.of.includes(name)) lines.push(`${testLine(entry)} (\`${file}\`)`)
  }
  return lines
}

function testLine({ level, text, count }: Entry): string {
  return `- ${level}: ${plain(text)}${count > 1 ? ` (${count})` : ''}`
}

function plain(text: string): string {
  return text.replace(/[\\`*_<>[\]]/g, '\\$&')
}

function entriesOf(suites: Conformance['suites']): readonly Entry[] {
  const entries = new Map<string, Entry>()
  for (const [name, cases] of suites) {
    for (const { title, variantOf = title } of cases) {
      const key = `${name}\0${variantOf}`
      const entry = entries.get(key) ?? parse(variantOf)
      if (entry === undefined) continue
      entries.set(key, { ...entry, count: entry.count + 1 })
    }
  }
  return [...entries.values()]
}

function parse(title: string): Entry | undefined {
  const [, level, names = '', text = ''] = TITLE.exec(title) ?? []
  if (level === undefined) return undefined
  return { level: level as Level, of: names.split(', '), text, count: 0 }
}
