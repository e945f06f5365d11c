// What requests for a complete upload may do: none of them keeps what follows (hooks, assembly, downloads) waiting.
import { MemoryStorage, type Storage, TusError, type TusServerOptions } from '../../src/index.js'
import { deferred, idle, idOf, overriding, Source, startServer } from './support.js'

const PARTIAL = { 'Upload-Concat': 'partial' }

/** A server that counts the claims of its storage, by upload. */
function counting(options: Partial<TusServerOptions> = {}) {
  const claimed: string[] = []
  const inner: Storage = options.storage ?? new MemoryStorage()
  const storage = overriding(inner, {
    claim: async (id, request) => {
      const result = await inner.claim?.(id, request)
      if (result !== undefined && 'fence' in result) claimed.push(id)
      return result
    },
  })
  const server = startServer({ ...options, storage })
  return {
    ...server,
    claimed,
    finished: async (headers = {}): Promise<string> => {
      const path = await server.create({ 'Upload-Length': '3', ...headers })
      await server.patch(path, 0, Buffer.from('abc'))
      claimed.length = 0
      return path
    },
  }
}

/** A body of unstated length, as chunked requests have. */
async function* chunks(...bytes: string[]): AsyncGenerator<Uint8Array> {
  for (const each of bytes) yield Buffer.from(each)
}

const EMPTY_SHA1 = 'sha1 2jmj7l5rSw0yVb/vlWAYkK/YBwk='

it('no PATCH claims it, and each is answered as the protocol says', async () => {
  const { finished, patch, claimed, handle } = counting()
  const path = await finished()
  expect(await patch(path, 3)).toMatchObject({ status: 204, headers: { 'Upload-Offset': '3' } })
  expect((await patch(path, 3, chunks())).status).toBe(204)
  expect((await patch(path, 3, chunks(), { 'Upload-Checksum': EMPTY_SHA1 })).status).toBe(204)
  expect((await patch(path, 3, chunks(), { 'Upload-Checksum': 'sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA=' })).status).toBe(460)
  expect((await patch(path, 3, undefined, { 'Upload-Length': '3' })).status).toBe(204)
  expect((await patch(path, 3, undefined, { 'Upload-Length': '4' })).status).toBe(400)
  expect((await patch(path, 2, Buffer.from('c'))).status).toBe(409)
  expect((await patch(path, 4, Buffer.from('c'))).status).toBe(409)
  expect((await patch(path, 3, Buffer.from('d'), { 'Content-Length': '1' })).status).toBe(413)
  expect(await patch(path, 3, chunks('d'))).toMatchObject({ status: 413, headers: { 'Upload-Offset': '3' } })
  expect((await handle('HEAD', path)).status).toBe(200)
  expect(claimed).toEqual([])
})

it('PATCHes whose bodies never come keep the background from nothing', async () => {
  const ran = deferred()
  const gate = deferred()
  const { create, patch, handle, storage } = counting({
    completion: 'background',
    onUploadComplete: () => ran.resolve(),
    // The claim is held until this is answered, and the others wait for it.
    onChunkReceived: () => gate.promise,
  })
  const path = await create({ 'Upload-Length': '3' })
  const last = patch(path, 0, Buffer.from('abc'))
  await idle()
  const bodies = Array.from({ length: 5 }, () => new Source())
  const holding = bodies.map((body) => patch(path, 3, body))
  await idle()
  gate.resolve()
  expect((await last).status).toBe(204)
  await Promise.all(bodies.map((body) => body.hungry()))
  expect((await storage.get(idOf(path)))?.holder).toBeUndefined()
  await ran.promise
  await idle()
  expect((await storage.get(idOf(path)))?.completion?.settled).toBe(true)
  expect((await handle('DELETE', path)).status).toBe(204)
  for (const body of bodies) body.end()
  expect((await Promise.all(holding)).map(({ status }) => status)).toEqual([204, 204, 204, 204, 204])
})

