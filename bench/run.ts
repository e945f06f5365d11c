// npm run bench [-- NAME… --quick --rounds N --servers A,B --save --list]: measures, prints tables, keeps the numbers.

import { parseArgs } from 'node:util'
import { writeDocument } from './report/document.js'
import { describeMachine } from './report/machine.js'
import { keptResults, writeResult } from './report/results.js'
import { tableOf } from './report/table.js'
import { SCENARIOS } from './scenarios/index.js'
import { settingsFor } from './settings.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    servers: { type: 'string' },
    save: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  },
})

const unknown = positionals.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name))
if (values.list || unknown.length > 0) {
  if (unknown.length > 0) console.error(`There is no ${unknown.join(', ')}. Choose of:\n`)
  for (const { name, title } of SCENARIOS) console.log(`${name.padEnd(12)} ${title}`)
  process.exit(unknown.length > 0 ? 1 : 0)
}

const basic = settingsFor(values.quick, values.servers?.split(','))
const settings = { ...basic, rounds: Number(values.rounds ?? basic.rounds) }
const machine = describeMachine(settings)
console.log(`${machine}\n`)

const scenarios = SCENARIOS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
for (const { name, title, run } of scenarios) {
  console.log(`## ${title}\n`)
  const outcome = await run(settings)
  console.log(tableOf(outcome))
  writeResult({ name, title, machine, outcome }, { save: values.save })
}
if (values.save) writeDocument(keptResults())
