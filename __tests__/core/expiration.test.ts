// Expiration: what expires, when, and what is said of it.
import { MemoryStorage, type TusServerOptions } from '../../src/index.js'
import { idOf, overriding, startServer } from './support.js'

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
  storage.expired = async (beforeMs, limit) => {
    const ids = (await expired?.(beforeMs + 1, limit)) ?? []
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
