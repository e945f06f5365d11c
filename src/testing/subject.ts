// What the tests of the contract share: the storage under test, its clock, and short ways to use them.

import assert from 'node:assert/strict'
import type { Awaitable, ClaimRequest, Commit, CommitResult, Stage, Storage } from '../storage/storage.js'
import type { NewUpload, Upload } from '../upload.js'

/** A capability of a storage: the name of an optional method. */
export type Capability = (typeof CAPABILITIES)[number]

/** All capabilities. */
export const CAPABILITIES = [
  'claim',
  'renew',
  'release',
  'read',
  'tombstone',
  'expired',
  'lease',
  'vacuum',
  'assemble',
  'flatten',
  'waitingFinals',
  'readyFinals',
  'dueCompletions',
  'takeCompletion',
  'renewCompletion',
  'settleCompletion',
  'unpublished',
  'publish',
  'list',
] as const satisfies readonly (keyof Storage)[]

/** The functions that tests are declared with; those of Jest, Mocha, Vitest and `node:test` all do. */
export interface TestApi {
  describe(name: string, body: () => void): unknown
  it(name: string, body: () => Promise<void>): unknown
}

/** The time that a storage goes by. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Lets time go on. */
  advance(ms: number): Awaitable<void>
}

/** A clock that stands still unless it is advanced. */
export function manualClock(): Clock {
  let time = Date.now()
  return {
    now: () => time,
    advance: (ms) => {
      time += ms
    },
  }
}

/** Declares one test, with a storage of its own. */
export type DeclareTest = (title: string, body: (subject: Subject) => Promise<void>) => void

/** What a group of tests is declared with. */
export interface Suite {
  readonly test: DeclareTest
  /** Whether the storage has all of these capabilities. */
  has(...capabilities: readonly Capability[]): boolean
  /** The size of the body that stands for large ones, in bytes. */
  readonly largeBytes: number
}

// Under Jest, globals are slow to reach.
const { imul } = Math

let lastId = 0

/** A storage under test. */
export class Subject {
  readonly storage: Storage
  readonly clock: Clock
  /** How long claims last, in milliseconds. */
  readonly leaseMs: number
  /** A commit in the middle of an upload covers a multiple of so many bytes. */
  readonly unit: number
  #fences = 0

  constructor(storage: Storage, { clock, leaseMs }: { clock: Clock; leaseMs: number }) {
    this.storage = storage
    this.clock = clock
    this.leaseMs = leaseMs
    this.unit = storage.segments?.minBytes ?? 1000
  }

  /** Creates an upload. */
  async create(upload: Partial<NewUpload> = {}): Promise<NewUpload> {
    const created = newUpload(this.clock.now(), upload)
    assert.equal(await this.storage.create(created), 'created')
    return created
  }

