// The hook of completed uploads: delivered at least once, by one at a time, until it succeeds.
import { MemoryStorage, type Storage, TusError, type TusServerOptions } from '../../src/index.js'
import { deferred, hookedStorage, idle, idOf, overriding, startServer } from './support.js'

type OnUploadComplete = NonNullable<TusServerOptions['onUploadComplete']>

/** A server whose storage's clock only the test moves. */
function withHook(onUploadComplete: OnUploadComplete, options: Partial<TusServerOptions> = {}) {
  const clock = { ms: 1_000_000 }
  const now = (): number => clock.ms
  const storage: Storage = options.storage ?? new MemoryStorage({ now })
  const server = startServer({ now, storage, onUploadComplete, claimWaitMs: 10, ...options })
  return {
    ...server,
    clock,
    storage,
    /** An upload of which the last byte is missing. */
    async nearly(): Promise<string> {
      const path = await server.create({ 'Upload-Length': '3' })
      await server.patch(path, 0, Buffer.from('ab'))
      return path
    },
    finish: (path: string, context?: unknown) => server.patch(path, 2, Buffer.from('c'), {}, { context }),
  }
}

it('gets the upload, its path, the number of the try and the request, and is awaited', async () => {
  const gate = deferred()
  const seen: unknown[] = []
  const { nearly, finish } = withHook(
    async ({ upload, path, attempt, request }) => {
      seen.push([upload.id, upload.offset, upload.complete, path, attempt, request?.context])
      await gate.promise
    },
    { storage: overriding(new MemoryStorage(), { pathOf: ({ name }) => `/up/${name}` }) },
  )
  const path = await nearly()
  const answer = finish(path, 'the request')
  await idle()
  expect(seen).toEqual([[idOf(path), 3, true, `/up/${idOf(path)}`, 1, 'the request']])
  gate.resolve()
  expect((await answer).status).toBe(204)
})

it('sets status, headers and body of the finishing answer, which a client that lost it gets again', async () => {
  const { nearly, finish, patch, handle } = withHook(() => ({
    status: 200,
    headers: { 'Content-Type': 'application/json', 'X-Url': '/a' },
    body: '{"ä":1}',
  }))
  const path = await nearly()
  const again = async () => patch(path, 3)
  for (const answer of [await finish(path), await again()]) {
    expect(answer).toMatchObject({ status: 200, headers: { 'X-Url': '/a', 'Upload-Offset': '3' } })
    expect(String(answer.body)).toBe('{"ä":1}')
  }
  expect(await handle('HEAD', path)).toMatchObject({ status: 200, headers: { 'X-Url': '/a', 'Upload-Offset': '3' } })
})

it('HEAD is not to be cached, whatever the hook says of its answer', async () => {
  const { nearly, finish, handle } = withHook(() => ({ headers: { 'Cache-Control': 'max-age=60' }, body: 'ok' }))
  const path = await nearly()
  expect((await finish(path)).headers['Cache-Control']).toBe('max-age=60')
  expect((await handle('HEAD', path)).headers['Cache-Control']).toBe('no-store')
})

it('runs for creation-with-upload and for empty uploads, whose answer stays 201', async () => {
  const { handle } = withHook(({ upload }) => ({
    status: 200,
    headers: { 'X-Length': `${upload.length}` },
    body: 'ok',
  }))
  const chunk = { 'Content-Type': 'application/offset+octet-stream' }
  const whole = await handle('POST', '/files', { ...chunk, 'Upload-Length': '3' }, Buffer.from('abc'))
  expect(whole).toMatchObject({ status: 201, headers: { 'X-Length': '3', 'Upload-Offset': '3' } })
  const empty = await handle('POST', '/files', { 'Upload-Length': '0' })
  expect(empty).toMatchObject({ status: 201, headers: { 'X-Length': '0' } })
  expect(empty.headers.Location).toBeDefined()
})

it('while it is not settled, GET is answered by 423, and HEAD and a repeated PATCH after a wait', async () => {
  const gate = deferred()
  const { nearly, finish, handle, patch } = withHook(() => gate.promise.then(() => ({ body: 'done' })), {
    downloads: true,
    claimWaitMs: 10,
  })
  // Of unstated length, as chunked requests are.
  async function* nothing(): AsyncGenerator<Uint8Array> {}
  const path = await nearly()
  const answer = finish(path)
  await idle()
  const repeated = [await patch(path, 3), await patch(path, 3, nothing())]
  for (const early of [await handle('HEAD', path), await handle('GET', path), ...repeated]) {
    expect(early).toMatchObject({ status: 423, headers: { 'Retry-After': '1' } })
  }
  gate.resolve()
  expect((await answer).status).toBe(200)
  expect((await handle('HEAD', path)).headers).toMatchObject({ 'Upload-Offset': '3' })
  expect(String((await patch(path, 3, nothing())).body)).toBe('done')
  expect((await handle('GET', path)).status).toBe(200)
})

