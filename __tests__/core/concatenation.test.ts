// Uploads made of others: what the protocol leaves to the server, and what is around it.
import {
  type HookUpload,
  MAX_WAITING_FINALS,
  MemoryStorage,
  type Storage,
  TusError,
  type TusServerOptions,
} from '../../src/index.js'
import { type Deferred, deferred, idOf, overriding, startServer } from './support.js'

const PARTIAL = { 'Upload-Concat': 'partial' }

function withPartials(options: Partial<TusServerOptions> = {}) {
  const server = startServer(options)
  const { handle, create, patch } = server
  return {
    ...server,
    /** A partial upload, finished if it has bytes. */
    async partial(content?: string): Promise<string> {
      const length = content === undefined ? { 'Upload-Defer-Length': '1' } : { 'Upload-Length': `${content.length}` }
      const path = await create({ ...PARTIAL, ...length })
      if (content) expect((await patch(path, 0, Buffer.from(content))).status).toBe(204)
      return path
    },
    final: (paths: readonly string[], headers: Record<string, string> = {}, context?: unknown) =>
      handle('POST', '/files', { 'Upload-Concat': `final;${paths.join(' ')}`, ...headers }, undefined, { context }),
  }
}

/** A storage whose removals begin, under a claim, and go on when they are let. */
function slowRemoval(storage: MemoryStorage, begun: Deferred<void>, gate: Deferred<void>): Storage {
  return overriding(storage, {
    remove: async (id, fence, options) => {
      begun.resolve()
      await gate.promise
      return storage.remove(id, fence, options)
    },
  })
}

it('URLs of partial uploads are understood as this server and any proxy in front of it write them', async () => {
  const { partial, final, stored } = withPartials()
  const id = idOf(await partial('abc'))
  for (const url of [
    id,
    `./${id}`,
    `/files/${id}`,
    `/tenants/7/up/${id}/`,
    `https://cdn.example:8443/up/${id}`,
    `//cdn.example/${id}?token=1#x`,
  ]) {
    const answer = await final([url])
    expect([url, answer.status]).toEqual([url, 201])
    expect(String(await stored(String(answer.headers.Location)))).toBe('abc')
  }
})

it('a final upload is readable at once, and its partial uploads are removed once it has a file of its own', async () => {
  const terminated: string[] = []
  const { partial, final, stored, tus, handle } = withPartials({
    onUploadTerminate: ({ upload, request }) => void terminated.push(`${upload.id} ${request?.method}`),
  })
  const paths = [await partial('one,'), await partial('two')]
  const path = String((await final(paths)).headers.Location)
  expect(String(await stored(path))).toBe('one,two')
  await tus.cleanUp()
  expect(String(await stored(path))).toBe('one,two')
  for (const partial of paths) expect((await handle('HEAD', partial)).status).toBe(404)
  expect(terminated.sort()).toEqual(paths.map((partial) => `${idOf(partial)} undefined`).sort())
})

it('partial uploads are kept where asked, and can be used again', async () => {
  const { partial, final, stored, tus } = withPartials({ concatenation: { keepPartials: true } })
  const path = await partial('ab')
  const first = String((await final([path])).headers.Location)
  await tus.cleanUp()
  const second = String((await final([path, path])).headers.Location)
  expect([String(await stored(first)), String(await stored(second))]).toEqual(['ab', 'abab'])
})

it('a partial upload that another final one waits for stays', async () => {
  const { partial, final, stored, tus, patch } = withPartials()
  const [done, open] = [await partial('ab'), await partial()]
  const waiting = String((await final([done, open])).headers.Location)
  const first = String((await final([done])).headers.Location)
  await tus.cleanUp()
  expect(String(await stored(first))).toBe('ab')
  await patch(open, 0, Buffer.from('cd'), { 'Upload-Length': '2' })
  expect(String(await stored(waiting))).toBe('abcd')
})

