// Who may read a body, and how much may be held in memory: alone, and under 200 bodies at a time.

import { MemoryBudget, type Turn, Turns } from '../../src/admission.js'
import type { RequestBody } from '../../src/index.js'
import {
  AdapterSource,
  deferred,
  errorWithCode,
  hookedStorage,
  idle,
  MIB,
  Source,
  sizeOf,
  startServer,
  storageWithWrites,
} from './support.js'

afterEach(() => {
  jest.useRealTimers()
})

function now(turn: Turn | Promise<Turn>): Turn {
  if (turn instanceof Promise) throw new Error('there is no turn at the moment')
  return turn
}

describe('turns', () => {
  test('are given at once while there are some', () => {
    const turns = new Turns(2)
    now(turns.take())
    now(turns.take())
    expect(turns.contended).toBe(false)
  })

  test('are given in the order in which they were asked for', async () => {
    const turns = new Turns(1)
    const first = now(turns.take())
    const order: number[] = []
    const waiting = [1, 2, 3].map(async (number) => {
      const turn = await turns.take()
      order.push(number)
      turns.give(turn)
    })
    expect(turns.contended).toBe(true)
    turns.give(first)
    await Promise.all(waiting)
    expect(order).toEqual([1, 2, 3])
    expect(turns.contended).toBe(false)
  })

  test('can be given back twice and count once', () => {
    const turns = new Turns(1)
    const turn = now(turns.take())
    turns.give(turn)
    turns.give(turn)
    now(turns.take())
    expect(turns.take()).toBeInstanceOf(Promise)
  })

  test('are taken from who stalls, and not from who moves', async () => {
    jest.useFakeTimers()
    const turns = new Turns(2)
    const stalls = now(turns.take())
    const moves = now(turns.take())
    const waiting = turns.take()
    for (let tick = 0; tick < 5; tick++) {
      moves.moved = true
      await jest.advanceTimersByTimeAsync(10)
    }
    expect((await waiting).over).toBe(false)
    expect(stalls.over).toBe(true)
    expect(moves.over).toBe(false)
  })

  test('end at once if the client sends nothing while others wait, however often a byte came before', async () => {
    const turns = new Turns(1)
    const trickles = now(turns.take())
    turns.idle(trickles)
    const waiting = turns.take()
    for (let byte = 0; byte < 3; byte++) {
      // It comes in between the two looks of a check.
      await new Promise((resolve) => setImmediate(resolve))
      Object.assign(trickles, { moved: true, idle: false })
      turns.idle(trickles)
      expect(trickles.over).toBe(false)
    }
    await idle(3)
    expect(trickles.over).toBe(true)
    expect((await waiting).over).toBe(false)
  })

  test('are kept by a client that sends nothing while nobody waits', async () => {
    const turns = new Turns(1)
    const alone = now(turns.take())
    turns.idle(alone)
    await idle(5)
    expect(alone.over).toBe(false)
  })

  test('are looked after by a timer only while somebody waits', async () => {
    jest.useFakeTimers()
    const turns = new Turns(1)
    const turn = now(turns.take())
    expect(jest.getTimerCount()).toBe(0)
    const waiting = turns.take()
    expect(jest.getTimerCount()).toBe(1)
    turns.give(turn)
    turns.give(await waiting)
    expect(jest.getTimerCount()).toBe(0)
  })
})

