// Expiration: what expires, when, and what is said of it.
import { createHash } from 'node:crypto'
import { MemoryStorage, type Storage, TusError, type TusServerOptions } from '../../src/index.js'
import { deferred, idle, idOf, overriding, Source, startServer } from './support.js'

const HOUR = 3_600_000

function withClock(options: Partial<TusServerOptions> = {}) {
  const clock = { ms: Date.UTC(2026, 10, 22) }
  const now = (): number => clock.ms
  const storage = new MemoryStorage({ now })
  const server = startServer({
    storage,
    now,
    expiration: { unfinishedAfterMs: HOUR, rememberMs: 24 * HOUR },
    ...options,
  })
  return { ...server, clock }
}

const inAnHour = 'Sun, 22 Nov 2026 01:00:00 GMT'

it('MUST 19: Upload-Expires comes with POST, PATCH and HEAD as an HTTP date, and PATCH renews it', async () => {
  const { handle, create, patch, clock } = withClock()
  const created = await handle('POST', '/files', { 'Upload-Length': '10' })
  expect(created.headers['Upload-Expires']).toBe(inAnHour)
  const path = String(created.headers.Location)
  clock.ms += HOUR / 2
  expect((await patch(path, 0, Buffer.from('abc'))).headers['Upload-Expires']).toBe('Sun, 22 Nov 2026 01:30:00 GMT')
  expect((await handle('HEAD', path)).headers['Upload-Expires']).toBe('Sun, 22 Nov 2026 01:30:00 GMT')
  void create
})

it('is advertised where it is on', async () => {
  expect((await withClock().handle('OPTIONS', '/files')).headers['Tus-Extension']).toMatch(/(^|,)expiration(,|$)/)
  expect((await startServer().handle('OPTIONS', '/files')).headers['Tus-Extension']).not.toContain('expiration')
})

it('only unfinished uploads expire unless asked otherwise', async () => {
  const { handle, create, patch, clock, tus, stored } = withClock()
  const [finished, unfinished] = [await create({ 'Upload-Length': '3' }), await create({ 'Upload-Length': '3' })]
  const answer = await patch(finished, 0, Buffer.from('abc'))
  expect(answer.headers['Upload-Expires']).toBeUndefined()
  clock.ms += 1000 * HOUR
  expect(await tus.cleanUp()).toEqual({ expired: 1 })
  expect((await handle('HEAD', finished)).status).toBe(200)
  expect(String(await stored(finished))).toBe('abc')
  expect((await handle('HEAD', unfinished)).status).toBe(410)
})

it('finished uploads expire where asked', async () => {
  const { handle, create, patch, clock, tus } = withClock({
    expiration: { unfinishedAfterMs: HOUR, finishedAfterMs: 2 * HOUR },
  })
  const path = await create({ 'Upload-Length': '3' })
  expect((await patch(path, 0, Buffer.from('abc'))).headers['Upload-Expires']).toBe('Sun, 22 Nov 2026 02:00:00 GMT')
  clock.ms += HOUR * 1.5
  expect((await handle('HEAD', path)).status).toBe(200)
  clock.ms += HOUR
  expect(await tus.cleanUp()).toEqual({ expired: 1 })
  expect((await handle('HEAD', path)).status).toBe(410)
})

it('SHOULD 19: 410 for what has expired, swept away or not, and 404 once it is forgotten', async () => {
  const { handle, create, patch, clock, tus } = withClock({ downloads: true })
  const path = await create({ 'Upload-Length': '3' })
  clock.ms += HOUR
  const all = async () => [
    (await handle('HEAD', path)).status,
    (await patch(path, 0, Buffer.from('abc'))).status,
    (await handle('GET', path)).status,
  ]
  expect(await all()).toEqual([410, 410, 410])
  expect(await tus.cleanUp()).toEqual({ expired: 1 })
  expect(await all()).toEqual([410, 410, 410])
  expect((await handle('DELETE', path)).status).toBe(410)
  clock.ms += 24 * HOUR
  expect(await all()).toEqual([404, 404, 404])
})

