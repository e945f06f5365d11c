// The contract of a storage as tests, for whoever writes one.

import assert from 'node:assert/strict'
import { type Checks, callback, checkOptions, integer, milliseconds, objectWith } from '../check-options.js'
import type { Awaitable, Storage } from '../storage/storage.js'
import { testBytes } from './byte-tests.js'
import { testClaims } from './claim-tests.js'
import { testCompletions } from './completion-tests.js'
import { testConcatenation } from './concat-tests.js'
import { testExpiry } from './expiry-tests.js'
import { testLists } from './list-tests.js'
import { testAgainstModel } from './model-tests.js'
import { testRecords } from './record-tests.js'
import { testStages } from './stage-tests.js'
import {
  CAPABILITIES,
  type Capability,
  type Clock,
  type DeclareTest,
  manualClock,
  Subject,
  type Suite,
  type TestApi,
} from './subject.js'
import { testTakeovers } from './takeover-tests.js'

const LEASE_MS = 60_000
const LARGE_BYTES = 64 * 1024 * 1024

/** Makes a storage that has no uploads. Called for each test, with the time that leases are to go by. */
export type CreateStorage = (context: { readonly now: () => number }) => Awaitable<Storage>

/** Options of {@link storageContract}. */
export interface StorageContractOptions {
  /** @default the global one */
  readonly describe?: TestApi['describe'] | undefined
  /** @default the global one */
  readonly it?: TestApi['it'] | undefined
  /**
   * What the storage can do; the tests of what it can't do are left out.
   * @default what a storage can that `createStorage` makes on the spot; needed if `createStorage` returns a promise
   */
  readonly capabilities?: readonly Capability[] | undefined
  /**
   * The time that the storage goes by. One that has a clock of its own, which can't be set, needs one whose `advance`
   * really waits, and a short `leaseMs`.
   * @default a clock that only the tests advance; `createStorage` gets its `now`
   */
  readonly clock?: Clock | undefined
  /**
   * How long claims last in the tests, in milliseconds.
   * @default 60000
   */
  readonly leaseMs?: number | undefined
  /**
   * The size of the large body, in bytes.
   * @default 67108864
   */
  readonly largeBytes?: number | undefined
}

const CHECKS: Checks<StorageContractOptions> = {
  capabilities: areCapabilities,
  clock: objectWith('a clock', 'now', 'advance'),
  leaseMs: milliseconds(1),
  largeBytes: integer(1),
  describe: callback,
  it: callback,
}

function areCapabilities(value: unknown): string | undefined {
  const known: readonly string[] = CAPABILITIES
  return Array.isArray(value) && value.every((name) => known.includes(name))
    ? undefined
    : `a list of ${known.join(', ')}`
}

/**
 * Declares tests for every rule that a storage must keep.
 *
 * ```ts
 * storageContract('MyStorage', ({ now }) => new MyStorage({ now }))
 * ```
 *
 * They run under Jest, Mocha and Vitest with their global `describe` and `it`, and under `node:test` (or anything
 * else) with `{ describe, it }` in the options. Each test closes its storage.
 * @param name - what the storage is called
 * @param createStorage - makes an empty storage
 * @param options - how to test it
 * @throws TypeError if there are no `describe` and `it`, the capabilities are unknown, or an option is
 */
export function storageContract(
  name: string,
  createStorage: CreateStorage,
  options: StorageContractOptions = {},
): void {
  checkOptions('storageContract', options, CHECKS)
  const { clock = manualClock(), leaseMs = LEASE_MS, largeBytes = LARGE_BYTES } = options
  const { describe, it } = testApi(options)
  const context = { now: () => clock.now() }
  const capabilities = options.capabilities ?? capabilitiesOf(createStorage(context))

  const test: DeclareTest = (title, body) => {
    it(title, async () => {
      const storage = await createStorage(context)
      try {
        await body(new Subject(storage, { clock, leaseMs }))
      } finally {
        await storage.close()
      }
    })
  }
  const suite: Suite = { test, largeBytes, has: (...wanted) => wanted.every((one) => capabilities.includes(one)) }

  describe(`${name}: the contract of a storage`, () => {
    describe('capabilities', () => testCapabilities(suite, capabilities))
    describe('records', () => testRecords(suite))
    describe('claims', () => testClaims(suite))
    describe('stages', () => testStages(suite))
    describe('takeovers', () => testTakeovers(suite))
    describe('bytes', () => testBytes(suite))
    describe('expiry', () => testExpiry(suite))
    describe('lists', () => testLists(suite))
    describe('completions', () => testCompletions(suite))
    describe('concatenation', () => testConcatenation(suite))
    describe('random operations', () => testAgainstModel(suite))
  })
}

function testCapabilities({ test }: Suite, capabilities: readonly Capability[]): void {
  test(`it can ${capabilities.join(', ') || 'do nothing optional'}`, async ({ storage }) => {
    assert.deepEqual(
      present(storage),
      CAPABILITIES.filter((capability) => capabilities.includes(capability)),
    )
  })

  test('what it says of free space is a number of bytes', async ({ storage }) => {
    if (storage.freeBytes !== undefined) assert.ok(Number.isSafeInteger(await storage.freeBytes()))
  })

  test('its restrictions are possible ones', async ({ storage: { segments, meetingPoint } }) => {
    if (segments !== undefined) assert.ok(segments.minBytes >= 1 && segments.maxPieces >= 1)
    if (meetingPoint !== undefined) assert.notEqual(meetingPoint, '')
  })
}

function testApi({ describe, it }: StorageContractOptions): TestApi {
  const globals = globalThis as Partial<TestApi>
  const api = { describe: describe ?? globals.describe, it: it ?? globals.it }
  if (api.describe === undefined || api.it === undefined) {
    throw new TypeError(
      "storageContract: no global describe and it; pass them: import { describe, it } from 'node:test'",
    )
  }
  return api as TestApi
}

function capabilitiesOf(storage: Awaitable<Storage>): readonly Capability[] {
  if ('then' in storage) {
    throw new TypeError('storageContract: createStorage returns a promise, so the option capabilities is needed')
  }
  const found = present(storage)
  Promise.resolve(storage.close()).catch(() => {})
  return found
}

function present(storage: Storage): Capability[] {
  return CAPABILITIES.filter((capability) => storage[capability] !== undefined)
}