describe('turns that are lent', () => {
  test('are those that nobody needs', () => {
    jest.useFakeTimers()
    const turns = new Turns(2)
    const active = now(turns.take())
    const lent = turns.lend()
    expect(lent).toMatchObject({ over: false, lent: true })
    expect(turns.lend()).toBeUndefined()
    turns.give(active)
    expect(turns.lend()).toMatchObject({ over: false })
    turns.give(active)
    expect(turns.lend()).toBeUndefined()
  })

  test('go to the first who asks for one, and each to one only', () => {
    const turns = new Turns(2)
    const lent = [turns.lend(), turns.lend()]
    expect(now(turns.take()).over).toBe(false)
    expect(lent.map((turn) => turn?.over).sort()).toEqual([false, true])
    now(turns.take())
    expect(lent.map((turn) => turn?.over)).toEqual([true, true])
    expect(turns.take()).toBeInstanceOf(Promise)
    expect(turns.lend()).toBeUndefined()
  })

  test('are lent to others if who has one stalls, and not if it moves', () => {
    jest.useFakeTimers()
    const turns = new Turns(2)
    const stalls = turns.lend() as Turn
    const moves = turns.lend() as Turn
    for (let look = 0; look < 3; look++) {
      jest.advanceTimersByTime(10)
      moves.moved = true
      // Looks that come too soon after one another are none.
      if (look < 1) expect([turns.lend(), turns.lend()]).toEqual([undefined, undefined])
      else if (look === 1) expect(turns.lend()).toMatchObject({ over: false })
    }
    expect(stalls.over).toBe(true)
    expect(moves.over).toBe(false)
    expect(jest.getTimerCount()).toBe(0)
  })
})

test('a memory budget gives what it has, all or nothing', () => {
  const budget = new MemoryBudget(100)
  expect(budget.take(60)).toBe(true)
  expect(budget.take(41)).toBe(false)
  expect(budget.take(40)).toBe(true)
  expect(budget.take(1)).toBe(false)
  budget.give(10)
  expect(budget.take(10)).toBe(true)
})

const CLIENTS = 200
const CHUNK = 64 * 1024

/** Uploads from 200 clients at once, each one MiB in chunks of 64 KiB; returns what was the most at any moment. */
async function uploadFromMany(options: { maxActiveBodies: number; memoryBudget: number }, turnOf: () => Promise<void>) {
  let held = 0
  let mostHeld = 0
  const storage = hookedStorage({
    write: async (chunks, write) => {
      await turnOf()
      await write()
      held -= sizeOf(chunks)
    },
  })
  const { create, patch } = startServer({ storage, ...options })
  let reading = 0
  let mostReading = 0
  async function* body(): AsyncGenerator<Uint8Array> {
    for (let sent = 0; sent < MIB; sent += CHUNK) {
      reading++
      mostReading = Math.max(mostReading, reading)
      // A chunk takes a moment to arrive, in which others can be pulled.
      await new Promise((resolve) => setImmediate(resolve))
      reading--
      held += CHUNK
      mostHeld = Math.max(mostHeld, held)
      yield Buffer.alloc(CHUNK)
    }
  }
  const paths = await Promise.all(Array.from({ length: CLIENTS }, () => create({ 'Upload-Length': String(MIB) })))
  const answers = await Promise.all(paths.map((path) => patch(path, 0, body())))
  expect(answers.every(({ status }) => status === 204)).toBe(true)
  expect(held).toBe(0)
  return { mostHeld, mostReading }
}

test('bodies of which nothing has come are in nobody’s way, and take a turn once there is more to read', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  const { create, patch } = startServer({ maxActiveBodies: 1 })
  const begin = async (body: AdapterSource) => patch(await create({ 'Upload-Length': '5' }), 0, body)
  const stalled = Array.from({ length: 50 }, () => new AdapterSource())
  const answers = stalled.map((body) => {
    body.ready = false
    return begin(body)
  })
  await idle()
  // No time goes by, so none of them could lose a turn.
  expect((await begin(new AdapterSource().push('hello').end())).status).toBe(204)
  const busy = new AdapterSource()
  const held = begin(busy)
  await busy.hungry()
  for (const [index, body] of stalled.entries()) {
    // Half of them trickle on; of the other half more has come, for which they need a turn.
    body.ready = index % 2 === 0
    body.push('hel')
  }
  await idle()
  expect(stalled.map(({ pulls }) => pulls)).toEqual(stalled.map(({ ready }) => (ready ? 1 : 2)))
  busy.push('hello').end()
  expect((await held).status).toBe(204)
  for (const body of stalled) body.push('lo').end()
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(50).fill(204))
})