it('tells the application of each, without a request', async () => {
  const seen: unknown[] = []
  const { create, clock, tus } = withClock({
    onUploadTerminate: ({ upload, request }) => void seen.push([upload.id, request]),
  })
  const path = await create({ 'Upload-Length': '3' })
  clock.ms += HOUR
  await tus.cleanUp()
  expect(seen).toEqual([[idOf(path), undefined]])
})

it('leaves an upload alone that was renewed between the search and the claim', async () => {
  const server = withClock()
  const path = await server.create({ 'Upload-Length': '3' })
  const { storage, clock } = server
  const expired = storage.expired?.bind(storage)
  clock.ms += HOUR - 1
  storage.expired = async (request) => {
    const ids = (await expired?.({ ...request, unfinishedSinceMs: (request.unfinishedSinceMs ?? 0) + 1 })) ?? []
    if (ids.length > 0) await server.patch(path, 0, Buffer.from('a'))
    return ids
  }
  expect(await server.tus.cleanUp()).toEqual({ expired: 0 })
  expect(await server.offsetOf(path)).toBe(1)
})

it('removes any number of them in small steps, with others having their turn in between', async () => {
  const { create, clock, tus } = withClock()
  for (let index = 0; index < 100; index++) await create({ 'Upload-Length': '3' })
  clock.ms += HOUR
  let turns = 0
  const count = (): void => {
    turns++
    timer = setImmediate(count)
  }
  let timer = setImmediate(count)
  expect(await tus.cleanUp()).toEqual({ expired: 100 })
  clearImmediate(timer)
  expect(turns).toBeGreaterThan(4)
})

it.each([1, 25])('goes on past %i that can not be removed', async (count) => {
  const server = withClock()
  const bad = new Set<string>()
  while (bad.size < count) bad.add(idOf(await server.create({ 'Upload-Length': '3' })))
  server.clock.ms++
  const good = await server.create({ 'Upload-Length': '3' })
  const remove = server.storage.remove.bind(server.storage)
  server.storage.remove = (id, fence, tombstone) => {
    if (bad.has(id)) throw new Error('stuck')
    return remove(id, fence, tombstone)
  }
  server.clock.ms += HOUR
  expect(await server.tus.cleanUp()).toEqual({ expired: 1 })
  expect(server.logger.errors).toHaveLength(count)
  expect(await server.storage.get(idOf(good))).toBeUndefined()
})

it('sweeps by itself, one instance of those that share a storage', async () => {
  const now = (): number => clock.ms
  const clock = { ms: 0 }
  const storage = new MemoryStorage({ now })
  let sweeps = 0
  let passed = (): void => {}
  const swept = new Promise<void>((resolve) => {
    passed = resolve
  })
  const lease = storage.lease.bind(storage)
  const owners = new Set<string>()
  const asked = new Set<string>()
  storage.lease = async (name, request) => {
    const won = await lease(name, request)
    asked.add(request.owner)
    if (won) {
      owners.add(request.owner)
      sweeps++
    }
    if (asked.size === 2 && sweeps > 2) passed()
    return won
  }
  const expiration = { unfinishedAfterMs: 1, sweepEveryMs: 5 }
  const one = startServer({ storage, now, expiration })
  startServer({ storage: Object.assign(Object.create(storage), { close: () => {} }), now, expiration })
  const path = await one.create({ 'Upload-Length': '3' })
  clock.ms += 2
  await swept
  expect(owners.size).toBe(1)
  expect(await storage.get(idOf(path))).toBeUndefined()
})

it('needs a storage that can find them', () => {
  const storage = Object.assign(Object.create(new MemoryStorage()), { expired: undefined })
  expect(() => startServer({ storage, expiration: { unfinishedAfterMs: 1 } })).toThrow(TypeError)
})

