// Two requests for one upload: who goes on, who has to let go, and with what offset. Without a socket.

import type { RequestBody } from '../../src/index.js'
import { AdapterSource, deferred, hookedStorage, idle, idOf, MIB, Source, startServer } from './support.js'

const KINDS: ReadonlyArray<readonly [string, () => Source]> = [
  ['a plain iterable', () => new Source()],
  ['an adapter\u2019s body', () => new AdapterSource()],
]

describe('a body that is all there is not stopped, since who asks may be the next one on the same connection:', () => {
  test('one off a socket, of which not all was read yet', async () => {
    const { create, patch, handle } = startServer()
    const path = await create({ 'Upload-Length': '11' })
    const body = new AdapterSource().push('hello')
    const running = patch(path, 0, body)
    await body.hungry()
    body.whole = true
    const head = handle('HEAD', path)
    await idle()
    expect(body.stops).toBe(0)
    body.push(' world').end()
    expect(await running).toMatchObject({ status: 204, headers: { 'Upload-Offset': '11' } })
    expect(await head).toMatchObject({ status: 200, headers: { 'Upload-Offset': '11' } })
  })

  test('one that somebody asked for before it was read at all', async () => {
    const { create, patch, handle } = startServer()
    const path = await create({ 'Upload-Length': '11' })
    const body = new AdapterSource().push('hello').end()
    body.whole = true
    const answers = await Promise.all([patch(path, 0, body), handle('HEAD', path), handle('HEAD', path)])
    expect(answers.map(({ status }) => status)).toEqual([204, 200, 200])
  })

  test('one of bytes', async () => {
    const { create, patch, handle, stored } = startServer()
    const path = await create({ 'Upload-Length': '11' })
    const answers = await Promise.all([
      patch(path, 0, Buffer.from('hello')),
      patch(path, 0, Buffer.from('other')),
      handle('HEAD', path),
    ])
    expect(answers.map(({ status }) => status)).toEqual([204, 409, 200])
    expect(String(await stored(path))).toBe('hello')
  })
})