it('a partial upload of which a chunk is refused goes, and no final one is made of its bytes', async () => {
  const removed: Array<[string, string | undefined]> = []
  const { partial, final, patch, handle, storage } = withPartials({
    onChunkReceived: ({ upload }) => {
      if (upload.offset > 2) throw new TusError('ERR_UNPROCESSABLE')
    },
    onUploadTerminate: ({ upload, request }) => void removed.push([upload.id, request?.method]),
  })
  const [done, refused] = [await partial('ab'), await partial()]
  const paths = [
    String((await final([done, refused])).headers.Location),
    String((await final([refused, refused])).headers.Location),
  ]
  expect((await patch(refused, 0, Buffer.from('abcde'), { 'Upload-Length': '5' })).status).toBe(422)
  expect((await handle('HEAD', refused)).status).toBe(404)
  for (const path of paths) expect((await handle('HEAD', path)).status).toBe(410)
  expect(removed).toEqual([[idOf(refused), 'PATCH'], ...paths.map((path) => [idOf(path), undefined])])
  // The other one is nobody's any more.
  expect((await handle('DELETE', done)).status).toBe(204)
  for (const path of [done, refused, ...paths]) expect(await storage.get(idOf(path))).toBeUndefined()
})

it('final uploads that lost a part to a refusal are found after a kill that came right after it', async () => {
  const storage = new MemoryStorage()
  const { waitingFinals } = storage
  const { partial, final, patch, handle, tus } = withPartials({
    storage,
    onChunkReceived: () => {
      throw new TusError('ERR_UNPROCESSABLE')
    },
  })
  const path = await partial()
  const waiting = String((await final([path])).headers.Location)
  storage.waitingFinals = () => []
  expect((await patch(path, 0, Buffer.from('ab'))).status).toBe(422)
  storage.waitingFinals = waitingFinals
  expect(await storage.get(idOf(waiting))).toBeDefined()
  await tus.cleanUp()
  expect((await handle('HEAD', waiting)).status).toBe(410)
})

it('a partial upload that comes to be needed while the application thinks about its removal stays', async () => {
  const made: string[] = []
  const { partial, final, handle } = withPartials({
    onBeforeTerminate: async () => {
      made.push(String((await final([path, await partial()])).headers.Location))
    },
  })
  const path = await partial('ab')
  expect((await handle('DELETE', path)).status).toBe(409)
  expect((await handle('HEAD', path)).status).toBe(200)
  expect((await handle('HEAD', String(made[0]))).status).toBe(200)
})

it('a final upload whose partial one is held for a moment is answered once the application knows of it', async () => {
  const completed: string[] = []
  const [held, gate] = [deferred(), deferred()]
  const storage = slowRemoval(new MemoryStorage(), held, gate)
  const { partial, final, stored, handle } = withPartials({
    storage,
    onUploadComplete: ({ upload }) => void completed.push(upload.id),
  })
  const path = await partial('ab')
  const removal = handle('DELETE', path)
  await held.promise
  const making = final([path])
  while ((await storage.waitingFinals?.(idOf(path)))?.length === 0) await new Promise(setImmediate)
  expect(completed).toEqual([])
  gate.resolve()
  expect((await removal).status).toBe(409)
  const { status, headers } = await making
  expect(status).toBe(201)
  expect(completed).toEqual([idOf(String(headers.Location))])
  expect(String(await stored(String(headers.Location)))).toBe('ab')
})

it('a final upload whose partial one is held for long is no success yet, and its URL is told', async () => {
  const { partial, final, handle, storage } = withPartials({ claimWaitMs: 20, onUploadComplete: () => {} })
  const path = await partial('ab')
  // By a server that answers nobody.
  const claim = await storage.claim?.(idOf(path), { owner: 'silent', ttlMs: 10_000 })
  const { status, headers } = await final([path])
  expect([status, headers['Retry-After']]).toEqual([423, '1'])
  await storage.release?.(idOf(path), (claim as { fence: number }).fence)
  const head = () => handle('HEAD', String(headers.Location))
  while ((await head()).status === 423) await new Promise(setImmediate)
  expect((await head()).headers).toMatchObject({ 'Upload-Offset': '2' })
})