it('says what could not be tidied up, and goes on', async () => {
  const [locked, stuck] = [new Error('locked'), new Error('stuck')]
  const steps = [
    { more: true, failures: [locked] },
    { more: false, failures: [stuck] },
  ]
  const storage = overriding(new MemoryStorage(), { vacuum: () => steps.shift() ?? { more: false } })
  const { tus, logger } = startServer({ storage })
  await tus.cleanUp()
  expect(logger.errors).toEqual([locked, stuck])
})

describe('a finished upload whose hook has not succeeded', () => {
  const expiration = { unfinishedAfterMs: HOUR, finishedAfterMs: HOUR }

  it.each(['await', 'background'] as const)(
    'does not expire, and its time begins with the success (%s)',
    async (completion) => {
      let fails = true
      const { create, patch, handle, clock, tus, storage } = withClock({
        completion,
        expiration,
        onUploadComplete: () => {
          if (fails) throw new Error('the bucket is down')
        },
      })
      const path = await create({ 'Upload-Length': '3' })
      const answer = await patch(path, 0, Buffer.from('abc'))
      expect(answer.headers['Upload-Expires']).toBeUndefined()
      await tus.cleanUp()
      clock.ms += 3 * HOUR
      await tus.cleanUp()
      expect(await storage.get(idOf(path))).toMatchObject({ complete: true, completion: { settled: false } })
      if (completion === 'background') expect((await handle('HEAD', path)).headers['Upload-Expires']).toBeUndefined()
      fails = false
      clock.ms += HOUR
      expect(await tus.cleanUp()).toEqual({ expired: 0 })
      expect((await handle('HEAD', path)).headers['Upload-Expires']).toBe('Sun, 22 Nov 2026 05:00:00 GMT')
      clock.ms += HOUR
      expect(await tus.cleanUp()).toEqual({ expired: 1 })
    },
  )

  it('does not expire either where the hook rejects it: it is removed then, and remembered', async () => {
    const { create, patch, handle, clock, tus } = withClock({
      completion: 'background',
      expiration,
      onUploadComplete: () => {
        throw new TusError('ERR_UNPROCESSABLE')
      },
    })
    const path = await create({ 'Upload-Length': '3' })
    await patch(path, 0, Buffer.from('abc'))
    clock.ms += 3 * HOUR
    expect(await tus.cleanUp()).toEqual({ expired: 0 })
    expect((await handle('HEAD', path)).status).toBe(422)
  })

  it('is told with the answer of a hook that has succeeded, from then on', async () => {
    const { handle, patch, create, clock } = withClock({
      expiration,
      onUploadComplete: () => {
        clock.ms += HOUR / 2
      },
    })
    const chunk = { 'Content-Type': 'application/offset+octet-stream', 'Upload-Length': '3' }
    const posted = await handle('POST', '/files', chunk, Buffer.from('abc'))
    expect(posted.headers['Upload-Expires']).toBe('Sun, 22 Nov 2026 01:30:00 GMT')
    const path = await create({ 'Upload-Length': '3' })
    const answer = await patch(path, 0, Buffer.from('abc'))
    expect(answer.headers['Upload-Expires']).toBe('Sun, 22 Nov 2026 02:00:00 GMT')
    expect((await handle('HEAD', path)).headers['Upload-Expires']).toBe(answer.headers['Upload-Expires'])
    expect((await patch(path, 3)).headers['Upload-Expires']).toBe(answer.headers['Upload-Expires'])
  })
})

