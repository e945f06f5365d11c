// The queues of background completions: nothing that hangs, fails or is large keeps the others waiting.
import { MemoryStorage, type Storage, type TusServerOptions } from '../../src/index.js'
import { deferred, idOf, overriding, startServer } from './support.js'

const MIB = 1024 * 1024

/** A server with background hooks, whose storage's clock only the test moves. */
function inBackground(
  options: Partial<TusServerOptions> = {},
  wrap: (storage: Storage) => Partial<Storage> = () => ({}),
) {
  const clock = { ms: 1_000_000 }
  const now = (): number => clock.ms
  const inner: Storage = new MemoryStorage({ now })
  const storage = overriding(inner, wrap(inner))
  const server = startServer({ now, completion: 'background', ...options, storage })
  const { create, patch, handle } = server
  return {
    ...server,
    clock,
    inner,
    finished: async (): Promise<string> => {
      const path = await create({ 'Upload-Length': '3' })
      await patch(path, 0, Buffer.from('abc'))
      return idOf(path)
    },
    final: async (size: number): Promise<string> => {
      const partial = await create({ 'Upload-Length': String(size), 'Upload-Concat': 'partial' })
      await patch(partial, 0, Buffer.alloc(size))
      const { headers } = await handle('POST', '/files', { 'Upload-Concat': `final;${partial}` })
      return idOf(String(headers.Location))
    },
  }
}

/** Settles when a condition holds; the test's own limit of time is the end. */
async function until(holds: () => unknown): Promise<void> {
  while (!(await holds())) await new Promise(setImmediate)
}

it('hooks that hang keep no other one waiting, up to completionConcurrency', async () => {
  const ran: string[] = []
  const { finished } = inBackground({
    completionConcurrency: 3,
    onUploadComplete: ({ upload }) => {
      ran.push(upload.id)
      return hanging.has(upload.id) ? new Promise(() => {}) : undefined
    },
  })
  const hanging = new Set<string>()
  for (let count = 1; count <= 2; count++) {
    hanging.add(await finished())
    await until(() => ran.length === count)
  }
  const good = [await finished(), await finished(), await finished()]
  await until(() => ran.length === 5)
  expect(ran.slice(2).sort()).toEqual(good.sort())
})

it('no more of them run at the same time, and each that ends makes room for the next', async () => {
  const gates = new Map<string, ReturnType<typeof deferred<undefined>>>()
  let [running, most] = [0, 0]
  const { finished } = inBackground({
    completionConcurrency: 2,
    onUploadComplete: async ({ upload }) => {
      most = Math.max(most, ++running)
      const gate = deferred<undefined>()
      gates.set(upload.id, gate)
      await gate.promise
      running--
    },
  })
  for (let count = 0; count < 5; count++) await finished()
  for (let count = 0; count < 5; count++) {
    await until(() => gates.size > 0)
    for (const [id, gate] of gates) {
      gates.delete(id)
      gate.resolve(undefined)
      break
    }
  }
  await until(() => running === 0)
  expect(most).toBe(2)
})

it('one whose file can not be made is a failed try with its own backoff, and never stops the search for others', async () => {
  const bad = new Set<string>()
  const tries: string[] = []
  const site = inBackground({ onUploadComplete: ({ upload }) => void tries.push(upload.id) }, (inner) => ({
    flatten: (id, attempt, durable) => {
      if (!bad.has(id)) return inner.flatten?.(id, attempt, durable) ?? true
      tries.push(`bad ${attempt}`)
      throw new Error('EISDIR: a folder is in the way')
    },
  }))
  const { finished, clock, tus, storage, handle, create, patch } = site
  // Nothing is looked for before they are known to be bad.
  const paths: string[] = []
  for (let index = 0; index < 30; index++) {
    const path = await create({ 'Upload-Length': '3' })
    bad.add(idOf(path))
    paths.push(path)
  }
  await Promise.all(paths.map((path) => patch(path, 0, Buffer.from('abc'))))
  await tus.cleanUp()
  expect(tries).toEqual(Array(30).fill('bad 1'))
  const good = await finished()
  await until(() => tries.includes(good))
  expect(tries).toHaveLength(31)
  const { completion } = (await storage.get([...bad][0] as string)) ?? {}
  expect(completion).toMatchObject({ step: 'hook', worker: undefined, dueAtMs: clock.ms + 1000 })
  clock.ms += 1000
  await tus.cleanUp()
  expect(tries.slice(31)).toEqual(Array(30).fill('bad 2'))
  expect((await storage.get([...bad][0] as string))?.completion?.dueAtMs).toBe(clock.ms + 2000)
  expect((await handle('HEAD', paths[0] as string)).status).toBe(200)
})

