// isSettled: whether a file may be handed out by routes of the application's own.
import { isSettled, MemoryStorage, TusError, type TusServerOptions, type Upload } from '../../src/index.js'
import { CHUNK, deferred, idOf, startServer } from './support.js'

/** A server, and what its storage has of an upload. */
function start(options: Partial<TusServerOptions> = {}) {
  const storage = new MemoryStorage()
  const server = startServer({ ...options, storage })
  return { ...server, record: async (path: string) => storage.get(idOf(path)) }
}

function recordOf(changes: Partial<Upload>): Upload {
  const upload = {
    id: 'a',
    name: 'a',
    length: 1,
    offset: 1,
    metadata: undefined,
    createdAtMs: 0,
    activeAtMs: 0,
  }
  return { ...upload, complete: true, holder: undefined, ...changes }
}

it('an upload is settled once it is complete, where no hook has to see it', async () => {
  const { create, patch, record } = start()
  const path = await create({ 'Upload-Length': '10' })
  expect(isSettled(await record(path))).toBe(false)
  await patch(path, 0, Buffer.from('hello'))
  expect(isSettled(await record(path))).toBe(false)
  await patch(path, 5, Buffer.from('world'))
  expect(isSettled(await record(path))).toBe(true)
  expect(isSettled(await record('/files/unknown'))).toBe(false)
})

it.each(['await', 'background'] as const)('not before its hook has succeeded: %s', async (completion) => {
  const seen = deferred()
  const verdict = deferred()
  const { create, patch, record, tus } = start({
    completion,
    onUploadComplete: () => {
      seen.resolve()
      return verdict.promise
    },
  })
  const path = await create({ 'Upload-Length': '5' })
  const patching = patch(path, 0, Buffer.from('hello'))
  await seen.promise
  expect(await record(path)).toMatchObject({ complete: true })
  expect(isSettled(await record(path))).toBe(false)
  verdict.resolve()
  await patching
  await tus.cleanUp()
  expect(isSettled(await record(path))).toBe(true)
})

it.each([new Error('away'), new TusError('ERR_UNPROCESSABLE')])('nor after it has thrown: %s', async (thrown) => {
  const { create, patch, record } = start({ onUploadComplete: () => Promise.reject(thrown) })
  const path = await create({ 'Upload-Length': '5' })
  await patch(path, 0, Buffer.from('hello'))
  expect(isSettled(await record(path))).toBe(false)
})

it('nor before onChunkReceived has approved the last chunk', async () => {
  const approval = deferred()
  const seen = deferred()
  const { create, patch, record } = start({
    onChunkReceived: () => {
      seen.resolve()
      return approval.promise
    },
  })
  const path = await create({ 'Upload-Length': '5' })
  const patching = patch(path, 0, Buffer.from('hello'))
  await seen.promise
  expect(isSettled(await record(path))).toBe(false)
  approval.resolve()
  expect((await patching).status).toBe(204)
  expect(isSettled(await record(path))).toBe(true)
})

it('partial uploads never are, and final ones once they are one file', async () => {
  const { handle, record, tus } = start()
  const headers = { ...CHUNK, 'Upload-Length': '5', 'Upload-Concat': 'partial' }
  const partial = String((await handle('POST', '/files', headers, Buffer.from('hello'))).headers.Location)
  expect(isSettled(await record(partial))).toBe(false)
  const final = String((await handle('POST', '/files', { 'Upload-Concat': `final;${partial}` })).headers.Location)
  await tus.cleanUp()
  expect(isSettled(await record(final))).toBe(true)
})

it('goes by the record alone', () => {
  const result = {
    settled: true,
    step: 'hook' as const,
    attempt: 1,
    dueAtMs: undefined,
    worker: undefined,
    result: undefined,
  }
  const holder = { owner: 'x', leaseUntilMs: 1_000 }
  expect(isSettled(undefined)).toBe(false)
  expect(isSettled(recordOf({}))).toBe(true)
  expect(isSettled(recordOf({ complete: false }))).toBe(false)
  expect(isSettled(recordOf({ published: false }))).toBe(false)
  expect(isSettled(recordOf({ published: true }))).toBe(true)
  expect(isSettled(recordOf({ completion: { ...result, settled: false } }))).toBe(false)
  expect(isSettled(recordOf({ completion: result, holder }), 0)).toBe(true)
  expect(isSettled(recordOf({ holder }), 999)).toBe(false)
  // The process that had it was killed.
  expect(isSettled(recordOf({ holder }), 1_000)).toBe(true)
})