describe.each([
  ['plain iterables', () => new Source()],
  // What there is of it can be read at first, and nothing from then on.
  [
    'an adapter\u2019s bodies',
    () =>
      Object.defineProperty(new AdapterSource(), 'ready', {
        get() {
          return this.pulls === 0
        },
      }),
  ],
])('as %s,', (_kind, makeBody) => {
  test('bodies that trickle keep no turn from one that has bytes', async () => {
    // No time goes by, so none of them loses a turn by a timer.
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
    const { create, patch } = startServer({ maxActiveBodies: 2 })
    const begin = async (body: RequestBody, length: number) =>
      patch(await create({ 'Upload-Length': String(length) }), 0, body)
    const trickling = Array.from({ length: 12 }, () => makeBody().push(Buffer.alloc(CHUNK)))
    const answers = trickling.map((body) => begin(body, MIB))
    for (const body of trickling) await body.hungry()
    let over = false
    const other = begin(new AdapterSource().push(Buffer.alloc(4 * MIB), Buffer.alloc(4 * MIB)).end(), 8 * MIB)
    void other.finally(() => {
      over = true
    })
    for (let round = 0; round < 200 && !over; round++) {
      trickling[round % 12]?.push('x')
      await idle(1)
    }
    expect(over).toBe(true)
    for (const body of trickling) body.end()
    expect(await other).toMatchObject({ status: 204 })
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(12).fill(204))
  })
})

describe('a body that brings much, and is read as fast as it comes', () => {
  async function writesOf(maxActiveBodies: number, others: number, ready = false) {
    const { storage, writes } = storageWithWrites()
    const { create, patch } = startServer({ storage, maxActiveBodies })
    const begin = async (body: AdapterSource) => patch(await create({ 'Upload-Length': String(2 * MIB) }), 0, body)
    const busy = Array.from({ length: others }, () => new AdapterSource())
    const held = busy.map(begin)
    for (const body of busy) await body.hungry()
    const body = new AdapterSource()
    body.ready = false
    const answer = begin(body)
    for (let sent = 0; sent < 2 * MIB; sent += CHUNK) {
      await body.hungry()
      body.ready = ready
      body.push(Buffer.alloc(CHUNK))
      await idle(2)
    }
    body.end()
    expect((await answer).status).toBe(204)
    const written = [...writes]
    for (const other of busy) other.push(Buffer.alloc(2 * MIB)).end()
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual(held.map(() => 204))
    return written
  }

  test('is gathered while there is a turn to be had', async () => {
    expect(await writesOf(2, 1)).toEqual([MIB, MIB])
    // Nor is anything written beforehand where it takes one of its own.
    expect(await writesOf(2, 1, true)).toEqual([MIB, MIB])
  })

  test('is not while others need all of them', async () => {
    expect(await writesOf(2, 2)).toEqual(Array(2 * (MIB / CHUNK)).fill(CHUNK))
  })

  test('has its turn taken by one that waits for none but its turn', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
    const { create, patch } = startServer({ maxActiveBodies: 1 })
    const begin = async (body: AdapterSource) => patch(await create({ 'Upload-Length': String(MIB) }), 0, body)
    const slow = new AdapterSource()
    slow.ready = false
    const answer = begin(slow)
    slow.push(Buffer.alloc(CHUNK))
    await slow.hungry()
    await idle(2)
    expect((await begin(new AdapterSource().push(Buffer.alloc(MIB)).end())).status).toBe(204)
    slow.push(Buffer.alloc(MIB - CHUNK)).end()
    expect((await answer).status).toBe(204)
  })
})

