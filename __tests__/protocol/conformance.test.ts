// docs/conformance.md and the check that goes with it: each rule of the protocol has tests, and they are listed.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type Conformance, pageOf, problemsOf } from '../../scripts/conformance-page.js'
import type { Case } from './case.js'
import { RULES, TOPICS } from './rules.js'
import { SUITES } from './suites.js'

const ROOT = resolve(__dirname, '../..')
const real: Conformance = { rules: RULES, topics: TOPICS, suites: SUITES, others: [] }

/** The suites without the cases of some rules. */
function without(isGone: (testCase: Case) => boolean): Conformance['suites'] {
  return SUITES.map(([name, cases]) => [name, cases.filter((testCase) => !isGone(testCase))] as const)
}

/** A suite of one case. */
function suiteOf(title: string): Conformance['suites'] {
  return [['suite', [{ title, steps: [] }]]]
}

describe('the check', () => {
  test('finds nothing to say of these tests', () => {
    expect(problemsOf(real)).toEqual([])
  })

  test.each(RULES.map(({ number, asks }) => [number, asks] as const))(
    'finds rule %i if its tests are gone',
    (number, asks) => {
      const suites = without(({ title }) =>
        (title.match(/^[A-Z]+ ([0-9, ]+):/)?.[1] ?? '').split(', ').includes(`${number}`),
      )
      expect(problemsOf({ ...real, suites })).toEqual(
        Object.keys(asks).map((level) => `rule ${number} has no ${level} test`),
      )
    },
  )

  test('finds a level of a rule if its tests are gone', () => {
    const suites = without(({ title }) => title.startsWith('MUST 7:'))
    expect(problemsOf({ ...real, suites })).toEqual(['rule 7 has no MUST test'])
  })

  test.each(['90: no such rule', '1, 90: one of them', 'nonsense: no such topic'])(
    'finds a title that names no rule there is: %s',
    (rest) => {
      const title = `MUST ${rest}`
      const complaint = `the test '${title}' names no rule that there is`
      expect(problemsOf({ ...real, suites: [...SUITES, ...suiteOf(title)] })).toEqual([complaint])
      expect(problemsOf({ ...real, others: [{ title, file: 'x.test.ts' }] })).toEqual([complaint])
    },
  )

  test.each(['it works', 'must 1: lower case', 'MUST: no number', 'MUST 1:'])(
    'finds a title that has no level and no rule: %s',
    (title) => {
      expect(problemsOf({ ...real, suites: [...SUITES, ...suiteOf(title)] })).toHaveLength(1)
    },
  )

  test('takes no other test for a case', () => {
    const suites = without(({ title }) => title.startsWith('MUST 21:'))
    const others = [{ title: `MUST ${21}: somewhere else`, file: 'x.test.ts' }]
    expect(problemsOf({ ...real, suites, others })).toEqual([])
    const all = without(({ title }) => /^MUST ([0-9]+, )*21:/.test(title))
    expect(problemsOf({ ...real, suites: all, others })).toEqual(['rule 21 has no MUST test'])
  })
})

test('no title comes twice in a suite', () => {
  for (const [name, cases] of SUITES) {
    const titles = cases.map(({ title }) => title)
    expect({ name, titles: new Set(titles).size }).toEqual({ name, titles: titles.length })
  }
})

describe('the page', () => {
  const rule = { number: 1, part: 'Part', anchor: 'part', asks: { MUST: 'Do `this`.', SHOULD: 'Do that.' } } as const

  test('has each rule with what it asks and its tests, variants as one', () => {
    const titles = ['MUST 1: one of <many>: 1', 'MUST 1: one of <many>: 2', 'MAY topic: beside it', 'SHOULD 1, 2: both']
    const cases = titles.map((title) => ({ title, variantOf: title.replace(/: \d$/, ''), steps: [] }))
    const others = [{ title: `MUST ${1}: elsewhere`, file: 'x.test.ts' }]
    const page = pageOf({ rules: [rule], topics: { topic: 'Beside' }, suites: [['suite', cases]], others })
    expect(page.slice(page.indexOf('## Part'))).toBe(`## Part

### Rule 1

**MUST** Do \`this\`.
**SHOULD** Do that.
([part](https://tus.io/protocols/resumable-upload#part))

- MUST: one of \\<many\\> (2)
- SHOULD: both
- MUST: elsewhere (\`x.test.ts\`)

## Beside

- MAY: beside it
`)
  })
})

describe('npm run conformance', () => {
  let copy: string

  beforeAll(() => {
    copy = mkdtempSync(join(tmpdir(), 'resumable-upload-conformance-'))
    for (const path of ['package.json', 'scripts', 'src', '__tests__', 'docs']) {
      cpSync(join(ROOT, path), join(copy, path), { recursive: true })
    }
  })

  afterAll(() => {
    rmSync(copy, { recursive: true, force: true })
  })

  function run(...args: string[]): { status: number | null; stderr: string } {
    const tsx = require.resolve('tsx/cli')
    return spawnSync(process.execPath, [tsx, 'scripts/conformance.ts', ...args], { cwd: copy, encoding: 'utf8' })
  }

  test('has nothing to say of the page that is there', () => {
    expect(run('--check')).toMatchObject({ status: 0 })
  })

  test('fails where the page is stale, and mends it', () => {
    const page = join(copy, 'docs/conformance.md')
    const before = readFileSync(page, 'utf8')
    writeFileSync(page, before.replace('## Termination', '## Extermination'))
    expect(run('--check')).toMatchObject({ status: 1, stderr: expect.stringContaining('stale') })
    expect(run()).toMatchObject({ status: 0 })
    expect(readFileSync(page, 'utf8')).toBe(before)
  })

  test('fails where a rule has no test, whatever the page says', () => {
    const suites = join(copy, '__tests__/protocol/suites.ts')
    writeFileSync(suites, readFileSync(suites, 'utf8').replace("  ['checksum-trailer', checksumTrailer],\n", ''))
    expect(run()).toMatchObject({ status: 1, stderr: expect.stringContaining('rule 21 has no MUST test') })
    expect(run('--check')).toMatchObject({ status: 1, stderr: expect.stringContaining('rule 21 has no MUST test') })
  })
})
