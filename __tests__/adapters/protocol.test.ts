// The protocol tests again, over real sockets, through every host.

import { MemoryStorage } from '../../src/index.js'
import type { Case } from '../protocol/case.js'
import { runCase } from '../protocol/run-case.js'
import { SUITES } from '../protocol/suites.js'
import { HOSTS, type Host, start } from './hosts.js'
import { socketSubject } from './protocol-subject.js'

async function replay(host: Host, testCase: Case): Promise<void> {
  const clock = testCase.clock === undefined ? undefined : { ms: testCase.clock }
  const now = clock && (() => clock.ms)
  const time = now && { now, storage: new MemoryStorage({ now }) }
  const app = await start(host, { tus: { ...testCase.options, ...time } })
  await runCase(testCase, socketSubject(app, clock))
  expect(app.errors).toEqual([])
  // Express hands over a request to the collection as it does one whose id a pattern of the mount has taken.
  expect(app.warnings.filter((warning) => !String(warning).includes('has no id below the mount'))).toEqual([])
}

describe.each(HOSTS)('$name', (host) => {
  describe.each(SUITES)('%s', (_suite, cases) => {
    test.each(cases)('$title', (testCase) => replay(host, testCase))
  })
})
