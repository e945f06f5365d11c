// Bodies that come too slowly: cut, with what arrived kept, and only where it is the client that is slow.

import type { RequestBody, TusServerOptions } from '../../src/index.js'
import { Pace, type PacedBody } from '../../src/pace.js'
import { AdapterSource, deferred, hookedStorage, idle, idOf, Source, startServer } from './support.js'

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
})

afterEach(() => {
  jest.useRealTimers()
})

/** Lets time go by, and what falls due run. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 100) {
    jest.advanceTimersByTime(Math.min(left, 100))
    await idle(3)
  }
}

/** A server that wants 10 bytes per second on average over six seconds, with a PATCH under way. */
async function startPatch<Body extends RequestBody>(body: Body, options: Partial<TusServerOptions> = {}, headers = {}) {
  const server = startServer({ stallTimeoutMs: 6000, minBytesPerSecond: 10, segmentMs: 1e6, ...options })
  const path = await server.create({ 'Upload-Length': '1000' })
  let over = false
  const answer = server.patch(path, 0, body, headers).finally(() => {
    over = true
  })
  await idle()
  return { ...server, path, answer, isOver: () => over }
}

/** Pushes so many bytes each second, for so many seconds. */
async function trickle(body: Source, bytesPerSecond: number, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    body.push(Buffer.alloc(bytesPerSecond, 'x'))
    await pass(1000)
  }
}

describe.each([
  ['a plain iterable', () => new Source()],
  ['an adapter\u2019s body', () => new AdapterSource()],
])('as %s,', (_kind, makeBody) => {
  test('a body that trickles is cut: its bytes are kept, and the connection is to be destroyed', async () => {
    const body = makeBody()
    const { answer, path, stored, storage, logger } = await startPatch(body)
    await trickle(body, 9, 8)
    expect(await answer).toMatchObject({ status: 408, destroy: true, headers: { 'Upload-Offset': '63' } })
    expect(String(await stored(path))).toBe('x'.repeat(63))
    // The claim is free, and nobody was told of an error.
    expect(await storage.claim?.(idOf(path), { owner: 'another', ttlMs: 1000 })).toHaveProperty('fence')
    expect(logger).toMatchObject({ errors: [], warnings: [] })
  })

  test('a body that brings just enough is not', async () => {
    const body = makeBody()
    const { answer, isOver } = await startPatch(body)
    await trickle(body, 10, 60)
    expect(isOver()).toBe(false)
    body.end()
    expect(await answer).toMatchObject({ status: 204, headers: { 'Upload-Offset': '600' } })
  })

  test('a body that stalls is cut after the time, not before', async () => {
    const body = makeBody().push('hello')
    const { answer, isOver } = await startPatch(body)
    await pass(5900)
    expect(isOver()).toBe(false)
    await pass(1200)
    expect(await answer).toMatchObject({ status: 408, headers: { 'Upload-Offset': '5' } })
  })

  test('it is the last while that counts: what came fast before is no merit', async () => {
    const body = makeBody().push(Buffer.alloc(500))
    const { answer, isOver } = await startPatch(body)
    await pass(5900)
    body.push(Buffer.alloc(100))
    await pass(5900)
    expect(isOver()).toBe(false)
    await pass(1200)
    expect(await answer).toMatchObject({ status: 408, headers: { 'Upload-Offset': '600' } })
  })

  test('a chunk with a checksum is discarded', async () => {
    const body = makeBody().push('hello')
    const headers = { 'Upload-Checksum': 'sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=' }
    const { answer, offsetOf, path } = await startPatch(body, {}, headers)
    await pass(8000)
    expect(await answer).toMatchObject({ status: 408, destroy: true, headers: { 'Upload-Offset': '0' } })
    expect(await offsetOf(path)).toBe(0)
  })

  test('the upload goes on from there', async () => {
    const body = makeBody().push('hello')
    const { answer, patch, path, stored } = await startPatch(body)
    await pass(8000)
    await answer
    expect((await patch(path, 5, Buffer.from(' world'))).status).toBe(204)
    expect(String(await stored(path))).toBe('hello world')
  })

  test('right after its last byte, that byte is left to the next chunk', async () => {
    const body = makeBody().push(Buffer.alloc(1000))
    const { answer, storage, path } = await startPatch(body)
    await pass(8000)
    expect(await answer).toMatchObject({ status: 408, headers: { 'Upload-Offset': '999' } })
    expect(await storage.get(idOf(path))).toMatchObject({ offset: 999, complete: false })
  })

  test('0 cuts none', async () => {
    const body = makeBody()
    const { answer, isOver } = await startPatch(body, { stallTimeoutMs: 0 })
    await pass(100_000)
    expect(isOver()).toBe(false)
    body.end()
    expect((await answer).status).toBe(204)
  })
})

test('a creation that trickles is cut, and the upload stays', async () => {
  const { handle, storage } = startServer({ stallTimeoutMs: 600, generateId: () => 'abc' })
  const body = new Source().push('hello')
  const type = { 'Content-Type': 'application/offset+octet-stream' }
  const answer = handle('POST', '/files', { 'Upload-Length': '1000', ...type }, body)
  await pass(1000)
  expect(await answer).toMatchObject({ status: 408, destroy: true })
  expect(await storage.get('abc')).toMatchObject({ offset: 5, complete: false })
})