describe('an upload that is written to', () => {
  const SHA1 = { 'Upload-Checksum': `sha1 ${createHash('sha1').update('abc').digest('base64')}` }

  /** A chunk with a checksum, of which nothing is committed before its end, is on its way when the time is over. */
  async function receiving(options: Partial<TusServerOptions> = {}) {
    const server = withClock({ leaseMs: 100 * HOUR, ...options })
    const path = await server.create({ 'Upload-Length': '6' })
    const body = new Source()
    const answer = server.patch(path, 0, body.push('ab'), SHA1)
    await body.hungry()
    server.clock.ms += 2 * HOUR
    return { ...server, path, body, answer }
  }

  it('does not expire, and its time begins with the end of the chunk', async () => {
    const { path, body, answer, handle, clock, tus } = await receiving()
    expect(await tus.cleanUp()).toEqual({ expired: 0 })
    body.push('c').end()
    const { status, headers } = await answer
    expect([status, headers['Upload-Expires']]).toEqual([204, 'Sun, 22 Nov 2026 03:00:00 GMT'])
    expect((await handle('HEAD', path)).headers).toMatchObject({ 'Upload-Offset': '3' })
    clock.ms += HOUR
    expect(await tus.cleanUp()).toEqual({ expired: 1 })
  })

  it('does not expire by the sweep of another process', async () => {
    const { storage, clock, path, body, answer } = await receiving()
    const other = startServer({
      storage: overriding(storage, { close: async () => {} }),
      now: () => clock.ms,
      expiration: { unfinishedAfterMs: HOUR },
    })
    expect(await other.tus.cleanUp()).toEqual({ expired: 0 })
    body.push('c').end()
    expect((await answer).status).toBe(204)
    expect(await storage.get(idOf(path))).toMatchObject({ offset: 3 })
  })

  it.each(['HEAD', 'PATCH'])(
    'is resumed by a %s that takes it over, though nothing of the chunk was kept',
    async (method) => {
      const { path, answer, handle, patch } = await receiving()
      if (method === 'HEAD') {
        expect((await handle('HEAD', path)).headers).toMatchObject({
          'Upload-Offset': '0',
          'Upload-Expires': 'Sun, 22 Nov 2026 03:00:00 GMT',
        })
        expect((await patch(path, 0, Buffer.from('abc'))).status).toBe(204)
      } else {
        // The holder is at another offset: a newcomer that can not match disturbs nobody, and is not told that it is gone.
        expect((await patch(path, 0, Buffer.from('abc'))).status).toBe(409)
        return
      }
      expect((await answer).destroy).toBe(true)
    },
  )

  it('has a new time after a chunk that was refused, and after one that broke off', async () => {
    const { path, body, answer, tus, handle } = await receiving()
    body.push('x').end()
    expect(await answer).toMatchObject({ status: 460, headers: { 'Upload-Expires': 'Sun, 22 Nov 2026 03:00:00 GMT' } })
    expect(await tus.cleanUp()).toEqual({ expired: 0 })
    expect((await handle('HEAD', path)).headers['Upload-Expires']).toBe('Sun, 22 Nov 2026 03:00:00 GMT')
    const second = await receiving()
    second.body.fail()
    expect((await second.answer).status).toBe(400)
    expect((await second.handle('HEAD', second.path)).status).toBe(200)
  })

  it('is cut where nothing comes any more, and expires from then on', async () => {
    const { path, answer, tus, clock, handle } = await receiving({ stallTimeoutMs: 20 })
    expect((await answer).status).toBe(408)
    expect((await handle('HEAD', path)).status).toBe(200)
    clock.ms += HOUR
    expect(await tus.cleanUp()).toEqual({ expired: 1 })
  })

  it('expires once its holder has died and the claim has run out', async () => {
    const { storage, clock, create, tus } = withClock()
    const path = await create({ 'Upload-Length': '6' })
    await storage.claim?.(idOf(path), { owner: 'dead', ttlMs: 2 * HOUR })
    clock.ms += HOUR
    expect(await tus.cleanUp()).toEqual({ expired: 0 })
    clock.ms += HOUR
    expect(await tus.cleanUp()).toEqual({ expired: 1 })
  })

  it('has no new time by requests that bring no bytes', async () => {
    const { create, patch, handle, clock } = withClock()
    const path = await create({ 'Upload-Length': '6' })
    clock.ms += HOUR / 2
    expect((await patch(path, 0)).headers['Upload-Expires']).toBe(inAnHour)
    expect((await patch(path, 1, Buffer.from('a'))).status).toBe(409)
    expect((await handle('HEAD', path)).headers['Upload-Expires']).toBe(inAnHour)
    clock.ms += HOUR / 2
    expect((await handle('HEAD', path)).status).toBe(410)
  })
})

