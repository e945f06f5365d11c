// Writes docs/conformance.md; with --check only says whether it is stale. Fails where a rule has no test.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RULES, TOPICS } from '../__tests__/protocol/rules.js'
import { SUITES } from '../__tests__/protocol/suites.js'
import { type Conformance, pageOf, problemsOf } from './conformance-page.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PAGE = join(ROOT, 'docs/conformance.md')

/** Titles in the other test files that begin as those of cases do. */
function otherTests(): Conformance['others'] {
  const files = readdirSync(join(ROOT, '__tests__'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .sort()
  return files.flatMap((file) => {
    const source = readFileSync(join(ROOT, '__tests__', file), 'utf8')
    return [
      ...source.matchAll(/\b(?:test|it)\(\s*(['"`])((?:MUST|SHOULD|MAY) [0-9]+(?:, [0-9]+)*: (?:(?!\1).)*)\1/g),
    ].map(([, , title = '']) => ({ title, file: `__tests__/${file}` }))
  })
}

const conformance: Conformance = { rules: RULES, topics: TOPICS, suites: SUITES, others: otherTests() }
const problems = [...problemsOf(conformance)]
const page = pageOf(conformance)
if (!process.argv.includes('--check')) writeFileSync(PAGE, page)
else if (readFileSync(PAGE, 'utf8') !== page) problems.push('docs/conformance.md is stale: npm run conformance')
for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0