it('a final upload is finished by the request that made it, whoever looks for work at that moment', async () => {
  const calls: string[] = []
  const inner = new MemoryStorage()
  const storage = overriding(inner, {
    assemble: async (id, assembly) => {
      const result = await inner.assemble(id, assembly)
      if (result === 'ok') await server.tus.cleanUp()
      return result
    },
  })
  const server = withPartials({
    storage,
    onUploadComplete: ({ request, attempt }) => void calls.push(`${request?.method} ${attempt}`),
  })
  expect((await server.final([await server.partial('ab')])).status).toBe(201)
  expect(calls).toEqual(['POST 1'])
})

it('a partial upload that somebody else holds for long does not hold up the final one', async () => {
  const calls: unknown[] = []
  const [held, gate] = [deferred(), deferred()]
  const inner = new MemoryStorage()
  let removal: Promise<unknown> | undefined
  const storage = overriding(slowRemoval(inner, held, gate), {
    flatten: async (id, attempt, durable) => {
      removal = server.handle('DELETE', path)
      await held.promise
      return inner.flatten(id, attempt, durable)
    },
  })
  const server = withPartials({
    storage,
    claimWaitMs: 20,
    onUploadComplete: ({ attempt }) => void calls.push(attempt),
  })
  const path = await server.partial('ab')
  expect((await server.final([path])).status).toBe(201)
  expect(calls).toEqual([1])
  gate.resolve()
  expect(await removal).toMatchObject({ status: 204 })
})

it('the last PATCH of a partial upload assembles the final ones that wait for it', async () => {
  const { partial, final, patch, handle } = withPartials()
  const [one, two] = [await partial(), await partial()]
  const path = String((await final([one, two])).headers.Location)
  expect((await handle('HEAD', path)).headers).not.toHaveProperty('Upload-Offset')
  expect((await handle('HEAD', path)).headers).not.toHaveProperty('Upload-Defer-Length')
  await patch(one, 0, Buffer.from('abc'), { 'Upload-Length': '3' })
  expect((await handle('HEAD', path)).headers).not.toHaveProperty('Upload-Length')
  expect((await patch(two, 0, Buffer.from('d'), { 'Upload-Length': '2' })).status).toBe(204)
  expect((await handle('HEAD', path)).headers).toMatchObject({ 'Upload-Length': '5' })
  await patch(two, 1, Buffer.from('e'))
  expect((await handle('HEAD', path)).headers).toMatchObject({ 'Upload-Length': '5', 'Upload-Offset': '5' })
})

it('a final upload whose assembly a kill prevented is assembled by HEAD, and by the clean-up', async () => {
  for (const way of ['HEAD', 'cleanUp'] as const) {
    const storage = new MemoryStorage()
    const { waitingFinals } = storage
    const { partial, final, patch, handle, tus } = withPartials({ storage })
    const one = await partial()
    const path = String((await final([one])).headers.Location)
    // As if the process had died between the commit and the assembly.
    storage.waitingFinals = () => []
    await patch(one, 0, Buffer.from('abc'), { 'Upload-Length': '3' })
    storage.waitingFinals = waitingFinals
    expect((await storage.get(idOf(path)))?.complete).toBe(false)
    if (way === 'HEAD') expect((await handle('HEAD', path)).headers).toMatchObject({ 'Upload-Offset': '3' })
    else await tus.cleanUp()
    expect((await storage.get(idOf(path)))?.complete).toBe(true)
  }
})