describe('other options than before', () => {
  /** Uploads of a server with some options, seen by servers with others. */
  async function later(before: TusServerOptions['expiration']) {
    const clock = { ms: Date.UTC(2026, 10, 22) }
    const now = (): number => clock.ms
    const leased = deferred()
    const inner = new MemoryStorage({ now })
    const storage: Storage = overriding(inner, {
      close: async () => {},
      lease: (name, request) => {
        leased.resolve()
        return inner.lease(name, request)
      },
    })
    const old = startServer({ storage, now, expiration: before })
    const unfinished = await old.create({ 'Upload-Length': '3' })
    const finished = await old.create({ 'Upload-Length': '3' })
    await old.patch(finished, 0, Buffer.from('abc'))
    await old.tus.close()
    clock.ms += 2 * HOUR
    return {
      clock,
      leased,
      unfinished,
      finished,
      server: (expiration: TusServerOptions['expiration']) => startServer({ storage, now, expiration }),
    }
  }

  it.each([
    ['was switched on', undefined],
    ['was shortened', { unfinishedAfterMs: 1000 * HOUR, finishedAfterMs: 1000 * HOUR }],
  ])('expiration that %s holds for uploads that exist', async (_what, before) => {
    const { unfinished, finished, server } = await later(before)
    const one = server({ unfinishedAfterMs: HOUR })
    expect((await one.handle('HEAD', unfinished)).status).toBe(410)
    expect((await one.handle('HEAD', finished)).status).toBe(200)
    expect(await one.tus.cleanUp()).toEqual({ expired: 1 })
    const both = server({ unfinishedAfterMs: HOUR, finishedAfterMs: HOUR })
    expect((await both.handle('HEAD', finished)).status).toBe(410)
    expect(await both.tus.cleanUp()).toEqual({ expired: 1 })
  })

  it.each([
    ['lengthened', { unfinishedAfterMs: 1000 * HOUR }],
    ['switched off', undefined],
  ])('expiration that was %s lets them live on', async (_what, after) => {
    const { unfinished, server } = await later({ unfinishedAfterMs: HOUR })
    const { handle, tus } = server(after)
    expect(await tus.cleanUp()).toEqual({ expired: 0 })
    const { status, headers } = await handle('HEAD', unfinished)
    expect([status, headers['Upload-Expires']]).toEqual([200, after && 'Sat, 02 Jan 2027 16:00:00 GMT'])
  })

  it('servers with different times sweep by themselves, each by its own', async () => {
    const { unfinished, server, leased } = await later(undefined)
    const long = server({ unfinishedAfterMs: 1000 * HOUR, sweepEveryMs: 1 })
    await leased.promise
    server({ unfinishedAfterMs: HOUR, sweepEveryMs: 1 })
    while ((await long.storage.get(idOf(unfinished))) !== undefined) await idle(1)
  })
})

describe('where nothing expires', () => {
  beforeEach(() => jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }))
  afterEach(() => jest.useRealTimers())

  it('what is remembered of rejected uploads has an end, without a restart', async () => {
    const dropped: number[] = []
    const inner: Storage = new MemoryStorage()
    const storage = overriding(inner, {
      vacuum: (limit) => {
        dropped.push(Date.now())
        return inner.vacuum?.(limit) ?? { more: false }
      },
    })
    const { create, patch, handle } = startServer({
      storage,
      onUploadComplete: () => {
        throw new TusError('ERR_UNPROCESSABLE')
      },
    })
    const path = await create({ 'Upload-Length': '3' })
    expect((await patch(path, 0, Buffer.from('abc'))).status).toBe(422)
    expect((await handle('HEAD', path)).status).toBe(422)
    const before = dropped.length
    await jest.advanceTimersByTimeAsync(3_600_000)
    // One a minute after the start, one an hour after it.
    expect(dropped.length).toBe(before + 2)
  })
})