it('one that can not even be taken is passed over for a while', async () => {
  const bad = new Set<string>()
  const [takes, ran]: [string[], string[]] = [[], []]
  const { finished, tus, logger } = inBackground(
    { completionConcurrency: 1, onUploadComplete: ({ upload }) => void ran.push(upload.id) },
    (inner) => ({
      create: (upload) => {
        if (bad.size < 3) bad.add(upload.id)
        return inner.create(upload)
      },
      takeCompletion: (id, request) => {
        if (!bad.has(id)) return inner.takeCompletion?.(id, request)
        takes.push(id)
        throw new Error('a row that can not be read')
      },
    }),
  )
  for (let index = 0; index < 3; index++) await finished()
  const good = [await finished(), await finished()]
  await tus.cleanUp()
  expect(ran.sort()).toEqual(good.sort())
  expect(takes).toHaveLength(3)
  expect(logger.errors).toHaveLength(3)
})

it('hooks that hang keep no copy waiting, and what was copied is left to the hooks', async () => {
  const seen: string[] = []
  const { finished, final, storage } = inBackground({
    completionConcurrency: 1,
    onUploadComplete: ({ upload }) => {
      seen.push(upload.id)
      return new Promise(() => {})
    },
  })
  await finished()
  await until(() => seen.length === 1)
  const ids = [await final(3), await final(3), await final(3)]
  for (const id of ids) await until(async () => (await storage.get(id))?.completion?.step === 'hook')
  for (const id of ids) expect((await storage.get(id))?.completion).toMatchObject({ worker: undefined, settled: false })
  expect(seen).toHaveLength(1)
})

it('copies that take long keep neither hooks nor small copies waiting', async () => {
  const copying = new Set<string>()
  const done: string[] = []
  const { finished, final, storage } = inBackground(
    { onUploadComplete: ({ upload }) => void done.push(upload.id) },
    (inner) => ({
      flatten: async (id, attempt, durable) => {
        if (((await inner.get(id))?.offset ?? 0) < 9 * MIB) return inner.flatten?.(id, attempt, durable) ?? true
        copying.add(id)
        return new Promise<boolean>(() => {})
      },
    }),
  )
  for (let index = 0; index < 4; index++) await final(9 * MIB)
  await until(() => copying.size === 2)
  const small = await final(3)
  const plain = await finished()
  await until(() => done.length === 2)
  expect(done.sort()).toEqual([small, plain].sort())
  expect((await storage.get(small))?.completion?.settled).toBe(true)
  expect(copying.size).toBe(2)
})

it('a server without the hook copies, and leaves the hook to those that have one', async () => {
  const clock = { ms: 1_000_000 }
  const now = (): number => clock.ms
  const storage = new MemoryStorage({ now })
  const shared = overriding(storage, { close: async () => {} })
  const seen: string[] = []
  let fails = true
  const app = startServer({
    storage: shared,
    now,
    completion: 'background',
    onUploadComplete: ({ upload }) => void seen.push(upload.id),
  })
  const failing = overriding(shared, {
    flatten: (id, attempt, durable) => {
      if (fails) throw new Error('no space')
      return storage.flatten(id, attempt, durable)
    },
  })
  const partial = await app.create({ 'Upload-Length': '0', 'Upload-Concat': 'partial' })
  await app.tus.close()
  const maker = startServer({ storage: failing, now, completion: 'background', onUploadComplete: () => {} })
  const { headers } = await maker.handle('POST', '/files', { 'Upload-Concat': `final;${partial}` })
  const id = idOf(String(headers.Location))
  await until(async () => (await storage.get(id))?.completion?.attempt === 1)
  await maker.tus.close()
  fails = false
  clock.ms += 10_000
  const job = startServer({ storage: shared, now })
  await job.tus.cleanUp()
  expect((await storage.get(id))?.completion).toMatchObject({ step: 'hook', settled: false, worker: undefined })
  const next = startServer({ storage: shared, now, onUploadComplete: ({ upload }) => void seen.push(upload.id) })
  await next.tus.cleanUp()
  expect(seen).toEqual([id])
  expect((await storage.get(id))?.completion?.settled).toBe(true)
})

it('due completions are looked for at the same pace after the clock was set back', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  const storage = new MemoryStorage()
  const looked = jest.spyOn(storage, 'dueCompletions')
  startServer({ storage, onUploadComplete: () => {} })
  await jest.advanceTimersByTimeAsync(5_001)
  jest.setSystemTime(Date.now() - 3_600_000)
  await jest.advanceTimersByTimeAsync(5_001)
  const before = looked.mock.calls.length
  await jest.advanceTimersByTimeAsync(10_002)
  expect(looked.mock.calls.length).toBeGreaterThan(before)
  jest.useRealTimers()
})