it('a failure is an error for the client, nothing is lost, and it is tried again, later each time', async () => {
  const attempts: Array<[number, unknown]> = []
  const { nearly, finish, handle, clock, tus, logger, stored } = withHook(({ attempt, request }) => {
    attempts.push([attempt, request?.method])
    if (attempt < 4) throw new Error('database at /srv/secret is down')
  })
  const path = await nearly()
  const answer = await finish(path)
  expect(answer.status).toBe(500)
  expect(String(answer.body)).not.toContain('secret')
  expect(logger.errors).toHaveLength(1)
  for (const backoffMs of [1000, 2000, 4000]) {
    expect((await handle('HEAD', path)).status).toBe(423)
    clock.ms += backoffMs - 1
    await tus.cleanUp()
    const before = attempts.length
    clock.ms += 1
    await tus.cleanUp()
    expect(attempts).toHaveLength(before + 1)
  }
  expect(attempts).toEqual([
    [1, 'PATCH'],
    [2, undefined],
    [3, undefined],
    [4, undefined],
  ])
  expect((await handle('HEAD', path)).status).toBe(200)
  expect(String(await stored(path))).toBe('abc')
})

it('a process that dies in it leaves it to the next one', async () => {
  const clock = { ms: 1_000_000 }
  const storage = new MemoryStorage({ now: () => clock.ms })
  // Nothing is released or settled by the dead.
  const dead = overriding(storage, { settleCompletion: () => new Promise(() => {}), close: async () => {} })
  const never = withHook(() => new Promise(() => {}), { storage: dead, now: () => clock.ms })
  const path = await never.nearly()
  void never.finish(path)
  await idle()
  const attempts: number[] = []
  const next = withHook(({ attempt }) => void attempts.push(attempt), { storage, now: () => clock.ms })
  await next.tus.cleanUp()
  expect(attempts).toEqual([])
  expect((await next.handle('HEAD', path)).status).toBe(423)
  clock.ms += 10_001
  await next.tus.cleanUp()
  expect(attempts).toEqual([2])
  expect((await next.handle('HEAD', path)).status).toBe(200)
})

it('a TusError is a verdict: the upload is removed, and its status stands from then on', async () => {
  const terminated: string[] = []
  const { nearly, finish, handle, patch, storage, logger } = withHook(
    () => {
      throw new TusError('ERR_UNPROCESSABLE', { message: 'a virus' })
    },
    { onUploadTerminate: ({ upload }) => void terminated.push(upload.id) },
  )
  const path = await nearly()
  const answer = await finish(path)
  expect(answer.status).toBe(422)
  expect(String(answer.body)).toBe('a virus\n')
  expect(await storage.get(idOf(path))).toBeUndefined()
  expect(terminated).toEqual([idOf(path)])
  for (const late of [await handle('HEAD', path), await patch(path, 3), await handle('DELETE', path)]) {
    expect(late.status).toBe(422)
  }
  expect(logger.errors).toEqual([])
})

it('a verdict may have any status', async () => {
  const { nearly, finish, handle } = withHook(() => {
    throw new TusError('ERR_REJECTED', { status: 451 })
  })
  const path = await nearly()
  expect((await finish(path)).status).toBe(451)
  expect((await handle('HEAD', path)).status).toBe(451)
})

it('in the background the answer comes at once, and nobody waits', async () => {
  const gate = deferred()
  const seen: unknown[] = []
  const { nearly, finish, handle, tus } = withHook(
    async ({ attempt, request }) => {
      seen.push([attempt, request])
      await gate.promise
    },
    { completion: 'background' },
  )
  const path = await nearly()
  expect((await finish(path)).status).toBe(204)
  expect((await handle('HEAD', path)).status).toBe(200)
  const cleaned = tus.cleanUp()
  await idle()
  expect(seen).toEqual([[1, undefined]])
  expect((await handle('DELETE', path)).status).toBe(423)
  gate.resolve()
  await cleaned
  expect((await handle('DELETE', path)).status).toBe(204)
})

it('an upload is not removed under the hook’s hands, but between two tries', async () => {
  const gate = deferred()
  const { nearly, finish, handle } = withHook(async () => {
    await gate.promise
    throw new Error('not yet')
  })
  const path = await nearly()
  const answer = finish(path)
  await idle()
  expect((await handle('DELETE', path)).status).toBe(423)
  gate.resolve()
  await answer
  expect((await handle('DELETE', path)).status).toBe(204)
})