describe('a body that is being gathered', () => {
  test('comes on, although none of it was handed over yet', async () => {
    const body = new AdapterSource(600)
    const { isOver } = await startPatch(body)
    for (let second = 0; second < 60; second++) {
      body.gather('0123456789')
      await pass(1000)
    }
    expect(isOver()).toBe(false)
    body.push(...body.gathered).end()
  })

  test('is cut if it does not, and what was gathered is kept', async () => {
    const body = new AdapterSource(100)
    const { answer } = await startPatch(body)
    body.gather('hello')
    await pass(8000)
    expect(body.stops).toBe(1)
    expect(await answer).toMatchObject({ status: 408, headers: { 'Upload-Offset': '5' } })
  })
})

describe('time does not count in which it is held up here:', () => {
  test('by a storage that takes its time', async () => {
    const gate = deferred()
    const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
    const body = new Source().push('hello')
    const { answer, isOver } = await startPatch(body, { storage, segmentBytes: 1 })
    await pass(60_000)
    expect(isOver()).toBe(false)
    gate.resolve()
    await body.hungry()
    await pass(5900)
    expect(isOver()).toBe(false)
    await pass(1200)
    expect(await answer).toMatchObject({ status: 408, headers: { 'Upload-Offset': '5' } })
  })

  test('by other bodies, whose turn it is', async () => {
    // One of which there is always more has its turn as long as it moves.
    const bodies = [new AdapterSource(), new Source()]
    const { patch, create } = await startPatch(new Source().end(), { maxActiveBodies: 1 })
    const answers: Array<Promise<{ status: number }>> = []
    for (const body of bodies) {
      answers.push(patch(await create({ 'Upload-Length': '100000' }), 0, body))
      await idle()
    }
    for (let tick = 0; tick < 1000; tick++) {
      bodies[0]?.push('x')
      await idle(3)
      jest.advanceTimersByTime(9)
    }
    expect(bodies[1]?.pulls).toBe(0)
    bodies[0]?.end()
    bodies[1]?.push('hello').end()
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([204, 204])
  })
})

test('somebody who took over meanwhile is not kept waiting', async () => {
  const body = new AdapterSource().push('hello')
  const { answer, handle, path } = await startPatch(body)
  expect(await handle('HEAD', path)).toMatchObject({ headers: { 'Upload-Offset': '5' } })
  expect(await answer).toMatchObject({ status: 423, destroy: true })
  await pass(8000)
  expect(body.stops).toBe(1)
})

describe('the timer', () => {
  const body = (): PacedBody => ({ place: -1, waiting: true, received: 0, cut: jest.fn() })

  test('is one for all bodies, keeps no process alive, and goes on from one body to the next', () => {
    const setInterval = jest.spyOn(globalThis, 'setInterval')
    try {
      const pace = new Pace({ stallTimeoutMs: 600, minBytesPerSecond: 1 })
      expect(setInterval).not.toHaveBeenCalled()
      for (let time = 0; time < 50; time++) {
        const one = body()
        const other = body()
        pace.join(one)
        pace.join(other)
        jest.advanceTimersByTime(30)
        pace.leave(one)
        pace.leave(other)
        jest.advanceTimersByTime(30)
      }
      expect(setInterval).toHaveBeenCalledTimes(1)
      const timer = setInterval.mock.results[0]?.value as NodeJS.Timeout
      expect(timer.hasRef()).toBe(false)
    } finally {
      setInterval.mockRestore()
    }
  })

  test('ends when there was no body for a while, and comes again', () => {
    const pace = new Pace({ stallTimeoutMs: 600, minBytesPerSecond: 1 })
    const first = body()
    pace.join(first)
    jest.advanceTimersByTime(250)
    expect(jest.getTimerCount()).toBe(1)
    pace.leave(first)
    jest.advanceTimersByTime(200)
    expect(jest.getTimerCount()).toBe(0)
    const second = body()
    pace.join(second)
    jest.advanceTimersByTime(800)
    expect(second.cut).toHaveBeenCalledTimes(1)
    expect(first.cut).not.toHaveBeenCalled()
    jest.advanceTimersByTime(200)
    expect(jest.getTimerCount()).toBe(0)
  })

  test('ends with the server', async () => {
    const before = jest.getTimerCount()
    const { tus, patch, create } = startServer()
    await patch(await create({ 'Upload-Length': '5' }), 0, new Source().push('hello').end())
    expect(jest.getTimerCount()).toBeGreaterThan(before)
    const closed = tus.close({ timeoutMs: 0 })
    await idle()
    await closed
    expect(jest.getTimerCount()).toBe(before)
  })

  test('is none if none is to be cut', () => {
    new Pace({ stallTimeoutMs: 0, minBytesPerSecond: 1 }).join(body())
    expect(jest.getTimerCount()).toBe(0)
  })

  test('can wait for longer than a timer of Node can', () => {
    const pace = new Pace({ stallTimeoutMs: Number.MAX_SAFE_INTEGER, minBytesPerSecond: 1 })
    const slow = body()
    pace.join(slow)
    jest.advanceTimersByTime(100_000)
    expect(slow.cut).not.toHaveBeenCalled()
    pace.close()
  })

  test('counts looks and not the clock: a process that was held up has not waited for the client', () => {
    const pace = new Pace({ stallTimeoutMs: 600, minBytesPerSecond: 1 })
    const slow = body()
    pace.join(slow)
    jest.advanceTimersByTime(100)
    jest.setSystemTime(Date.now() + 3_600_000)
    jest.advanceTimersByTime(500)
    expect(slow.cut).not.toHaveBeenCalled()
    pace.close()
  })
})