it('a list of more partial uploads than are allowed is refused before any of them is read', async () => {
  const storage = new MemoryStorage()
  const seen = jest.fn()
  const { partial, final, handle } = withPartials({
    storage,
    concatenation: { maxPartials: 3 },
    onIncomingRequest: ({ upload }) => void (upload && seen()),
  })
  const [one, other] = [await partial('a'), await partial('b')]
  seen.mockClear()
  const get = jest.spyOn(storage, 'get')
  const refused = await final([one, other, one, one])
  expect([refused.status, String(refused.body)]).toEqual([
    413,
    'Upload-Concat names more partial uploads than this server accepts\n',
  ])
  expect([get.mock.calls.length, seen.mock.calls.length]).toEqual([0, 0])
  const { status, headers } = await final([one, other, one])
  expect(status).toBe(201)
  expect((await handle('HEAD', String(headers.Location))).headers['Upload-Length']).toBe('3')
})

it('64 partial uploads are allowed unless the application says otherwise', async () => {
  const { partial, final } = withPartials()
  const path = await partial('a')
  expect((await final(Array<string>(65).fill(path))).status).toBe(413)
  expect((await final(Array<string>(64).fill(path))).status).toBe(201)
})

it('a partial upload that a limit of final ones wait for is refused to others, with a status that clients try again', async () => {
  const { partial, final, patch } = withPartials()
  const path = await partial()
  for (let count = 0; count < MAX_WAITING_FINALS; count++) expect((await final([path])).status).toBe(201)
  expect((await final([path])).status).toBe(409)
  await patch(path, 0, Buffer.from('ab'), { 'Upload-Length': '2' })
  expect((await final([path])).status).toBe(201)
})

it('HEAD of a final upload that waits reads each of its partial uploads once', async () => {
  const storage = new MemoryStorage()
  const { partial, final, handle } = withPartials({ storage })
  const paths = [await partial('ab'), await partial()]
  const path = String((await final([...paths, ...paths, ...paths])).headers.Location)
  const get = jest.spyOn(storage, 'get')
  expect((await handle('HEAD', path)).status).toBe(200)
  expect(get.mock.calls.map(([id]) => id).sort()).toEqual([path, ...paths].map(idOf).sort())
})

it('any number of final uploads that were left ready are assembled at one go, held ones among them or not', async () => {
  const storage = new MemoryStorage()
  const { waitingFinals } = storage
  const { partial, final, patch, tus } = withPartials({ storage })
  const waiting: string[] = []
  const held = await partial()
  for (let count = 0; count < 6; count++) {
    const path = await partial()
    for (let each = 0; each < 10; each++) waiting.push(idOf(String((await final([path])).headers.Location)))
    // As if the process had died between the commit and the assembly.
    storage.waitingFinals = () => []
    await patch(path, 0, Buffer.from('ab'), { 'Upload-Length': '2' })
    storage.waitingFinals = waitingFinals
  }
  const last = idOf(String((await final([held])).headers.Location))
  storage.waitingFinals = () => []
  await patch(held, 0, Buffer.from('ab'), { 'Upload-Length': '2' })
  await storage.claim(idOf(held), { owner: 'silent', ttlMs: 60_000 })
  await tus.cleanUp()
  for (const id of waiting) expect((await storage.get(id))?.complete).toBe(true)
  expect((await storage.get(last))?.complete).toBe(false)
})

it('nobody makes an upload of another one’s', async () => {
  const userOf = (context: unknown): string | undefined => (context as { user: string } | undefined)?.user
  const { handle, final } = withPartials({
    onUploadCreate: ({ request }) => ({ attributes: { owner: userOf(request.context) } }),
    onIncomingRequest: ({ request, upload }) => {
      if (upload && upload.attributes?.owner !== userOf(request.context)) throw new TusError('ERR_FORBIDDEN')
    },
  })
  const partialOf = async (user: string): Promise<string> => {
    const headers = { ...PARTIAL, 'Upload-Length': '0' }
    return String((await handle('POST', '/files', headers, undefined, { context: { user } })).headers.Location)
  }
  const [anns, bobs] = [await partialOf('ann'), await partialOf('bob')]
  for (const paths of [
    [anns, bobs],
    [bobs, anns],
    [bobs, bobs, anns],
  ]) {
    expect((await final(paths, {}, { user: 'bob' })).status).toBe(403)
  }
  expect((await final([bobs], {}, { user: 'bob' })).status).toBe(201)
})

