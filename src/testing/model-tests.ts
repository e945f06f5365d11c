// Random sequences of operations, checked against a model of a few lines.

import assert from 'node:assert/strict'
import type { Stage } from '../storage/storage.js'
import { assertSameBytes, bytes, newUpload, type Subject, type Suite } from './subject.js'

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8]
const STEPS = 150
const IDS = ['one', 'two', 'three']

interface ModelUpload {
  readonly created: number
  length: number | undefined
  committed: Buffer
  complete: boolean
  fence: number
  holder: { owner: string; untilMs: number } | undefined
}

interface ModelStage {
  readonly id: string
  readonly owner: string
  readonly fence: number
  readonly stage: Stage
  /** Which of the uploads that had this id it was opened for. */
  readonly created: number
  from: number
  staged: Buffer
}

/** Declares the random tests. */
export function testAgainstModel({ test, has }: Suite): void {
  if (!has('claim', 'renew', 'release', 'read')) return
  for (const seed of SEEDS) {
    test(`${STEPS} random operations lead where the model says (seed ${seed})`, async (subject) => {
      const run = new Run(subject, randomNumbers(seed))
      try {
        for (let step = 0; step < STEPS; step++) await run.step()
        await run.checkAll()
        await run.closeAll()
      } catch (error) {
        throw new Error(`after: ${run.log.join(' ')}`, { cause: error })
      }
    })
  }
}

class Run {
  readonly log: string[] = []
  readonly #subject: Subject
  readonly #random: (below: number) => number
  readonly #uploads = new Map<string, ModelUpload>()
  readonly #owners = ['A', 'B', 'C']
  #stages: ModelStage[] = []
  #writes = 0
  #creations = 0

  constructor(subject: Subject, random: (below: number) => number) {
    this.#subject = subject
    this.#random = random
  }

  async step(): Promise<void> {
    const operations = [
      this.#create,
      this.#claimAndOpen,
      this.#claimAndOpen,
      this.#write,
      this.#write,
      this.#write,
      this.#commit,
      this.#commit,
      this.#discard,
      this.#close,
      this.#renew,
      this.#pass,
      this.#die,
      this.#remove,
      this.#vacuum,
    ]
    await (operations[this.#random(operations.length)] as () => Promise<void>).call(this)
  }

  async checkAll(): Promise<void> {
    for (const id of IDS) await this.#check(id)
  }

  async closeAll(): Promise<void> {
    for (const { stage } of this.#stages) await stage.close()
  }

  async #create(): Promise<void> {
    const id = this.#anyId()
    const length = this.#random(3) === 0 ? undefined : this.#subject.unit * (1 + this.#random(4))
    this.log.push(`create(${id}, ${length})`)
    const result = await this.#subject.storage.create(newUpload(this.#now, { id, length }))
    assert.equal(result, this.#uploads.has(id) ? 'exists' : 'created')
    if (result === 'exists') return
    this.#uploads.set(id, {
      created: ++this.#creations,
      length,
      committed: Buffer.alloc(0),
      complete: false,
      fence: 0,
      holder: undefined,
    })
  }

  async #claimAndOpen(): Promise<void> {
    const { storage, leaseMs } = this.#subject
    const [id, owner] = [this.#anyId(), this.#anyOwner()]
    this.log.push(`claim(${id}, ${owner})`)
    const upload = this.#uploads.get(id)
    const result = await storage.claim?.(id, { owner, ttlMs: leaseMs })
    if (upload === undefined) return assert.equal(result, undefined)
    assert.ok(result)
    if (upload.holder !== undefined && upload.holder.untilMs > this.#now) {
      assert.ok('heldBy' in result, `${upload.holder.owner} should still hold it`)
      assert.equal(result.heldBy.owner, upload.holder.owner)
      return
    }
    assert.ok('fence' in result, 'it should be free')
    assert.ok(result.fence > upload.fence)
    assert.equal(result.upload.offset, upload.committed.length)
    upload.fence = result.fence
    upload.holder = { owner, untilMs: this.#now + leaseMs }
    const from = upload.committed.length
    const stage = await storage.openStage(id, result.fence, from)
    const { created } = upload
    this.#stages.push({ id, owner, fence: result.fence, stage, created, from, staged: Buffer.alloc(0) })
  }

  async #write(): Promise<void> {
    const stage = this.#anyStage()
    if (stage === undefined) return
    const size = this.#random(4) === 0 ? 0 : this.#subject.unit * (1 + this.#random(2))
    const content = bytes(size, ++this.#writes)
    this.log.push(`write(${stage.id}, ${stage.fence}, ${size})`)
    const cut = this.#random(size + 1)
    await stage.stage.write([content.subarray(0, cut), content.subarray(cut)])
    stage.staged = Buffer.concat([stage.staged, content])
  }

  async #commit(): Promise<void> {
    const stage = this.#anyStage()
    if (stage === undefined) return
    const upload = this.#uploads.get(stage.id)
    // A length that the client tells late is the one that the upload has by then; nothing is committed beyond one.
    const length = upload?.length ?? (this.#random(3) === 0 ? stage.from + stage.staged.length : undefined)
    const to = Math.min(stage.from + stage.staged.length, length ?? Number.MAX_SAFE_INTEGER)
    if (to < stage.from) return
    const complete = length !== undefined && to === length
    const release = this.#random(4) === 0
    const durable = this.#random(4) === 0
    this.log.push(
      `commit(${stage.id}, ${stage.fence}, ${to}${complete ? ', complete' : ''}${release ? ', release' : ''})`,
    )
    const result = await stage.stage.commit({ to, length, complete, durable, release })
    const expected = this.#expectedResult(stage)
    assert.ok(expected.includes(result), `${result} instead of ${expected.join(' or ')}`)
    if (result !== 'ok' || upload === undefined) return this.#closeStage(stage)
    upload.committed = Buffer.concat([upload.committed, stage.staged.subarray(0, to - stage.from)])
    upload.length = length
    upload.complete = complete
    if (release) upload.holder = undefined
    stage.from = to
    stage.staged = Buffer.alloc(0)
    if (release || complete) await this.#closeStage(stage)
    await this.#check(stage.id)
  }

  #expectedResult({ id, created, fence, from }: ModelStage): readonly string[] {
    const upload = this.#uploads.get(id)
    if (upload === undefined) return ['gone']
    if (upload.created !== created) return ['gone', 'fenced']
    if (upload.fence !== fence || upload.holder === undefined) return ['fenced']
    return upload.committed.length !== from || upload.complete ? ['moved'] : ['ok']
  }

  async #discard(): Promise<void> {
    const stage = this.#anyStage()
    if (stage === undefined) return
    this.log.push(`discard(${stage.id}, ${stage.fence})`)
    await stage.stage.discard()
    stage.staged = Buffer.alloc(0)
  }