describe('the memory of a body', () => {
  test('is free again, in whichever way it came to its end', async () => {
    const writes: number[] = []
    let full = false
    const storage = hookedStorage({
      write: async (chunks, write) => {
        if (full) throw errorWithCode('ENOSPC')
        writes.push(sizeOf(chunks))
        await write()
      },
    })
    const { create, patch } = startServer({ storage, memoryBudget: 2 * MIB })
    const begin = async (body: RequestBody) => patch(await create({ 'Upload-Length': String(4 * MIB) }), 0, body)
    const statuses = []
    for (let round = 0; round < 4; round++) {
      statuses.push((await begin(new AdapterSource().push(Buffer.alloc(MIB)).end())).status)
      statuses.push((await begin(new AdapterSource(MIB).push(Buffer.alloc(MIB / 2)).fail())).status)
      statuses.push((await begin(new AdapterSource(MIB).fail())).status)
      full = true
      statuses.push((await begin(new AdapterSource().push(Buffer.alloc(MIB)).end())).status)
      full = false
    }
    expect(statuses).toEqual(Array(4).fill([204, 400, 400, 507]).flat())
    writes.length = 0
    const chunks = Array.from({ length: 16 }, () => Buffer.alloc(CHUNK))
    expect((await begin(new AdapterSource().push(...chunks).end())).status).toBe(204)
    expect(writes).toEqual([MIB])
  })

  test('that there is none of does not keep it from being committed', async () => {
    const commits: number[] = []
    const storage = hookedStorage({
      commit: ({ to }, commit) => {
        commits.push(to)
        return commit()
      },
    })
    const { create, patch } = startServer({ storage, memoryBudget: 0, segmentBytes: 2 * CHUNK })
    const chunks = Array.from({ length: 5 }, () => Buffer.alloc(CHUNK))
    await patch(await create({ 'Upload-Length': String(5 * CHUNK) }), 0, new AdapterSource().push(...chunks).end())
    expect(commits.map((to) => to / CHUNK)).toEqual([2, 4, 5])
  })
})

test('a body that has no turn and is not waited for takes one that is nobody else’s', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  const { create, patch } = startServer({ maxActiveBodies: 1 })
  const begin = async (body: AdapterSource) => patch(await create({ 'Upload-Length': String(MIB) }), 0, body)
  const first = new AdapterSource()
  first.ready = false
  const answers = [begin(first)]
  await first.hungry()
  first.ready = true
  first.push(Buffer.alloc(CHUNK))
  await first.hungry()
  const second = new AdapterSource().push(Buffer.alloc(MIB)).end()
  answers.push(begin(second))
  await idle()
  expect(second.pulls).toBe(0)
  first.push(Buffer.alloc(MIB - CHUNK)).end()
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([204, 204])
})

describe('200 bodies at a time', () => {
  // Nobody loses a turn by the clock of a machine that is busy with other things.
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  })

  test('a few are read at a time', async () => {
    const { mostReading } = await uploadFromMany({ maxActiveBodies: 8, memoryBudget: 64 * MIB }, async () => {})
    expect(mostReading).toBe(8)
  })

  test('what is held in memory stays within the budget', async () => {
    const memoryBudget = 2 * MIB
    const { mostHeld } = await uploadFromMany({ maxActiveBodies: 8, memoryBudget }, () => idle(2))
    // Beyond the budget, each body that is read has the one chunk that it is about to write.
    expect(mostHeld).toBeGreaterThan(memoryBudget / 2)
    expect(mostHeld).toBeLessThanOrEqual(memoryBudget + 8 * CHUNK)
  })

  test('a budget of nothing is slow, and enough', async () => {
    const { mostHeld } = await uploadFromMany({ maxActiveBodies: 8, memoryBudget: 0 }, async () => {})
    expect(mostHeld).toBeLessThanOrEqual(9 * CHUNK)
  })

  test('those that wait for a slow storage let others in, within the budget', async () => {
    const gate = deferred()
    const clients = 50
    const memoryBudget = 2 * MIB
    const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
    const { create, patch } = startServer({ storage, maxActiveBodies: 4, memoryBudget })
    const opened = new Set<number>()
    let pulled = 0
    const bodyOf = (client: number): RequestBody => ({
      async *[Symbol.asyncIterator]() {
        opened.add(client)
        for (let sent = 0; sent < MIB; sent += CHUNK) {
          pulled += CHUNK
          yield Buffer.alloc(CHUNK)
        }
      },
    })
    const paths = await Promise.all(Array.from({ length: clients }, () => create({ 'Upload-Length': String(MIB) })))
    const answers = paths.map((path, client) => patch(path, 0, bodyOf(client)))
    for (let tick = 0; tick < 50; tick++) {
      await idle(5)
      jest.advanceTimersByTime(10)
    }
    expect(opened.size).toBe(clients)
    expect(pulled).toBeLessThanOrEqual(memoryBudget + clients * CHUNK)
    jest.useRealTimers()
    gate.resolve()
    expect((await Promise.all(answers)).every(({ status }) => status === 204)).toBe(true)
  })
})