  /** Claims an upload that is free. */
  async claim(
    id: string,
    owner = 'A',
    request: Partial<ClaimRequest> = {},
  ): Promise<{ upload: Upload; fence: number }> {
    const { storage, leaseMs: ttlMs } = this
    if (storage.claim === undefined) return { upload: await this.get(id), fence: ++this.#fences }
    const result = await storage.claim(id, { owner, ttlMs, ...request })
    if (result === undefined || !('fence' in result)) assert.fail(`${owner} got no claim: ${JSON.stringify(result)}`)
    return result
  }

  /** Gives a claim back, or lets it run out where the storage can't. */
  async release(id: string, fence: number): Promise<void> {
    if (this.storage.release) await this.storage.release(id, fence)
    else if (this.storage.claim) await this.expire()
  }

  /** Lets all claims run out. */
  async expire(): Promise<void> {
    await this.clock.advance(this.leaseMs + 1)
  }

  /** Claims an upload and opens a stage where it ends. */
  async open(id: string, owner = 'A', request: Partial<ClaimRequest> = {}): Promise<OpenStage> {
    const { upload, fence } = await this.claim(id, owner, request)
    return new OpenStage(await this.storage.openStage(id, fence, upload.offset), fence, upload.offset)
  }

  /** Appends bytes in one go: claim, stage, commit, release. */
  async append(id: string, bytes: Uint8Array, commit: Partial<Commit> = {}): Promise<void> {
    const stage = await this.open(id)
    await stage.write(bytes)
    assert.equal(await stage.commit(commit), 'ok')
    await stage.close()
    await this.release(id, stage.fence)
  }

  /** Reads an upload that exists. */
  async get(id: string): Promise<Upload> {
    const upload = await this.storage.get(id)
    assert.ok(upload, `there is no upload ${id}`)
    return upload
  }

  /** Reads bytes, all that are committed if not told otherwise. */
  async read(id: string, start = 0, end = Number.MAX_SAFE_INTEGER): Promise<Buffer> {
    const { offset } = await this.get(id)
    const chunks: Uint8Array[] = []
    for await (const chunk of this.storage.read?.(id, start, Math.min(end, offset)) ?? []) {
      chunks.push(Uint8Array.from(chunk))
    }
    return Buffer.concat(chunks)
  }

  /** Asserts which bytes are committed, as far as the storage lets them be read. */
  async assertBytes(id: string, ...expected: readonly Uint8Array[]): Promise<void> {
    const whole = Buffer.concat(expected)
    assert.equal((await this.get(id)).offset, whole.length)
    if (this.storage.read) assertSameBytes(await this.read(id), whole)
  }
}

/** A stage that knows where it is. */
export class OpenStage {
  readonly stage: Stage
  readonly fence: number
  /** Up to which offset bytes are staged. */
  position: number
  #committed: number

  constructor(stage: Stage, fence: number, from: number) {
    this.stage = stage
    this.fence = fence
    this.position = from
    this.#committed = from
  }

  async write(...chunks: readonly Uint8Array[]): Promise<void> {
    await this.stage.write(chunks)
    for (const chunk of chunks) this.position += chunk.length
  }

  /** Commits all that is staged, unless told otherwise. */
  async commit(commit: Partial<Commit> = {}): Promise<CommitResult> {
    const to = commit.to ?? this.position
    const result = await this.stage.commit({ durable: false, ...commit, to })
    if (result !== 'ok') return result
    this.#committed = to
    this.position = to
    return result
  }

  async discard(): Promise<void> {
    await this.stage.discard()
    this.position = this.#committed
  }

  async close(): Promise<void> {
    await this.stage.close()
  }
}

/** An upload that does not exist yet. */
export function newUpload(nowMs: number, upload: Partial<NewUpload> = {}): NewUpload {
  const id = `upload-${++lastId}`
  return {
    id,
    name: upload.id ?? id,
    length: undefined,
    metadata: undefined,
    attributes: undefined,
    createdAtMs: nowMs,
    ...upload,
  }
}

/** Bytes that are like no others: every position of every `seed` differs from its neighbours. */
export function bytes(size: number, seed = 1): Buffer {
  const result = Buffer.allocUnsafe(size)
  let state = (seed * 0x9e3779b1) >>> 0
  for (let index = 0; index < size; index++) {
    if ((index & 3) === 0) state = (imul(state, 1664525) + 1013904223) >>> 0
    result[index] = state >>> ((index & 3) * 8)
  }
  return result
}

/** Asserts that bytes are equal, without printing megabytes where they are not. */
export function assertSameBytes(actual: Buffer, expected: Buffer): void {
  if (actual.equals(expected)) return
  const length = Math.min(actual.length, expected.length)
  let position = 0
  while (position < length && actual[position] === expected[position]) position++
  assert.fail(`bytes differ from ${position} on: there are ${actual.length}, expected are ${expected.length}`)
}

/** The fields of the contract; a storage may keep more in its records. */
export function recordOf(upload: Upload | undefined): Upload | undefined {
  if (upload === undefined) return undefined
  const { id, name, length, offset, metadata, attributes, createdAtMs, activeAtMs, complete, holder } = upload
  return { id, name, length, offset, metadata, attributes, createdAtMs, activeAtMs, complete, holder }
}
