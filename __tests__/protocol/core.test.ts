// The protocol, asked of the core: no framework, no socket.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryStorage, type RequestBody, SQLiteStorage, type Storage, TusServer } from '../../src/index.js'
import type { Case } from './case.js'
import { type Answer, type Filled, runCase } from './run-case.js'
import { SUITES } from './suites.js'

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'resumable-upload-protocol-'))
})

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

let directories = 0
const STORAGES: ReadonlyArray<readonly [string, () => Storage]> = [
  ['MemoryStorage', () => new MemoryStorage()],
  ['SQLiteStorage', () => new SQLiteStorage({ directory: join(folder, String(directories++)) })],
]

/** In which form the core gets the bytes of bodies whose length is known. */
const BODIES: ReadonlyArray<readonly [string, (bytes: Uint8Array) => RequestBody]> = [
  ['bytes', (bytes) => bytes],
  ['chunks', (bytes) => chunksOf(bytes, false)],
]

/** One byte at a time. */
async function* chunksOf(bytes: Uint8Array, cut: boolean): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start++) yield bytes.subarray(start, start + 1)
  if (cut) throw new Error('the connection broke')
}

interface Running {
  readonly tus: TusServer
  readonly storage: Storage
  readonly reported: unknown[]
}

function start(storage: Storage, options: Case['options']): Running {
  const reported: unknown[] = []
  const report = (message: unknown): void => void reported.push(message)
  return { tus: new TusServer({ storage, logger: { warn: report, error: report }, ...options }), storage, reported }
}

async function runAgainstCore(
  testCase: Case,
  { tus, storage, reported }: Running,
  bodyOf: (bytes: Uint8Array) => RequestBody,
): Promise<void> {
  const send = async ({ method, path, headers, body, chunked, cut, contentLength }: Filled): Promise<Answer> => {
    const bytes = body === undefined ? undefined : Buffer.from(body)
    const length = chunked || bytes === undefined ? {} : { 'Content-Length': contentLength ?? String(bytes.length) }
    const form = chunked || cut ? chunksOf : bodyOf
    const input = bytes === undefined ? undefined : form(bytes, cut === true)
    const response = await tus.handleRequest(method, path, { ...headers, ...length }, input)
    const found = Object.entries(response.headers).map(([name, value]) => [name.toLowerCase(), value])
    return { status: response.status, headers: Object.fromEntries(found) }
  }
  const stored = async (id: string): Promise<string> => {
    const upload = await storage.get(id)
    const chunks: Uint8Array[] = []
    for await (const chunk of storage.read?.(id, 0, upload?.offset ?? 0) ?? []) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }
  await runCase(testCase, { send, stored, passesOn: false })
  expect(reported).toEqual([])
}

describe.each(STORAGES)('%s', (_storage, open) => {
  // One server for each set of options; uploads of different tests don't meet.
  const servers = new Map<string, Running>()
  afterAll(() => Promise.all([...servers.values()].map(({ tus }) => tus.close())))

  function serverFor({ options }: Case): Running {
    const key = JSON.stringify(options)
    const server = servers.get(key) ?? start(open(), options)
    servers.set(key, server)
    return server
  }

  describe.each(BODIES)('with bodies as %s', (_body, bodyOf) => {
    describe.each(SUITES)('%s', (_suite, cases) => {
      test.each(cases)('$title', (testCase) => runAgainstCore(testCase, serverFor(testCase), bodyOf))
    })
  })
})

test('every title names its weight and its rule, and none comes twice in a file', () => {
  for (const [name, cases] of SUITES) {
    const titles = cases.map(({ title }) => title)
    expect({
      name,
      odd: titles.filter((title) => !/^(MUST|SHOULD|MAY) ([0-9]+(, [0-9]+)*|CORS): \S/.test(title)),
    }).toEqual({
      name,
      odd: [],
    })
    expect({ name, titles: new Set(titles).size }).toEqual({ name, titles: titles.length })
  }
})
