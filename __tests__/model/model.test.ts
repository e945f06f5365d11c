// The protocol against a plain model of it: random requests, one after the other and several at the same time. The
// answers and the bytes that are stored must always be those of the model. A failure prints its seed.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { MemoryStorage, SQLiteStorage, type Storage } from '../../src/index.js'
import { runs } from '../support/runs.js'
import { plans } from './calls.js'
import type { Limits } from './protocol-model.js'
import { runRounds, slow, startSubject } from './run-calls.js'

const rounds = fc.array(plans, { minLength: 1, maxLength: 20, size: 'max' })
const LIMITS: ReadonlyArray<readonly [string, Limits]> = [
  ['bodies committed as a whole', { maxSize: 30, segments: false }],
  ['bodies committed in segments', { maxSize: 30, segments: true }],
]

async function withServer(
  storage: Storage,
  limits: Limits,
  run: (subject: ReturnType<typeof startSubject>) => unknown,
) {
  const subject = startSubject(storage, limits)
  try {
    await run(subject)
  } finally {
    await subject.tus.close({ timeoutMs: 0 })
  }
}

// Many runs of many requests: how long they take is no question here.
jest.setTimeout(120_000)

/** The same runs each time, unless a number of them is asked for: then others. */
function seeded(byDefault: number): { numRuns: number; seed?: number } {
  return process.env.FAST_CHECK_RUNS ? runs(byDefault) : { ...runs(byDefault), seed: 42 }
}

describe.each(LIMITS)('%s', (_name, limits) => {
  test('MemoryStorage', () =>
    fc.assert(
      fc.asyncProperty(rounds, (all) => withServer(new MemoryStorage(), limits, (subject) => runRounds(subject, all))),
      seeded(60),
    ))

  test('a storage that takes its time', () => {
    const pauses = fc.array(fc.integer({ min: 0, max: 22 }), { minLength: 1, maxLength: 6 })
    return fc.assert(
      fc.asyncProperty(rounds, pauses, (all, each) =>
        withServer(slow(new MemoryStorage(), each), limits, (subject) => runRounds(subject, all)),
      ),
      seeded(40),
    )
  })

  test('SQLiteStorage', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'resumable-upload-model-'))
    try {
      // One for all, since uploads of different runs don't meet.
      await withServer(new SQLiteStorage({ directory }), limits, (subject) =>
        fc.assert(
          fc.asyncProperty(rounds, (all) => runRounds(subject, all)),
          seeded(25),
        ),
      )
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })
})