it('the hooks of creation and completion run for final uploads, those of completion never for partial ones', async () => {
  const created: HookUpload[] = []
  const completed: HookUpload[] = []
  const { partial, final } = withPartials({
    onUploadCreate: ({ upload }) => {
      created.push(upload)
      return upload.concat?.partials && { attributes: { whole: true } }
    },
    onUploadComplete: ({ upload }) => {
      completed.push(upload)
      return { headers: { 'X-Made': upload.id }, body: 'made' }
    },
  })
  const paths = [await partial('ab'), await partial('c')]
  const answer = await final(paths, { 'Upload-Metadata': `filename ${Buffer.from('x').toString('base64')}` })
  expect(answer).toMatchObject({ status: 201, headers: { 'X-Made': completed[0]?.id } })
  expect(String(answer.body)).toBe('made')
  expect(created.map(({ length }) => length)).toEqual([2, 1, 3])
  expect(created[2]?.concat?.partials).toEqual(paths.map(idOf))
  expect(completed).toHaveLength(1)
  expect(completed[0]).toMatchObject({ offset: 3, length: 3, complete: true, attributes: { whole: true } })
  expect(completed[0]?.metadata.filename).toBe('x')
})

it('a final upload whose sum turns out too large is removed, and answered by 413 from then on', async () => {
  const { partial, final, patch, handle } = withPartials({ maxSize: 5 })
  const [one, two] = [await partial('abc'), await partial()]
  const path = String((await final([one, two])).headers.Location)
  expect((await patch(two, 0, Buffer.from('def'), { 'Upload-Length': '3' })).status).toBe(204)
  expect((await handle('HEAD', path)).status).toBe(413)
  expect((await patch(path, 0, Buffer.from('x'))).status).toBe(413)
})

it('expired partial uploads go on as long as a final one waits, and all of it ends together', async () => {
  const clock = { ms: 1_000_000 }
  const now = (): number => clock.ms
  const { partial, final, patch, handle, tus } = withPartials({
    storage: new MemoryStorage({ now }),
    now,
    expiration: { unfinishedAfterMs: 1000 },
  })
  const [one, two] = [await partial(), await partial()]
  clock.ms += 900
  const path = String((await final([one, two])).headers.Location)
  clock.ms += 900
  expect(await tus.cleanUp()).toEqual({ expired: 0 })
  expect((await patch(one, 0, Buffer.from('ab'), { 'Upload-Length': '2' })).status).toBe(204)
  clock.ms += 900
  expect((await handle('HEAD', path)).status).toBe(200)
  expect((await handle('HEAD', two)).status).toBe(200)
  clock.ms += 1000
  expect(await tus.cleanUp()).toEqual({ expired: 3 })
  for (const each of [path, one, two]) expect((await handle('HEAD', each)).status).toBe(410)
})

it('finished partial uploads expire like unfinished ones: they never become files', async () => {
  const clock = { ms: 1_000_000 }
  const now = (): number => clock.ms
  const { partial, handle, tus } = withPartials({
    storage: new MemoryStorage({ now }),
    now,
    expiration: { unfinishedAfterMs: 1000 },
  })
  const path = await partial('abc')
  clock.ms += 1001
  expect((await handle('POST', '/files', { 'Upload-Concat': `final;${path}` })).status).toBe(400)
  expect(await tus.cleanUp()).toEqual({ expired: 1 })
})

it('can be switched off, and then is neither offered nor half done', async () => {
  const { handle } = startServer({ concatenation: false })
  expect((await handle('OPTIONS', '/files')).headers['Tus-Extension']).not.toContain('concatenation')
  expect((await handle('POST', '/files', { ...PARTIAL, 'Upload-Length': '1' })).status).toBe(501)
})