describe.each(KINDS)('a body that stalls, as %s', (_kind, makeBody) => {
  test('is stopped by a HEAD, which gets the offset of all bytes that came', async () => {
    const { create, patch, handle, stored } = startServer()
    const path = await create({ 'Upload-Length': '11' })
    const body = makeBody().push('hel', 'lo ')
    const stalled = patch(path, 0, body)
    await body.hungry()
    await body.hungry()
    const answer = await handle('HEAD', path)
    expect(answer).toMatchObject({ status: 200, headers: { 'Upload-Offset': '6' } })
    expect(await stalled).toMatchObject({ status: 423, destroy: true, headers: { 'Upload-Offset': '6' } })
    expect((await patch(path, 6, Buffer.from('world'))).status).toBe(204)
    expect(String(await stored(path))).toBe('hello world')
  })

  test('is stopped by a HEAD right after its last byte, which is left to the next chunk', async () => {
    const { create, patch, handle, storage } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    const body = makeBody().push('hello')
    const stalled = patch(path, 0, body)
    await body.hungry()
    expect((await handle('HEAD', path)).headers['Upload-Offset']).toBe('4')
    expect((await storage.get(idOf(path)))?.complete).toBe(false)
    await stalled
  })

  test('is stopped by a PATCH that goes on where it is', async () => {
    const { create, patch, stored } = startServer()
    const path = await create({ 'Upload-Length': '11' })
    const body = makeBody().push('hello ')
    const stalled = patch(path, 0, body)
    await body.hungry()
    const answer = await patch(path, 6, Buffer.from('world'))
    expect(answer).toMatchObject({ status: 204, headers: { 'Upload-Offset': '11' } })
    expect(await stalled).toMatchObject({ status: 423, destroy: true })
    expect(String(await stored(path))).toBe('hello world')
  })

  test('is stopped by a PATCH of the same offset before its first byte', async () => {
    const { create, patch, stored } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    const body = makeBody()
    const stalled = patch(path, 0, body)
    await body.hungry()
    expect((await patch(path, 0, Buffer.from('hello'))).status).toBe(204)
    expect((await stalled).destroy).toBe(true)
    expect(String(await stored(path))).toBe('hello')
  })

  test.each([0, 3, 7, 11])('is not disturbed by a PATCH at offset %i, which gets 409', async (offset) => {
    const { create, patch, stored } = startServer()
    const path = await create({ 'Upload-Length': '11' })
    const body = makeBody().push('hello ')
    const holder = patch(path, 0, body)
    await body.hungry()
    const late = new Source()
    expect((await patch(path, offset, late)).status).toBe(409)
    expect(late.pulls).toBe(0)
    body.push('world').end()
    expect(await holder).toMatchObject({ status: 204, headers: { 'Upload-Offset': '11' } })
    expect(String(await stored(path))).toBe('hello world')
  })

  test('is stopped by a DELETE', async () => {
    const { create, patch, handle } = startServer()
    const path = await create({ 'Upload-Length': '11' })
    const body = makeBody().push('hello ')
    const stalled = patch(path, 0, body)
    await body.hungry()
    expect((await handle('DELETE', path)).status).toBe(204)
    expect((await stalled).destroy).toBe(true)
    expect((await handle('HEAD', path)).status).toBe(404)
  })

  test('is let go of by its reader', async () => {
    const { create, patch, handle } = startServer()
    const path = await create({ 'Upload-Length': '11' })
    const body = makeBody().push('hello ')
    const stalled = patch(path, 0, body)
    await body.hungry()
    await handle('HEAD', path)
    await stalled
    expect(body.returned || (body instanceof AdapterSource && body.stops === 1)).toBe(true)
  })

  describe('where others have the turns', () => {
    // No clock takes a turn from the one that has it.
    beforeEach(() => {
      jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
    })
    afterEach(() => {
      jest.useRealTimers()
    })

    test('is stopped while it waits for its own', async () => {
      const { create, patch, handle } = startServer({ maxActiveBodies: 1 })
      const [path, busyPath] = [await create({ 'Upload-Length': '5' }), await create({ 'Upload-Length': '5' })]
      // It says that there is more of it.
      const busy = new AdapterSource()
      const running = patch(busyPath, 0, busy)
      await busy.hungry()
      const body = makeBody()
      const waiting = patch(path, 0, body)
      await idle()
      expect(body.pulls).toBe(0)
      expect((await patch(path, 0, Buffer.from('hello'))).status).toBe(204)
      expect((await waiting).destroy).toBe(true)
      await handle('DELETE', busyPath)
      await running
    })

    test('is stopped while it writes, and does not ask for another one then', async () => {
      const gate = deferred()
      const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
      const { create, patch, handle, offsetOf } = startServer({ storage, maxActiveBodies: 1 })
      const [path, busyPath] = [
        await create({ 'Upload-Length': String(10 * MIB) }),
        await create({ 'Upload-Length': '5' }),
      ]
      // After so many bytes it lets others have their turn, of whom there is one that never gives it back.
      const stalled = patch(path, 0, makeBody().push(Buffer.alloc(MIB), Buffer.alloc(4 * MIB)))
      await idle()
      const running = patch(busyPath, 0, new Source())
      await idle()
      const offset = offsetOf(path)
      await idle()
      gate.resolve()
      expect(await offset).toBe(5 * MIB)
      expect((await stalled).destroy).toBe(true)
      await handle('DELETE', busyPath)
      await running
    })
  })

  test('is stopped while the storage writes what came before', async () => {
    const gate = deferred()
    const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
    const { create, patch, handle } = startServer({ storage })
    const path = await create({ 'Upload-Length': String(10 * MIB) })
    const body = makeBody().push(Buffer.alloc(MIB), Buffer.alloc(MIB), Buffer.alloc(10))
    const stalled = patch(path, 0, body)
    await idle()
    const head = handle('HEAD', path)
    await idle()
    gate.resolve()
    // What the reader had pulled counts; a plain iterable is not asked for more.
    expect([String(2 * MIB), String(2 * MIB + 10)]).toContain((await head).headers['Upload-Offset'])
    await stalled
  })

  test('is stopped by a PATCH of its position while the storage writes', async () => {
    const gate = deferred()
    const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
    const { create, patch } = startServer({ storage })
    const path = await create({ 'Upload-Length': String(10 * MIB) })
    // The second batch waits for the write of the first.
    const body = makeBody().push(Buffer.alloc(MIB), Buffer.alloc(MIB))
    const stalled = patch(path, 0, body)
    await idle()
    const next = patch(path, 2 * MIB, Buffer.alloc(10))
    await idle()
    gate.resolve()
    expect(await next).toMatchObject({ status: 204, headers: { 'Upload-Offset': String(2 * MIB + 10) } })
    await stalled
  })
})

test('a body that is whole when somebody asks is stored whole', async () => {
  const gate = deferred()
  const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
  const { create, patch, handle } = startServer({ storage })
  const path = await create({ 'Upload-Length': '5' })
  const whole = patch(path, 0, new Source().push('hello').end())
  await idle()
  const head = handle('HEAD', path)
  await idle()
  gate.resolve()
  expect(await whole).toMatchObject({ status: 204, headers: { 'Upload-Offset': '5' } })
  expect((await head).headers['Upload-Offset']).toBe('5')
})