it('requests that come and go while a hook runs leave nothing that waits for it', async () => {
  const { storage, create, patch, handle } = startServer({ onUploadComplete: () => hook.promise })
  const hook = deferred<undefined>()
  const path = await create({ 'Upload-Length': '3' })
  const answer = patch(path, 0, Buffer.from('abc'))
  while ((await storage.get(idOf(path)))?.complete !== true) await new Promise(setImmediate)
  const then = jest.spyOn(Promise.prototype, 'then')
  const waited = new Map<unknown, number>()
  const aborted = { signal: AbortSignal.abort() }
  for (let request = 0; request < 20; request++) {
    expect((await handle('HEAD', path, {}, undefined, aborted)).status).toBe(423)
  }
  for (const promise of then.mock.contexts) waited.set(promise, (waited.get(promise) ?? 0) + 1)
  then.mockRestore()
  expect(Math.max(...waited.values())).toBeLessThan(20)
  hook.resolve(undefined)
  expect((await answer).status).toBe(204)
  expect((await handle('HEAD', path)).status).toBe(200)
})

describe('a hook that takes too long', () => {
  beforeEach(() => jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] }))
  afterEach(() => jest.useRealTimers())

  it('counts as failed after hookTimeoutMs, its signal is aborted, and it is tried again', async () => {
    const signals: AbortSignal[] = []
    const { create, patch, handle, logger } = startServer({
      storage: new MemoryStorage(),
      hookTimeoutMs: 60_000,
      onUploadComplete: ({ attempt, signal }) => {
        signals.push(signal)
        return attempt === 1 ? new Promise(() => {}) : { body: 'done' }
      },
    })
    const path = await create({ 'Upload-Length': '3' })
    const answer = patch(path, 0, Buffer.from('abc'))
    await jest.advanceTimersByTimeAsync(59_000)
    expect(signals[0]?.aborted).toBe(false)
    await jest.advanceTimersByTimeAsync(1_000)
    expect(await answer).toMatchObject({ status: 423, headers: { 'Retry-After': '1' } })
    expect(signals[0]?.aborted).toBe(true)
    expect(String(logger.errors)).toContain(`the upload ${idOf(path)} (attempt 1) has not returned within 60000 ms`)
    await jest.advanceTimersByTimeAsync(1_001)
    expect((await handle('HEAD', path)).status).toBe(200)
    expect(String((await patch(path, 3)).body)).toBe('done')
  })

  it('counts as failed as well where it returns a promise of another library, or of another realm', async () => {
    const signals: AbortSignal[] = []
    // biome-ignore lint/suspicious/noThenProperty: it is what such promises have
    const never = { then: () => {} }
    const { create, patch } = startServer({
      storage: new MemoryStorage(),
      hookTimeoutMs: 60_000,
      onUploadComplete: ({ signal }) => {
        signals.push(signal)
        return never as unknown as Promise<undefined>
      },
    })
    const answer = patch(await create({ 'Upload-Length': '3' }), 0, Buffer.from('abc'))
    await jest.advanceTimersByTimeAsync(60_000)
    expect(signals[0]?.aborted).toBe(true)
    expect((await answer).status).toBe(423)
  })

  it('makes room for others in the background', async () => {
    const seen: string[] = []
    const { create, patch } = startServer({
      storage: new MemoryStorage(),
      completion: 'background',
      completionConcurrency: 1,
      hookTimeoutMs: 60_000,
      onUploadComplete: ({ upload }) => {
        seen.push(upload.id)
        return seen.length === 1 ? new Promise(() => {}) : undefined
      },
    })
    const path = await create({ 'Upload-Length': '3' })
    await patch(path, 0, Buffer.from('abc'))
    await jest.advanceTimersByTimeAsync(1)
    const next = await create({ 'Upload-Length': '3' })
    await patch(next, 0, Buffer.from('abc'))
    await jest.advanceTimersByTimeAsync(59_000)
    expect(seen).toEqual([idOf(path)])
    await jest.advanceTimersByTimeAsync(1_001)
    expect(seen.slice(0, 2)).toEqual([idOf(path), idOf(next)])
  })

  it('is worth one warning for each try that runs for five minutes', async () => {
    const { create, patch, logger } = startServer({
      storage: new MemoryStorage(),
      completion: 'background',
      hookTimeoutMs: 0,
      onUploadComplete: () => new Promise(() => {}),
    })
    const path = await create({ 'Upload-Length': '3' })
    await patch(path, 0, Buffer.from('abc'))
    await jest.advanceTimersByTimeAsync(299_000)
    expect(logger.warnings).toEqual([])
    await jest.advanceTimersByTimeAsync(3_600_000)
    expect(logger.warnings).toEqual([
      `onUploadComplete for the upload ${idOf(path)} (attempt 1) has been running for 5 minutes`,
    ])
  })
})

it.each([
  ['completionConcurrency', 0],
  ['completionConcurrency', 1.5],
  ['hookTimeoutMs', -1],
  ['hookTimeoutMs', '5'],
])('%s can not be %p', (name, value) => {
  expect(() => startServer({ [name]: value })).toThrow(`TusServer: ${name} must be an integer`)
})
