// The protocol, asked of the core: no framework, no socket.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryStorage, SQLiteStorage } from '../../src/index.js'
import type { Case } from './case.js'
import { type BodyForm, chunksOf, coreSubject, type OpenStorage, type Running, start } from './core-subject.js'
import { runCase } from './run-case.js'
import { SUITES } from './suites.js'

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'resumable-upload-protocol-'))
})

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

let directories = 0
const STORAGES: ReadonlyArray<readonly [string, OpenStorage]> = [
  ['MemoryStorage', (options) => new MemoryStorage(options)],
  ['SQLiteStorage', (options) => new SQLiteStorage({ directory: join(folder, String(directories++)), ...options })],
]

const BODIES: ReadonlyArray<readonly [string, BodyForm]> = [
  ['bytes', (bytes) => bytes],
  ['chunks', (bytes) => chunksOf(bytes)],
]

async function runAgainstCore(testCase: Case, running: Running, formOf: BodyForm): Promise<void> {
  await runCase(testCase, coreSubject(running, formOf))
  expect(running.reported).toEqual([])
}

describe.each(STORAGES)('%s', (_storage, open) => {
  // One server for all that ask for nothing special: uploads of different tests don't meet.
  let shared: Running
  beforeAll(() => {
    shared = start(open, {})
  })
  afterAll(() => shared.tus.close())

  describe.each(BODIES)('with bodies as %s', (_body, formOf) => {
    describe.each(SUITES)('%s', (_suite, cases) => {
      test.each(cases)('$title', async (testCase) => {
        if (testCase.options === undefined && testCase.clock === undefined) {
          await runAgainstCore(testCase, shared, formOf)
          return
        }
        const own = start(open, testCase)
        try {
          await runAgainstCore(testCase, own, formOf)
        } finally {
          await own.tus.close()
        }
      })
    })
  })
})