test('what an adapter has gathered counts for a HEAD, and not for a PATCH that goes on before it', async () => {
  const { create, patch, handle, stored } = startServer()
  const first = await create({ 'Upload-Length': '5' })
  const gathering = new AdapterSource(5)
  gathering.gathered.push('hel')
  const stalled = patch(first, 0, gathering)
  await gathering.hungry()
  expect((await handle('HEAD', first)).headers['Upload-Offset']).toBe('3')
  await stalled

  const second = await create({ 'Upload-Length': '5' })
  const other = new AdapterSource(5)
  other.gathered.push('HEL')
  const displaced = patch(second, 0, other)
  await other.hungry()
  expect((await patch(second, 0, Buffer.from('hello'))).status).toBe(204)
  expect((await displaced).destroy).toBe(true)
  expect(String(await stored(second))).toBe('hello')
})

test('a byte that comes in the very moment of the hand-over leaves one of the two with the upload', async () => {
  for (let moment = -20; moment < 20; moment++) {
    const { create, patch, stored } = startServer()
    const path = await create({ 'Upload-Length': '2' })
    const body = new Source()
    const holder = patch(path, 0, body)
    await body.hungry()
    if (moment < 0) body.push('x')
    for (let tick = moment; tick < -1; tick++) await Promise.resolve()
    const newcomer = patch(path, 0, Buffer.from('ab'))
    for (let tick = 0; tick < moment; tick++) await Promise.resolve()
    if (moment >= 0) body.push('x')
    const { status } = await newcomer
    // Whoever is told that the offset is another one has disturbed nobody.
    body.push('y').end()
    expect({ moment, newcomer: status, holder: (await holder).status }).toEqual(
      status === 204 ? { moment, newcomer: 204, holder: 423 } : { moment, newcomer: 409, holder: 204 },
    )
    expect(String(await stored(path))).toBe(status === 204 ? 'ab' : 'xy')
  }
})

const LATECOMERS: ReadonlyArray<readonly [string, (text: string) => RequestBody]> = [
  ['bytes', (text) => Buffer.from(text)],
  ['chunks', (text) => new Source().push(text).end()],
]

test.each(LATECOMERS)('of many PATCHes that compete for one offset, as %s, exactly one wins', async (_form, body) => {
  const { create, patch, stored } = startServer()
  const path = await create({ 'Upload-Length': '10' })
  const texts = Array.from({ length: 10 }, (_, index) => String(index).repeat(5))
  const answers = await Promise.all(texts.map((text) => patch(path, 0, body(text))))
  const winners = answers.flatMap(({ status }, index) => (status === 204 ? [texts[index]] : []))
  expect(winners.length).toBe(1)
  for (const { status } of answers) expect([204, 409, 423]).toContain(status)
  expect(String(await stored(path))).toBe(winners[0])
})

test('a PATCH where a body of bytes began gets 409 while that one is written, and one where it ends waits', async () => {
  const gate = deferred()
  const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
  const { create, patch, stored } = startServer({ storage })
  const path = await create({ 'Upload-Length': '10' })
  const first = patch(path, 0, Buffer.from('hello'))
  await idle()
  expect((await patch(path, 0, Buffer.from('HELLO'))).status).toBe(409)
  const next = patch(path, 5, Buffer.from('world'))
  await idle()
  gate.resolve()
  expect([(await first).status, (await next).status]).toEqual([204, 204])
  expect(String(await stored(path))).toBe('helloworld')
})

test('whoever waits no longer than claimWaitMs gets 423 with Retry-After', async () => {
  const gate = deferred()
  const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
  const { create, patch, handle } = startServer({ storage, claimWaitMs: 20 })
  const path = await create({ 'Upload-Length': '5' })
  const stuck = patch(path, 0, Buffer.from('hello'))
  await idle()
  const retry = { status: 423, headers: { 'Retry-After': expect.stringMatching(/^[0-9]+$/) } }
  const answers = await Promise.all([handle('HEAD', path), handle('DELETE', path), patch(path, 5)])
  expect(answers).toMatchObject([retry, retry, retry])
  gate.resolve()
  expect((await stuck).status).toBe(204)
})

test('whoever is gone waits no longer', async () => {
  const gate = deferred()
  const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
  const { create, patch, handle } = startServer({ storage, claimWaitMs: 60_000 })
  const path = await create({ 'Upload-Length': '5' })
  const stuck = patch(path, 0, Buffer.from('hello'))
  await idle()
  const controller = new AbortController()
  const waiting = handle('HEAD', path, {}, undefined, { signal: controller.signal })
  await idle()
  controller.abort()
  expect((await waiting).status).toBe(423)
  gate.resolve()
  await stuck
})

test('the signal is not asked for where nothing waits', async () => {
  const { create, patch, handle } = startServer()
  const path = await create({ 'Upload-Length': '5' })
  const signal = jest.fn()
  const options = Object.defineProperty({}, 'signal', { get: signal })
  await patch(path, 0, Buffer.from('hello'), {}, options)
  await handle('HEAD', path, {}, undefined, options)
  await handle('DELETE', path, {}, undefined, options)
  expect(signal).not.toHaveBeenCalled()
})