it('nor do they keep final uploads from a complete partial one', async () => {
  const { finished, patch, handle, stored } = counting()
  const partial = await finished(PARTIAL)
  const body = new Source()
  const holding = patch(partial, 3, body)
  await body.hungry()
  const { status, headers } = await handle('POST', '/files', { 'Upload-Concat': `final;${partial}` })
  expect(status).toBe(201)
  const final = String(headers.Location)
  expect((await handle('HEAD', final)).headers['Upload-Offset']).toBe('3')
  expect(String(await stored(final))).toBe('abc')
  body.end()
  expect((await holding).status).toBe(204)
})

it('a PATCH at the end that stalls is cut like any other', async () => {
  const { finished, patch } = counting({ stallTimeoutMs: 20 })
  const path = await finished()
  expect((await patch(path, 3, new Source())).status).toBe(408)
})

it('DELETEs that are refused keep the background from nothing', async () => {
  const [asked, gate, ran] = [deferred(), deferred(), deferred()]
  const { create, patch, handle, storage } = counting({
    completion: 'background',
    onUploadComplete: () => ran.resolve(),
    onBeforeTerminate: async () => {
      asked.resolve()
      await gate.promise
      throw new TusError('ERR_FORBIDDEN')
    },
  })
  const path = await create({ 'Upload-Length': '3' })
  const removal = handle('DELETE', path)
  await asked.promise
  expect((await patch(path, 0, Buffer.from('abc'))).status).toBe(204)
  await ran.promise
  gate.resolve()
  expect((await removal).status).toBe(403)
  expect(await storage.get(idOf(path))).toMatchObject({ complete: true })
})

describe('GET between the last chunk and the verdict of onChunkReceived', () => {
  it.each(['refuses', 'accepts'])('is not served: the hook %s', async (verdict) => {
    const [asked, gate] = [deferred(), deferred()]
    const { create, patch, handle } = startServer({
      downloads: true,
      onChunkReceived: async () => {
        asked.resolve()
        await gate.promise
        if (verdict === 'refuses') throw new TusError('ERR_UNPROCESSABLE')
      },
    })
    const path = await create({ 'Upload-Length': '3' })
    const answer = patch(path, 0, Buffer.from('abc'))
    await asked.promise
    for (const headers of [{}, { Range: 'bytes=0-1' }, { 'If-None-Match': '*' }]) {
      expect(await handle('GET', path, headers)).toMatchObject({ status: 423, headers: { 'Retry-After': '1' } })
    }
    const head = handle('HEAD', path)
    gate.resolve()
    const refused = verdict === 'refuses'
    expect((await answer).status).toBe(refused ? 422 : 204)
    expect((await head).status).toBe(refused ? 404 : 200)
    expect((await handle('GET', path)).status).toBe(refused ? 404 : 200)
  })

  it('is not served by another process either, as long as the claim lasts', async () => {
    const clock = { ms: 1_000_000 }
    const now = (): number => clock.ms
    const storage = new MemoryStorage({ now })
    const [asked, gate] = [deferred(), deferred()]
    const shared = overriding(storage, { close: async () => {} })
    const one = startServer({
      storage: shared,
      now,
      onChunkReceived: () => {
        asked.resolve()
        return gate.promise
      },
    })
    const other = startServer({ storage: shared, now, downloads: true })
    const path = await one.create({ 'Upload-Length': '3' })
    const answer = one.patch(path, 0, Buffer.from('abc'))
    await asked.promise
    expect((await other.handle('GET', path)).status).toBe(423)
    gate.resolve()
    await answer
    expect((await other.handle('GET', path)).status).toBe(200)
  })

  it('once the hook of finished uploads has seen the file, a request that holds it does not matter', async () => {
    const { create, patch, handle, storage } = startServer({ downloads: true, onUploadComplete: () => {} })
    const path = await create({ 'Upload-Length': '3' })
    await patch(path, 0, Buffer.from('abc'))
    await storage.claim?.(idOf(path), { owner: 'another', ttlMs: 5_000 })
    expect((await handle('GET', path)).status).toBe(200)
  })
})
