// Requests that wait for a completion: they join the try that runs, and make the one that is due.
import { MemoryStorage, TusError, type TusServerOptions } from '../../src/index.js'
import { type Deferred, deferred, idle, idOf, overriding, startServer } from './support.js'

type Hook = NonNullable<TusServerOptions['onUploadComplete']>

/** A server whose first try of the hook fails, so that a second one is due a second later. */
async function failedOnce(onUploadComplete: Hook, options: Partial<TusServerOptions> = {}) {
  const clock = { ms: 1_000_000 }
  const now = (): number => clock.ms
  const attempts: number[] = []
  const server = startServer({
    now,
    storage: new MemoryStorage({ now }),
    onUploadComplete: (event) => {
      attempts.push(event.attempt)
      if (event.attempt === 1) throw new Error('not yet')
      return onUploadComplete(event)
    },
    ...options,
  })
  const path = await server.create({ 'Upload-Length': '3' })
  expect((await server.patch(path, 0, Buffer.from('abc'))).status).toBe(500)
  return { ...server, clock, path, attempts, head: (rest = {}) => server.handle('HEAD', path, {}, undefined, rest) }
}

it('HEAD runs a hook that is due, waits for it, and has its headers', async () => {
  const { head, clock, attempts } = await failedOnce(() => ({ headers: { 'X-Url': '/a' }, body: 'ok' }))
  clock.ms += 1000
  expect(await head()).toMatchObject({ status: 200, headers: { 'Upload-Offset': '3', 'X-Url': '/a' } })
  expect(attempts).toEqual([1, 2])
})

it('an empty PATCH at the end does the same, and has its body', async () => {
  const { patch, path, clock, attempts } = await failedOnce(() => ({ body: 'ok' }))
  clock.ms += 1000
  expect(String((await patch(path, 3)).body)).toBe('ok')
  expect(attempts).toEqual([1, 2])
})

it('HEAD does not wait for a try that is due later, and says when', async () => {
  const { head, attempts, patch, path } = await failedOnce(() => ({}), { claimWaitMs: 60_000 })
  expect(await head()).toMatchObject({ status: 423, headers: { 'Retry-After': '1' } })
  expect((await patch(path, 3)).status).toBe(423)
  expect(attempts).toEqual([1])
})

it('any number of HEADs make one try, and all of them have its result', async () => {
  const gate = deferred<{ headers: { 'X-Url': string } }>()
  const { head, clock, attempts } = await failedOnce(() => gate.promise)
  clock.ms += 1000
  const answers = Array.from({ length: 50 }, () => head())
  await idle()
  expect(attempts).toEqual([1, 2])
  gate.resolve({ headers: { 'X-Url': '/a' } })
  for (const answer of await Promise.all(answers)) {
    expect(answer).toMatchObject({ status: 200, headers: { 'X-Url': '/a' } })
  }
})

it('HEAD joins the try of the request that completed the upload', async () => {
  const gate = deferred<{ body: string }>()
  const { create, patch, handle } = startServer({ onUploadComplete: () => gate.promise })
  const path = await create({ 'Upload-Length': '3' })
  const first = patch(path, 0, Buffer.from('abc'))
  await idle()
  const joined = [handle('HEAD', path), patch(path, 3)]
  await idle()
  gate.resolve({ body: 'done' })
  const [head, again] = await Promise.all(joined)
  expect((await first).status).toBe(200)
  expect(head).toMatchObject({ status: 200, headers: { 'Upload-Offset': '3' } })
  expect(String(again?.body)).toBe('done')
})

it('a failure is 423 for all who wait, and one error for the log', async () => {
  const { head, clock, logger } = await failedOnce(() => Promise.reject(new Error('still not')))
  clock.ms += 1000
  const answers = await Promise.all([head(), head()])
  expect(answers).toMatchObject([{ status: 423 }, { status: 423 }])
  expect(logger.errors.map(String)).toEqual(['Error: not yet', 'Error: still not'])
  expect(answers[0]?.headers['Retry-After']).toBe('2')
})

it('who waits is told of a refusal by its status', async () => {
  const { head, clock } = await failedOnce(() => Promise.reject(new TusError('ERR_REJECTED', { status: 451 })))
  clock.ms += 1000
  expect((await Promise.all([head(), head()])).map(({ status }) => status)).toEqual([451, 451])
})

it('the wait ends with claimWaitMs, and the try goes on', async () => {
  const gate = deferred()
  const { head, clock, attempts } = await failedOnce(() => gate.promise, { claimWaitMs: 10 })
  clock.ms += 1000
  expect(await head()).toMatchObject({ status: 423, headers: { 'Retry-After': '1' } })
  gate.resolve()
  await idle()
  expect((await head()).status).toBe(200)
  expect(attempts).toEqual([1, 2])
})

it('a client that is gone waits no longer, and neither does one when the server closes', async () => {
  const gate = deferred()
  const { head, clock, tus } = await failedOnce(() => gate.promise, { claimWaitMs: 600_000 })
  clock.ms += 1000
  const gone = new AbortController()
  const waiting = head({ signal: gone.signal })
  const another = head()
  await idle()
  gone.abort()
  expect((await waiting).status).toBe(423)
  const closed = tus.close({ timeoutMs: 1 })
  expect((await another).status).toBe(423)
  gate.resolve()
  await closed
})

it('HEAD waits for the try of another process', async () => {
  const now = (): number => 1_000_000
  const storage = new MemoryStorage({ now })
  const shared = overriding(storage, { close: async () => {} })
  const gates: Deferred<{ headers: { 'X-By': string } }>[] = []
  const site = (by: string) =>
    startServer({
      storage: shared,
      now,
      onUploadComplete: () => {
        const gate = deferred<{ headers: { 'X-By': string } }>()
        gates.push(gate)
        return gate.promise.then(() => ({ headers: { 'X-By': by } }))
      },
    })
  const [one, other] = [site('one'), site('other')]
  const path = await one.create({ 'Upload-Length': '3' })
  const finished = one.patch(path, 0, Buffer.from('abc'))
  await idle()
  const head = other.handle('HEAD', path)
  await idle()
  gates[0]?.resolve({ headers: { 'X-By': '' } })
  expect((await finished).headers['X-By']).toBe('one')
  expect((await head).headers['X-By']).toBe('one')
  expect(gates).toHaveLength(1)
  expect((await storage.get(idOf(path)))?.completion?.settled).toBe(true)
})

it('in the background nobody waits', async () => {
  const { create, patch, handle } = startServer({
    completion: 'background',
    onUploadComplete: () => new Promise(() => {}),
  })
  const path = await create({ 'Upload-Length': '3' })
  await patch(path, 0, Buffer.from('abc'))
  expect((await handle('HEAD', path)).status).toBe(200)
  expect((await patch(path, 3)).status).toBe(204)
})