it.each([
  ['a status of no success', { status: 404 }],
  ['a header of the protocol', { headers: { 'Upload-Offset': '0' } }],
  ['a header that is none', { headers: { 'X-A': 'a\r\nSet-Cookie: x' } }],
  ['a body that is no string', { body: 7 as unknown as string }],
])('%s is a mistake of the hook: an error, and no answer', async (_title, result) => {
  const { nearly, finish, handle, logger } = withHook(() => result)
  const path = await nearly()
  expect((await finish(path)).status).toBe(500)
  expect((await handle('HEAD', path)).status).toBe(423)
  expect(String(logger.errors[0])).toContain('onUploadComplete')
})

it('closing waits for it, as long as it may', async () => {
  const gate = deferred()
  const { nearly, finish, tus, storage } = withHook(() => gate.promise, { completion: 'background' })
  const path = await nearly()
  await finish(path)
  await new Promise((resolve) => setTimeout(resolve, 20))
  const closed = tus.close({ timeoutMs: 5000 })
  gate.resolve()
  await closed
  expect(await storage.get(idOf(path))).toBeUndefined()
})

it('needs a storage that remembers, and says so', () => {
  const storage = overriding(new MemoryStorage(), { takeCompletion: undefined as never })
  expect(() => startServer({ storage, onUploadComplete: () => {} })).toThrow('onUploadComplete needs a storage')
  expect(() => startServer({ completion: 'later' as 'await' })).toThrow(TypeError)
})

it('nobody runs it before the commit that completed the upload is on the disk, however long that takes', async () => {
  const clock = { ms: 1_000_000 }
  const [committed, gate] = [deferred(), deferred()]
  const storage = hookedStorage(
    {
      async commit({ complete }, doCommit) {
        const result = await doCommit()
        if (!complete) return result
        committed.resolve()
        await gate.promise
        return result
      },
    },
    new MemoryStorage({ now: () => clock.ms }),
  )
  const seen: unknown[] = []
  const { nearly, finish, tus } = withHook(
    ({ attempt, request }) => void seen.push([attempt, request?.method]),
    // The claim is given back after the hook of the chunk, and so after the commit.
    { storage, now: () => clock.ms, completion: 'background', onChunkReceived: () => {} },
  )
  const path = await nearly()
  const answer = finish(path)
  await committed.promise
  clock.ms += 5_000
  await tus.cleanUp()
  expect(seen).toEqual([])
  gate.resolve()
  expect((await answer).status).toBe(204)
  await tus.cleanUp()
  expect(seen).toEqual([[1, undefined]])
})

it('the hook does not begin with an upload that is being removed, however long that takes', async () => {
  const [begun, gate] = [deferred(), deferred()]
  const hook = jest.fn()
  const memory = new MemoryStorage()
  const storage = overriding(memory, {
    remove: async (id, fence, options) => {
      begun.resolve()
      await gate.promise
      return memory.remove(id, fence, options)
    },
  })
  const { nearly, finish, handle, tus } = withHook(hook, { completion: 'background', storage })
  const path = await nearly()
  await finish(path)
  const removed = handle('DELETE', path)
  await begun.promise
  await tus.cleanUp()
  expect(hook).not.toHaveBeenCalled()
  gate.resolve()
  expect((await removed).status).toBe(204)
})

it('in the background one that takes hours holds up no other', async () => {
  const done: string[] = []
  const others = deferred()
  const { nearly, finish, storage } = withHook(
    async ({ upload }) => {
      if (upload.id === idOf(slow)) return new Promise(() => {})
      done.push(upload.id)
      if (done.length === 9) others.resolve()
    },
    { completion: 'background' },
  )
  const slow = await nearly()
  await finish(slow)
  while ((await storage.get(idOf(slow)))?.completion?.worker === undefined) await idle(1)
  const paths = []
  for (let index = 0; index < 9; index++) {
    const path = await nearly()
    paths.push(idOf(path))
    await finish(path)
  }
  await others.promise
  expect(done.sort()).toEqual(paths.sort())
})

