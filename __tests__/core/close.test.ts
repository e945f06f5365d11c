// TusServer.close: running requests end by themselves or are stopped, new ones are refused, the storage is closed last.

import { MemoryStorage, TusServer, type TusServerOptions } from '../../src/index.js'
import {
  CHUNK,
  deferred,
  hookedStorage,
  idle,
  idOf,
  overriding,
  quietLogger,
  Source,
  startServer,
  VERSION,
} from './support.js'

/** A server whose storage tells when it is closed, and keeps what it has. */
function startKept(options: Partial<TusServerOptions> = {}) {
  const kept = new MemoryStorage()
  const closed = jest.fn()
  const server = startServer({ ...options, storage: overriding(kept, { close: closed }) })
  return { ...server, kept, closed }
}

test('an idle server closes its storage', async () => {
  const { tus, closed } = startKept()
  await tus.close()
  expect(closed).toHaveBeenCalledTimes(1)
})

test('closing twice is closing once', async () => {
  const { tus, closed } = startKept()
  await Promise.all([tus.close(), tus.close({ timeoutMs: 1 })])
  await tus.close()
  expect(closed).toHaveBeenCalledTimes(1)
})

test('a request that runs is waited for, and the storage stays open for it', async () => {
  const { tus, create, patch, closed, kept } = startKept()
  const path = await create({ 'Upload-Length': '5' })
  const source = new Source().push('hel')
  const running = patch(path, 0, source)
  await source.hungry()
  const closing = tus.close({ timeoutMs: 60_000 })
  await idle()
  expect(closed).not.toHaveBeenCalled()
  source.push('lo').end()
  expect((await running).status).toBe(204)
  await closing
  expect(closed).toHaveBeenCalledTimes(1)
  expect(await kept.get(idOf(path))).toMatchObject({ offset: 5, complete: true })
})

test('a body that stalls is stopped after timeoutMs, with what arrived committed', async () => {
  const { tus, create, patch, kept } = startKept()
  const path = await create({ 'Upload-Length': '5' })
  const source = new Source().push('hel')
  const running = patch(path, 0, source)
  await source.hungry()
  await source.hungry()
  await tus.close({ timeoutMs: 10 })
  expect(await running).toMatchObject({ status: 423, destroy: true, headers: { 'Upload-Offset': '3' } })
  expect(await kept.get(idOf(path))).toMatchObject({ offset: 3, complete: false })
  expect(source.returned).toBe(true)
})

test('many bodies that stall are all stopped', async () => {
  const { tus, create, patch, kept } = startKept()
  const paths = await Promise.all(Array.from({ length: 30 }, () => create({ 'Upload-Length': '5' })))
  const sources = paths.map(() => new Source().push('hel'))
  const running = paths.map((path, index) => patch(path, 0, sources[index]))
  for (const source of sources.slice(0, 8)) await source.hungry()
  await idle()
  await tus.close({ timeoutMs: 10 })
  for (const answer of await Promise.all(running)) expect(answer.destroy).toBe(true)
  for (const path of paths) expect((await kept.get(idOf(path)))?.complete).toBe(false)
})

test('those that wait for an upload are refused with 423', async () => {
  const gate = deferred()
  const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
  const { tus, create, patch, handle } = startServer({ storage, claimWaitMs: 60_000 })
  const path = await create({ 'Upload-Length': '5' })
  const stuck = patch(path, 0, Buffer.from('hello'))
  await idle()
  const waiting = [handle('HEAD', path), handle('DELETE', path)]
  await idle()
  const closing = tus.close({ timeoutMs: 0 })
  for (const answer of await Promise.all(waiting)) {
    expect(answer).toMatchObject({ status: 423, headers: { 'Retry-After': '1' } })
  }
  gate.resolve()
  expect((await stuck).status).toBe(204)
  await closing
})

test('new requests are refused with 503 and Retry-After, a HEAD with 423, before their body is read', async () => {
  const { tus, create, patch, handle, logger } = startServer()
  const path = await create({ 'Upload-Length': '5' })
  const source = new Source()
  const running = patch(path, 0, source)
  await source.hungry()
  const closing = tus.close({ timeoutMs: 60_000 })
  const body = new Source()
  const headers = { 'Retry-After': '1', 'Tus-Resumable': '1.0.0' }
  expect(await handle('POST', '/files', { 'Upload-Length': '5' })).toMatchObject({ status: 503, headers })
  expect(await patch(path, 0, body)).toMatchObject({ status: 503, headers })
  expect(await handle('DELETE', path)).toMatchObject({ status: 503, headers })
  expect(await handle('HEAD', path)).toMatchObject({
    status: 423,
    headers: { ...headers, 'Cache-Control': 'no-store' },
  })
  expect((await handle('OPTIONS', '/files')).status).toBe(204)
  expect(body.pulls).toBe(0)
  expect(logger.errors).toEqual([])
  source.push('hello').end()
  expect((await running).status).toBe(204)
  await closing
  expect((await handle('HEAD', path)).status).toBe(423)
  expect((await patch(path, 5)).status).toBe(503)
})

test('a request that reaches the storage only after the deadline does not hold up the end', async () => {
  const reading = deferred()
  const inner = new MemoryStorage()
  let slow = false
  const storage = overriding(inner, {
    get: async (id) => {
      if (slow) await reading.promise
      return inner.get(id)
    },
  })
  const { tus, create, patch } = startServer({ storage })
  const path = await create({ 'Upload-Length': '5' })
  slow = true
  const stalls = patch(path, 0, new Source())
  await idle()
  const closing = tus.close({ timeoutMs: 0 })
  // Timers of 1 ms come first, so the running bodies have been stopped when this one begins.
  await new Promise((resolve) => setTimeout(resolve, 5))
  reading.resolve()
  expect([423, 503]).toContain((await stalls).status)
  await closing
})

test('no timer keeps the process alive', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  try {
    const { tus, create, patch } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    expect((await patch(path, 0, Buffer.from('hello'))).status).toBe(204)
    await tus.close()
    expect(jest.getTimerCount()).toBe(0)
  } finally {
    jest.useRealTimers()
  }
})

test('a storage that can not be closed is an error of close', async () => {
  const error = new Error('disk on fire')
  const storage = overriding(new MemoryStorage(), { close: () => Promise.reject(error) })
  const tus = new TusServer({ storage, logger: quietLogger() })
  await expect(tus.close()).rejects.toBe(error)
})

test('an error that is thrown by onError does not keep the server from closing', async () => {
  const storage = overriding(new MemoryStorage(), { get: () => Promise.reject(new Error('no')) })
  const onError = (): never => {
    throw new Error('onError is broken, too')
  }
  const tus = new TusServer({ storage, logger: quietLogger(), onError })
  const answer = await tus.handleRequest('PATCH', '/files/abc', { ...VERSION, ...CHUNK, 'Upload-Offset': '0' })
  expect(answer.status).toBe(500)
  await tus.close()
})

test('a hook that never returns keeps no server from its end, in the background either', async () => {
  let now = 0
  const asked = deferred()
  const expiration = { unfinishedAfterMs: 1000, sweepEveryMs: 5 }
  const { tus, create, closed } = startKept({
    now: () => now,
    expiration,
    onUploadTerminate: () => {
      asked.resolve()
      return new Promise(() => {})
    },
  })
  await create({ 'Upload-Length': '5' })
  now = 2000
  await asked.promise
  await tus.close({ timeoutMs: 0 })
  expect(closed).toHaveBeenCalledTimes(1)
})