  /** Closes a stage and gives its claim back, as a holder does. */
  async #close(): Promise<void> {
    const stage = this.#anyStage()
    if (stage === undefined) return
    this.log.push(`close(${stage.id}, ${stage.fence})`)
    await this.#closeStage(stage)
    await this.#subject.storage.release?.(stage.id, stage.fence)
    const upload = this.#uploads.get(stage.id)
    if (upload?.fence === stage.fence) upload.holder = undefined
    await this.#check(stage.id)
  }

  async #renew(): Promise<void> {
    const stage = this.#anyStage()
    if (stage === undefined) return
    this.log.push(`renew(${stage.id}, ${stage.fence})`)
    const { storage, leaseMs } = this.#subject
    const upload = this.#uploads.get(stage.id)
    const held = upload?.fence === stage.fence ? upload.holder : undefined
    assert.equal(await storage.renew?.(stage.id, stage.fence, leaseMs), held !== undefined)
    if (held !== undefined) held.untilMs = this.#now + leaseMs
  }

  async #pass(): Promise<void> {
    this.log.push('pass')
    await this.#subject.clock.advance(this.#subject.leaseMs / 2 + 1)
  }

  /** A holder dies: it never writes again, and somebody who knows of it goes on. */
  async #die(): Promise<void> {
    const { storage, leaseMs } = this.#subject
    const id = this.#anyId()
    const upload = this.#uploads.get(id)
    const dead = upload?.holder?.owner
    if (upload === undefined || dead === undefined) return
    const index = this.#owners.indexOf(dead)
    const heir = `${dead}'`
    this.log.push(`die(${dead}), claim(${id}, ${heir})`)
    for (const stage of this.#stages.filter(({ owner }) => owner === dead)) await this.#closeStage(stage)
    if (index !== -1) this.#owners[index] = heir
    const result = await storage.claim?.(id, { owner: heir, ttlMs: leaseMs, dead })
    assert.ok(result && 'fence' in result)
    upload.fence = result.fence
    await storage.release?.(id, result.fence)
    upload.holder = undefined
  }

  async #remove(): Promise<void> {
    const stage = this.#anyStage()
    if (stage === undefined || this.#random(3) !== 0) return
    this.log.push(`remove(${stage.id}, ${stage.fence})`)
    await this.#closeStage(stage)
    const upload = this.#uploads.get(stage.id)
    const held = upload !== undefined && upload.fence === stage.fence && upload.holder !== undefined
    const kept = upload === undefined ? 'gone' : 'fenced'
    assert.equal(await this.#subject.storage.remove(stage.id, stage.fence), held ? 'removed' : kept)
    if (held) this.#uploads.delete(stage.id)
    await this.#check(stage.id)
  }

  async #vacuum(): Promise<void> {
    this.log.push('vacuum')
    while ((await this.#subject.storage.vacuum?.(3))?.more);
  }

  async #closeStage(stage: ModelStage): Promise<void> {
    this.#stages = this.#stages.filter((other) => other !== stage)
    await stage.stage.close()
  }

  async #check(id: string): Promise<void> {
    const expected = this.#uploads.get(id)
    const actual = await this.#subject.storage.get(id)
    if (expected === undefined) return assert.equal(actual, undefined)
    assert.ok(actual, `${id} is not there`)
    assert.deepEqual(
      [actual.offset, actual.length, actual.complete, actual.holder?.owner],
      [expected.committed.length, expected.length, expected.complete, expected.holder?.owner],
    )
    assertSameBytes(await this.#subject.read(id), expected.committed)
  }

  get #now(): number {
    return this.#subject.clock.now()
  }

  #anyId(): string {
    return IDS[this.#random(IDS.length)] as string
  }

  #anyOwner(): string {
    return this.#owners[this.#random(this.#owners.length)] as string
  }

  #anyStage(): ModelStage | undefined {
    return this.#stages[this.#random(Math.max(this.#stages.length, 1))]
  }
}

/** The same numbers for the same seed (mulberry32). */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}
