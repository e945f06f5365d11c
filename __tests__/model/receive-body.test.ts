// Bodies at random, several at a time: whatever fails, stops, breaks off or waits, and whenever, what the stage has is right,
// and turns and memory are free again.
import fc from 'fast-check'
import { MemoryBudget, Turns } from '../../src/admission.js'
import type { Claim } from '../../src/claims/held-claim.js'
import { type Intake, type Received, receiveBody } from '../../src/handlers/receive-body.js'
import { Pace } from '../../src/pace.js'
import type { Stage } from '../../src/storage/storage.js'
import { AdapterSource, idle, MIB, pattern, Source } from '../core/support.js'
import { runs } from '../support/runs.js'

jest.setTimeout(60_000)

const DATA = pattern(12 * MIB)
const NEVER = 1e9
const HANG_MS = 10_000

// Numbers between others would nearly all be small.
const size = fc.oneof(fc.integer({ min: 1, max: 3_000 }), fc.constantFrom(16_385, 65_536, 300_001, MIB - 1, MIB))
const plan = fc.record({
  /** Chunks, and how long the client waits before each. */
  chunks: fc.array(fc.record({ size, pause: fc.constantFrom(0, 0, 0, 1, 4), ready: fc.boolean() }), {
    maxLength: 12,
    size: 'max',
  }),
  isAdapter: fc.boolean(),
  /** How many turns of the event loop the stage takes for a write or a commit; 0: it is synchronous. */
  slow: fc.constantFrom(0, 1, 6, 40),
  commits: fc.boolean(),
  failingWrite: fc.option(fc.nat(4), { freq: 3 }),
  failingCommit: fc.option(fc.nat(2), { freq: 3 }),
  /** How many bytes fewer, or more, the body may have than it has. */
  room: fc.constantFrom(0, 100, -1_000),
  stop: fc.option(fc.record({ before: fc.nat(12), keep: fc.boolean() }), { freq: 2 }),
  breaksBefore: fc.option(fc.nat(12), { freq: 2 }),
})
type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never

const limits = fc.record({
  turns: fc.integer({ min: 1, max: 4 }),
  memory: fc.constantFrom(0, 100_000, 3 * MIB, 64 * MIB),
  segmentBytes: fc.constantFrom(MIB / 2, 2 * MIB, 4 * MIB, NEVER),
  segmentMs: fc.constantFrom(10, NEVER),
})

/** A stage that notes what it is given, and whether it is asked for anything that it must not be asked for. */
class WatchedStage {
  readonly written: Uint8Array[] = []
  readonly faults: string[] = []
  size = 0
  committed = 0
  failed = false
  isOver = false
  #isBusy = false
  #writes = 0
  #commits = 0

  constructor(readonly plan: Plan) {}

  get isBusy(): boolean {
    return this.#isBusy
  }

  write(chunks: readonly Uint8Array[]): void | Promise<void> {
    return this.#do('write', () => {
      if (this.#writes++ === this.plan.failingWrite) throw new Error('a write that fails')
      for (const chunk of chunks) this.written.push(chunk)
      for (const chunk of chunks) this.size += chunk.length
    })
  }

  async commit(to: number): Promise<void> {
    if (to !== this.size || to <= this.committed)
      this.faults.push(`commit of ${this.committed} to ${to} of ${this.size}`)
    await this.#do('commit', () => {
      if (this.#commits++ === this.plan.failingCommit) throw new Error('a commit that fails')
      this.committed = to
    })
  }

  #do(what: string, action: () => void): void | Promise<void> {
    if (this.#isBusy) this.faults.push(`${what} beside another`)
    if (this.failed) this.faults.push(`${what} after a failure`)
    if (this.isOver) this.faults.push(`${what} after the end`)
    this.#isBusy = true
    const finish = (): void => {
      this.#isBusy = false
      try {
        action()
      } catch (error) {
        this.failed = true
        throw error
      }
    }
    return this.plan.slow === 0 ? finish() : idle(this.plan.slow).then(finish)
  }
}

/** Has a body received as planned; returns what is wrong with that. */
async function faultsOf(intake: Intake, plan: Plan): Promise<readonly string[]> {
  const { chunks, isAdapter, room, stop, breaksBefore } = plan
  const total = chunks.reduce((sum, chunk) => sum + chunk.size, 0)
  const source = isAdapter ? new AdapterSource() : new Source()
  const stage = new WatchedStage(plan)
  const claim = { position: 0, stopped: false, onStop: undefined } as unknown as Claim & { stopped: boolean }
  const received = receiveBody(intake, {
    body: source,
    stage: stage as unknown as Stage,
    claim,
    limit: Math.max(total + room, 0),
    inspect: undefined,
    commitSegment: plan.commits ? (to) => stage.commit(to) : undefined,
  }).then((result) => {
    stage.isOver = true
    if (stage.isBusy) stage.faults.push('an end beside a write or a commit')
    return result
  })
  let sent = 0
  let broken = false
  for (const [index, { size, pause, ready }] of chunks.entries()) {
    await idle(pause)
    if (index === stop?.before) {
      claim.stopped = true
      claim.onStop?.(stop.keep)
    }
    broken = index === breaksBefore
    if (broken || stage.isOver || (source instanceof AdapterSource && source.stops > 0)) break
    if (source instanceof AdapterSource) source.ready = ready
    source.push(DATA.subarray(sent, sent + size))
    sent += size
  }
  if (broken) source.fail()
  else source.end()
  let timer: NodeJS.Timeout | undefined
  const hang = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), HANG_MS)
  })
  const result = await Promise.race([received, hang])
  clearTimeout(timer)
  return result === undefined ? ['it hangs'] : [...stage.faults, ...faultsOfEnd(result, stage, claim, total)]
}

function faultsOfEnd(
  { ending, staged }: Received,
  stage: WatchedStage,
  claim: Claim,
  total: number,
): readonly string[] {
  const isKnown = ending !== 'too-long'
  return [
    isKnown && staged !== stage.size && `${staged} of ${stage.size} bytes are said to be staged`,
    isKnown &&
      stage.failed !== (ending === 'failed') &&
      `a stage that ${stage.failed ? 'failed' : 'did not fail'}: ${ending}`,
    isKnown && ending !== 'failed' && claim.position !== staged && `${claim.position} received, ${staged} staged`,
    ending === 'complete' && staged !== total && `complete with ${staged} of ${total}`,
    ending === 'stopped' && !claim.stopped && 'stopped by nobody',
    !Buffer.concat(stage.written).equals(DATA.subarray(0, stage.size)) && 'wrong bytes',
  ].filter((fault) => fault !== false)
}

it('is stored as it came, whatever happens on the way', async () => {
  await fc.assert(
    fc.asyncProperty(limits, fc.array(plan, { minLength: 1, maxLength: 6, size: 'max' }), async (limit, plans) => {
      const turns = new Turns(limit.turns)
      const budget = new MemoryBudget(limit.memory)
      const { segmentBytes, segmentMs } = limit
      const pace = new Pace({ stallTimeoutMs: 0, minBytesPerSecond: 1 })
      const intake = { turns, budget, pace, segmentBytes, commitBytes: segmentBytes / 2, segmentMs, now: Date.now }
      const faults = await Promise.all(plans.map((plan) => faultsOf(intake, plan)))
      expect(faults.flat()).toEqual([])
      expect(budget.take(limit.memory)).toBe(true)
      for (let turn = 0; turn < limit.turns; turn++) expect(turns.takeNow()).toBeDefined()
      expect(turns.takeNow()).toBeUndefined()
    }),
    runs(150),
  )
})