it('a server without the hook leaves it to those that have one', async () => {
  const clock = { ms: 1_000_000 }
  const now = (): number => clock.ms
  const storage = new MemoryStorage({ now })
  const shared = overriding(storage, { close: async () => {} })
  const attempts: string[] = []
  let fails = true
  const app = withHook(
    ({ upload, attempt }) => {
      attempts.push(`${upload.concat === undefined ? 'upload' : 'final'} ${attempt}`)
      if (fails) throw new Error('not yet')
    },
    { storage: shared, now },
  )
  const path = await app.nearly()
  await app.finish(path)
  const partial = await app.create({ 'Upload-Length': '0', 'Upload-Concat': 'partial' })
  const created = await app.handle('POST', '/files', { 'Upload-Concat': `final;${partial}` })
  expect(created.status).toBe(500)

  const job = startServer({ storage: shared, now })
  const alone = await job.create({ 'Upload-Length': '0', 'Upload-Concat': 'partial' })
  const its = String((await job.handle('POST', '/files', { 'Upload-Concat': `final;${alone}` })).headers.Location)
  clock.ms += 1000
  await job.tus.cleanUp()
  expect((await storage.get(idOf(its)))?.completion?.settled).toBe(true)
  expect((await storage.get(idOf(path)))?.completion?.settled).toBe(false)

  fails = false
  await app.tus.cleanUp()
  expect(attempts.sort()).toEqual(['final 1', 'final 2', 'upload 1', 'upload 2'])
  expect((await app.handle('HEAD', path)).status).toBe(200)
})

it('a verdict that comes after its try has run out removes nothing', async () => {
  const gate = deferred()
  const { nearly, finish, clock, handle, storage } = withHook(async ({ attempt }) => {
    if (attempt > 1) return
    await gate.promise
    throw new TusError('ERR_UNPROCESSABLE')
  })
  const path = await nearly()
  const late = finish(path)
  await idle()
  // Somebody else, to whom this process looks dead.
  clock.ms += 10_001
  const next = startServer({
    storage: overriding(storage, { close: async () => {} }),
    now: () => clock.ms,
    onUploadComplete: () => ({ body: 'fine' }),
  })
  await next.tus.cleanUp()
  gate.resolve()
  expect((await late).status).toBe(423)
  expect(await handle('HEAD', path)).toMatchObject({ status: 200, headers: { 'Upload-Offset': '3' } })
  expect(String((await next.patch(path, 3)).body)).toBe('fine')
})

it('in the background a failure is tried again when it is time, whatever is finished meanwhile', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  try {
    const attempts: number[] = []
    const { nearly, finish } = withHook(
      ({ upload, attempt }) => {
        if (upload.id !== bad) return
        attempts.push(attempt)
        if (attempt < 3) throw new Error('not yet')
      },
      { completion: 'background', storage: new MemoryStorage(), now: Date.now },
    )
    const [path, other] = [await nearly(), await nearly()]
    const bad = idOf(path)
    await finish(path)
    await jest.advanceTimersByTimeAsync(1)
    await finish(other)
    await jest.advanceTimersByTimeAsync(500)
    expect(attempts).toEqual([1])
    await jest.advanceTimersByTimeAsync(500)
    expect(attempts).toEqual([1, 2])
    await jest.advanceTimersByTimeAsync(2001)
    expect(attempts).toEqual([1, 2, 3])
  } finally {
    jest.useRealTimers()
  }
})

it('one whose lease has run out keeps no upload from being removed', async () => {
  const storage = new MemoryStorage({ now: () => clock.ms })
  const clock = { ms: 1_000_000 }
  const dead = overriding(storage, { renewCompletion: () => false, settleCompletion: () => new Promise(() => {}) })
  const { nearly, finish, handle } = withHook(() => new Promise(() => {}), { storage: dead, now: () => clock.ms })
  const path = await nearly()
  void finish(path)
  await idle()
  expect((await handle('DELETE', path)).status).toBe(423)
  clock.ms += 10_001
  expect((await handle('DELETE', path)).status).toBe(204)
})

it('a verdict that the client is told of stands after a power loss, too', async () => {
  const storage = new MemoryStorage()
  const removed: unknown[] = []
  const { nearly, finish } = withHook(
    () => {
      throw new TusError('ERR_UNPROCESSABLE')
    },
    {
      storage: overriding(storage, {
        remove: (id, fence, options) => {
          removed.push([options?.tombstone?.status, options?.durable])
          return storage.remove(id, fence, options)
        },
      }),
    },
  )
  await finish(await nearly())
  expect(removed).toEqual([[422, true]])
})

it('for a final upload it does not run where somebody else has taken over while its file was made', async () => {
  const hook = jest.fn()
  const storage = overriding(new MemoryStorage(), { flatten: () => false })
  const { create, handle } = startServer({ storage, onUploadComplete: hook })
  const partial = await create({ 'Upload-Length': '0', 'Upload-Concat': 'partial' })
  const answer = await handle('POST', '/files', { 'Upload-Concat': `final;${partial}` })
  expect(answer).toMatchObject({ status: 423, headers: { Location: expect.any(String), 'Retry-After': '1' } })
  expect(hook).not.toHaveBeenCalled()
})
