// The callbacks of an upload's life.
import { type HookRequest, type HookUpload, MemoryStorage, TusError } from '../../src/index.js'
import { deferred, idOf, overriding, Source, startServer } from './support.js'

const METADATA = `filename ${Buffer.from('naïve.txt').toString('base64')},empty`

/** Who a request comes from, as an application's session would know. */
function userOf({ context }: HookRequest): string | undefined {
  return (context as { user: string } | undefined)?.user
}

describe('onIncomingRequest', () => {
  it('sees every request but preflights, with the upload where there is one and the context', async () => {
    const seen: unknown[] = []
    const { handle, create, patch } = startServer({
      onIncomingRequest: ({ request, upload }) => {
        seen.push([request.method, upload?.id === undefined ? undefined : upload.offset, request.context])
      },
    })
    const path = await create({ 'Upload-Length': '5' })
    await patch(path, 0, Buffer.from('abc'), {}, { context: { user: 'ann' } })
    await handle('HEAD', path)
    await handle('DELETE', path)
    await handle('HEAD', path)
    const preflight = { Origin: 'https://app.example', 'Access-Control-Request-Method': 'PATCH' }
    await handle('OPTIONS', path, preflight)
    await handle('OPTIONS', '/files')
    expect(seen).toEqual([
      ['POST', undefined, undefined],
      ['PATCH', 0, { user: 'ann' }],
      ['HEAD', 3, undefined],
      ['DELETE', 3, undefined],
      ['HEAD', undefined, undefined],
      ['OPTIONS', undefined, undefined],
    ])
  })

  it('refuses by throwing, before anything is read or written', async () => {
    const { handle, storage } = startServer({
      onIncomingRequest: async () => {
        throw new TusError('ERR_FORBIDDEN', { message: 'not yours', headers: { 'X-Why': 'owner' } })
      },
    })
    const response = await handle('POST', '/files', { 'Upload-Length': '5' })
    expect(response).toMatchObject({ status: 403, headers: { 'X-Why': 'owner', 'Tus-Resumable': '1.0.0' } })
    expect(String(response.body)).toBe('not yours\n')
    expect(await storage.get('x')).toBeUndefined()
  })

  it('answers a bare 500 where it fails otherwise, and HEAD by 423', async () => {
    const { handle, logger } = startServer({
      onIncomingRequest: () => {
        throw new Error('database at /srv/secret')
      },
    })
    const response = await handle('POST', '/files', { 'Upload-Length': '5' })
    expect(response.status).toBe(500)
    expect(String(response.body)).not.toContain('secret')
    expect((await handle('HEAD', '/files/abc')).status).toBe(423)
    expect(logger.errors).toHaveLength(2)
  })

  it('lets only the creator go on, in three lines', async () => {
    const { handle, create, patch } = startServer({
      onUploadCreate: ({ request }) => ({ attributes: { owner: userOf(request) } }),
      onIncomingRequest: ({ request, upload }) => {
        if (upload && upload.attributes?.owner !== userOf(request)) throw new TusError('ERR_FORBIDDEN')
      },
    })
    const ann = { context: { user: 'ann' } }
    const created = await handle('POST', '/files', { 'Upload-Length': '5' }, undefined, ann)
    const path = String(created.headers.Location)
    expect((await patch(path, 0, Buffer.from('abc'), {}, { context: { user: 'bob' } })).status).toBe(403)
    expect((await handle('HEAD', path, {}, undefined, { context: { user: 'bob' } })).status).toBe(403)
    expect((await patch(path, 0, Buffer.from('abc'), {}, ann)).status).toBe(204)
    void create
  })
})

describe('onUploadCreate', () => {
  it('gets the metadata decoded, the length and the id', async () => {
    const seen: HookUpload[] = []
    const { create } = startServer({ onUploadCreate: ({ upload }) => void seen.push(upload) })
    const path = await create({ 'Upload-Length': '5', 'Upload-Metadata': METADATA })
    expect(seen[0]).toMatchObject({ length: 5, offset: 0, complete: false, id: path.slice('/files/'.length) })
    expect({ ...seen[0]?.metadata }).toEqual({ filename: 'naïve.txt', empty: '' })
  })

  it('may change the metadata, add attributes that no client sees, and choose id and name', async () => {
    const { create, handle, storage } = startServer({
      onUploadCreate: async () => ({
        id: 'report-7',
        name: '2026/report.txt',
        metadata: { filename: 'report.txt', note: 'ä' },
        attributes: { owner: 'ann', tags: ['a', 'b'] },
      }),
    })
    expect(await create({ 'Upload-Length': '5', 'Upload-Metadata': METADATA })).toBe('/files/report-7')
    expect(await storage.get('report-7')).toMatchObject({
      name: '2026/report.txt',
      attributes: { owner: 'ann', tags: ['a', 'b'] },
    })
    const answer = await handle('HEAD', '/files/report-7')
    expect(answer.headers['Upload-Metadata']).toBe(
      `filename ${Buffer.from('report.txt').toString('base64')},note ${Buffer.from('ä').toString('base64')}`,
    )
    expect(JSON.stringify(answer)).not.toContain('ann')
  })

  it('refuses by throwing, and nothing is created', async () => {
    const { handle, storage } = startServer({
      onUploadCreate: ({ upload }) => {
        throw new TusError('ERR_FORBIDDEN', { message: `no ${upload.metadata.filename}` })
      },
    })
    const answer = await handle('POST', '/files', { 'Upload-Length': '5', 'Upload-Metadata': 'filename YQ==' })
    expect(answer.status).toBe(403)
    expect(String(answer.body)).toBe('no a\n')
    expect(await storage.vacuum?.(10)).toEqual({ more: false })
  })

  it.each([{ id: 'taken' }, { id: 'new', name: 'taken' }])('never overwrites: %j', async (decision) => {
    let next: { id: string; name?: string } = { id: 'taken' }
    const { handle, patch, stored } = startServer({ onUploadCreate: () => next })
    await handle('POST', '/files', { 'Upload-Length': '3' })
    await patch('/files/taken', 0, Buffer.from('abc'))
    next = decision
    expect((await handle('POST', '/files', { 'Upload-Length': '3' })).status).toBe(409)
    expect(String(await stored('/files/taken'))).toBe('abc')
  })

  it.each([
    '../x',
    '/x',
    'a/../../x',
    'a//b',
    '',
    '.',
    'a/.',
    '.resumable-upload/x',
    '.Resumable-Upload/x',
    'a\\b',
    'a\0b',
    'c:x',
    'x'.repeat(256),
    'ä'.repeat(128),
  ])('refuses a name that would leave the directory or is no name: %j', async (name) => {
    const { handle, logger } = startServer({ onUploadCreate: () => ({ name }) })
    expect((await handle('POST', '/files', { 'Upload-Length': '3' })).status).toBe(500)
    expect(String(logger.errors[0])).toContain('is no name for a file')
  })

  it('refuses a name of which no file system could make a path', async () => {
    const { handle } = startServer({ onUploadCreate: () => ({ name: `${'x/'.repeat(2500)}x` }) })
    expect((await handle('POST', '/files', { 'Upload-Length': '3' })).status).toBe(500)
  })

  it.each(['../x', 'a/b', '', 'a b', '%2e%2e', 'a.b', 'ä', 'x'.repeat(201)])(
    'refuses what is no id: %j',
    async (id) => {
      const { handle } = startServer({ generateId: () => id })
      expect((await handle('POST', '/files', { 'Upload-Length': '3' })).status).toBe(500)
    },
  )
})

it('generateId makes the ids, from the request', async () => {
  const { create } = startServer({ generateId: async ({ headers }) => `for-${headers['x-user']}` })
  expect(await create({ 'Upload-Length': '5', 'X-User': 'ann' })).toBe('/files/for-ann')
})

describe('a request reaches the upload that onIncomingRequest saw', () => {
  const requests = [
    ['HEAD', {}, undefined],
    ['PATCH', { 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': '0' }, Buffer.from('evil')],
    ['DELETE', {}, undefined],
    ['GET', {}, undefined],
  ] as const

  /** A server whose hook waits for Eve's requests, and lets all others through. */
  function thinking(storage = new MemoryStorage()) {
    const [asked, gate] = [deferred(), deferred()]
    const removed = jest.fn()
    let ms = 1_000
    const server = startServer({
      storage,
      downloads: true,
      now: () => ms++,
      onUploadCreate: ({ request }) => ({ id: String(request.headers['x-id']) }),
      onIncomingRequest: async ({ request, upload }) => {
        if (request.headers['x-user'] !== 'eve' || (request.method === 'POST' && upload?.id !== 'last')) return
        asked.resolve()
        await gate.promise
      },
      onUploadTerminate: removed,
    })
    return { ...server, asked, gate, removed }
  }

  it.each(requests)('and not one that was created meanwhile: %s', async (method, headers, body) => {
    const { create, handle, offsetOf, asked, gate, removed } = thinking()
    const eves = handle(method, '/files/known', { 'X-User': 'eve', ...headers }, body)
    await asked.promise
    const path = await create({ 'Upload-Length': method === 'GET' ? '0' : '4', 'X-Id': 'known' })
    gate.resolve()
    expect((await eves).status).toBe(404)
    expect(await offsetOf(path)).toBe(0)
    expect(removed).not.toHaveBeenCalled()
  })

  it.each(requests)('and not another one that has got its id meanwhile: %s', async (method, headers, body) => {
    const { create, handle, offsetOf, asked, gate, removed } = thinking()
    const length = { 'Upload-Length': method === 'GET' ? '0' : '4', 'X-Id': 'known' }
    const path = await create(length)
    const eves = handle(method, path, { 'X-User': 'eve', ...headers }, body)
    await asked.promise
    expect((await handle('DELETE', path)).status).toBe(204)
    await create(length)
    gate.resolve()
    expect((await eves).status).toBe(404)
    expect(await offsetOf(path)).toBe(0)
    expect(removed).toHaveBeenCalledTimes(1)
  })

  it.each(requests)('nor is who writes to that one disturbed: %s', async (method, headers, body) => {
    const { create, handle, patch, asked, gate } = thinking()
    const length = { 'Upload-Length': '4', 'X-Id': 'known' }
    const path = await create(length)
    const eves = handle(method, path, { 'X-User': 'eve', ...headers }, body)
    await asked.promise
    expect((await handle('DELETE', path)).status).toBe(204)
    await create(length)
    const source = new Source()
    const owners = patch(path, 0, source)
    await source.hungry()
    gate.resolve()
    expect((await eves).status).toBe(404)
    source.push('good').end()
    expect((await owners).status).toBe(204)
  })

  it('also where another process writes to that one', async () => {
    const storage = new MemoryStorage()
    const { create, handle, asked, gate } = thinking(storage)
    const length = { 'Upload-Length': '4', 'X-Id': 'known' }
    const path = await create(length)
    const eves = requests.map(([method, headers, body]) => handle(method, path, { 'X-User': 'eve', ...headers }, body))
    await asked.promise
    expect((await handle('DELETE', path)).status).toBe(204)
    await create(length)
    await storage.claim('known', { owner: 'other', ttlMs: 60_000 })
    gate.resolve()
    for (const answer of await Promise.all(eves)) expect(answer.status).toBe(404)
  })

  it('also where that one is named as a part', async () => {
    const { create, handle, asked, gate } = thinking()
    const partial = { 'Upload-Length': '0', 'Upload-Concat': 'partial', 'X-Id': 'known' }
    const path = await create(partial)
    const other = await create({ 'Upload-Length': '0', 'Upload-Concat': 'partial', 'X-Id': 'last' })
    const eves = handle('POST', '/files', {
      'X-User': 'eve',
      'X-Id': 'final',
      'Upload-Concat': `final;${path} ${other}`,
    })
    await asked.promise
    expect((await handle('DELETE', path)).status).toBe(204)
    await create(partial)
    gate.resolve()
    expect((await eves).status).toBe(400)
  })
})

describe('onChunkReceived', () => {
  it('runs after each chunk, and after segments in the middle of a long one', async () => {
    const seen: Array<[number, boolean]> = []
    const { create, patch } = startServer({
      segmentBytes: 2,
      onChunkReceived: ({ upload }) => void seen.push([upload.offset, upload.complete]),
    })
    const path = await create({ 'Upload-Length': '8' })
    await patch(path, 0, Buffer.from('ab'))
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('cd')
      yield Buffer.from('ef')
      yield Buffer.from('gh')
    }
    expect((await patch(path, 2, body())).status).toBe(204)
    expect(seen).toEqual([
      [2, false],
      [4, false],
      [6, false],
      [8, true],
    ])
  })

  it.each([
    ['length', { 'Upload-Length': '1000' }, {}],
    ['length that came with the chunk', { 'Upload-Defer-Length': '1' }, { 'Upload-Length': '1000' }],
  ])('is not asked again once it has refused in the middle of a body: %s', async (_name, created, more) => {
    const asked: number[] = []
    const { create, patch, storage } = startServer({
      segmentBytes: 2,
      onChunkReceived: ({ upload }) => {
        asked.push(upload.offset)
        throw new TusError('ERR_FORBIDDEN')
      },
    })
    const path = await create(created)
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('ab')
      yield Buffer.from('cd')
    }
    expect((await patch(path, 0, body(), more)).status).toBe(403)
    expect(asked).toEqual([2])
    expect(await storage.get(idOf(path))).toBeUndefined()
  })

  it('stops the upload by throwing, which removes it and says so', async () => {
    const ended: string[] = []
    const { create, patch, handle, storage } = startServer({
      onChunkReceived: ({ upload }) => {
        if (upload.offset >= 4) throw new TusError('ERR_FORBIDDEN', { message: 'looks bad' })
      },
      onUploadTerminate: ({ upload }) => void ended.push(upload.id),
    })
    const path = await create({ 'Upload-Length': '8' })
    expect((await patch(path, 0, Buffer.from('ab'))).status).toBe(204)
    const answer = await patch(path, 2, Buffer.from('cdef'))
    expect(answer.status).toBe(403)
    expect(String(answer.body)).toBe('looks bad\n')
    expect((await handle('HEAD', path)).status).toBe(404)
    expect(ended).toEqual([path.slice('/files/'.length)])
    expect(await storage.vacuum?.(10)).toEqual({ more: false })
  })

  it('removes the upload although the claim was lost while it thought', async () => {
    const memory = new MemoryStorage()
    const ended: string[] = []
    const { create, patch } = startServer({
      storage: memory,
      onChunkReceived: async ({ upload }) => {
        const present = await memory.get(upload.id)
        // Another instance believes this one dead.
        const taken = await memory.claim(upload.id, { owner: 'other', ttlMs: 60_000, dead: present?.holder?.owner })
        if (taken && 'fence' in taken) await memory.release(upload.id, taken.fence)
        throw new TusError('ERR_UNPROCESSABLE')
      },
      onUploadTerminate: ({ upload }) => void ended.push(upload.id),
    })
    const path = await create({ 'Upload-Length': '8' })
    expect((await patch(path, 0, Buffer.from('ab'))).status).toBe(422)
    expect(ended).toEqual([idOf(path)])
    expect(await memory.get(idOf(path))).toBeUndefined()
  })

  it('says nothing of a removal where the storage could not remove the upload', async () => {
    const storage = overriding(new MemoryStorage(), {
      remove: () => {
        throw new Error('EIO')
      },
    })
    const gone = jest.fn()
    const { create, patch, offsetOf, logger } = startServer({
      storage,
      onChunkReceived: () => {
        throw new TusError('ERR_UNPROCESSABLE')
      },
      onUploadTerminate: gone,
    })
    const path = await create({ 'Upload-Length': '8' })
    expect((await patch(path, 0, Buffer.from('ab'))).status).toBe(500)
    expect(logger.errors).toEqual([new Error('EIO')])
    expect(gone).not.toHaveBeenCalled()
    expect(await offsetOf(path)).toBe(2)
  })

  it('keeps the upload where it fails otherwise', async () => {
    let fails = true
    const { create, patch, offsetOf } = startServer({
      onChunkReceived: () => {
        if (fails) throw new Error('a mistake')
      },
    })
    const path = await create({ 'Upload-Length': '8' })
    expect((await patch(path, 0, Buffer.from('ab'))).status).toBe(500)
    fails = false
    expect(await offsetOf(path)).toBe(2)
    expect((await patch(path, 2, Buffer.from('cdefgh'))).status).toBe(204)
  })
})

describe('onBeforeTerminate and onUploadTerminate', () => {
  it('may keep an upload', async () => {
    const { create, handle, offsetOf } = startServer({
      onBeforeTerminate: ({ upload }) => {
        if (!upload.complete) throw new TusError('ERR_FORBIDDEN')
      },
    })
    const path = await create({ 'Upload-Length': '8' })
    expect((await handle('DELETE', path)).status).toBe(403)
    expect(await offsetOf(path)).toBe(0)
  })

  it('is asked before a body that is being received is disturbed', async () => {
    const { create, handle, patch } = startServer({
      onBeforeTerminate: ({ request }) => {
        if (request.headers['x-user'] !== 'bob') throw new TusError('ERR_FORBIDDEN')
      },
    })
    const path = await create({ 'Upload-Length': '8' })
    const body = new Source()
    const owners = patch(path, 0, body)
    body.push('abcd')
    await body.hungry()
    expect((await handle('DELETE', path, { 'X-User': 'eve' })).status).toBe(403)
    body.push('efgh').end()
    expect(await owners).toMatchObject({ status: 204, headers: { 'Upload-Offset': '8' } })
  })

  it('holds up nobody while it thinks', async () => {
    const [asked, gate] = [deferred(), deferred()]
    const { create, handle, patch } = startServer({
      claimWaitMs: 0,
      onBeforeTerminate: async () => {
        asked.resolve()
        await gate.promise
        throw new TusError('ERR_FORBIDDEN')
      },
    })
    const path = await create({ 'Upload-Length': '8' })
    const removal = handle('DELETE', path)
    await asked.promise
    expect((await patch(path, 0, Buffer.from('abcd'))).status).toBe(204)
    gate.resolve()
    expect((await removal).status).toBe(403)
  })

  it('is asked once more, under the claim, only where the upload has changed since', async () => {
    const seen: Array<[number, boolean]> = []
    let whileAsked = async (): Promise<void> => {}
    const { create, handle, patch, offsetOf } = startServer({
      onBeforeTerminate: async ({ upload }) => {
        seen.push([upload.offset, upload.complete])
        if (upload.complete) throw new TusError('ERR_FORBIDDEN')
        await whileAsked()
      },
    })
    const [same, changed] = [await create({ 'Upload-Length': '4' }), await create({ 'Upload-Length': '4' })]
    expect((await handle('DELETE', same)).status).toBe(204)
    expect(seen.splice(0)).toEqual([[0, false]])
    whileAsked = async () => void (await patch(changed, 0, Buffer.from('abcd')))
    expect((await handle('DELETE', changed)).status).toBe(403)
    expect(seen).toEqual([
      [0, false],
      [4, true],
    ])
    expect(await offsetOf(changed)).toBe(4)
  })

  it('is not asked where a removal is out of the question, and nobody is disturbed by that either', async () => {
    const hook = jest.fn()
    for (const options of [{}, { onBeforeTerminate: hook }]) {
      const { create, handle, patch } = startServer(options)
      const path = await create({ 'Upload-Length': '4', 'Upload-Concat': 'partial' })
      await handle('POST', '/files', { 'Upload-Concat': `final;${path}` })
      const body = new Source()
      const owners = patch(path, 0, body)
      body.push('ab')
      await body.hungry()
      expect((await handle('DELETE', path)).status).toBe(409)
      body.push('cd').end()
      expect((await owners).status).toBe(204)
    }
    expect(hook).not.toHaveBeenCalled()
  })

  it('is answered by 423 where the claim is lost before anything is removed', async () => {
    const memory = new MemoryStorage()
    const gone = jest.fn()
    const storage = overriding(memory, { remove: () => 'fenced' })
    const { create, handle } = startServer({ storage, onUploadTerminate: gone })
    expect((await handle('DELETE', await create({ 'Upload-Length': '4' }))).status).toBe(423)
    expect(gone).not.toHaveBeenCalled()
  })

  it('runs after the upload is gone', async () => {
    const gone: Array<Promise<unknown>> = []
    const server = startServer({
      onUploadTerminate: ({ upload, request }) => {
        expect(request?.method).toBe('DELETE')
        gone.push(Promise.resolve(server.storage.get(upload.id)))
      },
    })
    const path = await server.create({ 'Upload-Length': '8' })
    expect((await server.handle('DELETE', path)).status).toBe(204)
    expect(await Promise.all(gone)).toEqual([undefined])
  })

  it('what onUploadTerminate throws changes no answer, since the upload is gone', async () => {
    const failure = new TusError('ERR_FORBIDDEN')
    const { create, handle, patch, logger } = startServer({
      onUploadTerminate: () => {
        throw failure
      },
      onChunkReceived: () => {
        throw new TusError('ERR_UNPROCESSABLE')
      },
    })
    const [one, other] = [await create({ 'Upload-Length': '8' }), await create({ 'Upload-Length': '8' })]
    expect((await handle('DELETE', one)).status).toBe(204)
    expect((await patch(other, 0, Buffer.from('ab'))).status).toBe(422)
    expect(logger.errors).toEqual([failure, failure])
  })
})

describe('maxSize as a function', () => {
  it('limits each request by itself', async () => {
    const { handle, create, patch } = startServer({
      maxSize: async ({ headers }) => (headers['x-plan'] === 'free' ? 5 : undefined),
    })
    expect((await handle('POST', '/files', { 'Upload-Length': '6', 'X-Plan': 'free' })).status).toBe(413)
    const path = await create({ 'Upload-Defer-Length': '1', 'X-Plan': 'free' })
    expect((await patch(path, 0, Buffer.from('abcdef'), { 'X-Plan': 'free' })).status).toBe(413)
    expect((await patch(path, 0, Buffer.from('abcdef'))).status).toBe(204)
    expect((await handle('OPTIONS', '/files')).headers['Tus-Max-Size']).toBeUndefined()
  })

  it.each([Number.NaN, '5', {}])('is never taken for no limit where it gives %p', async (wrong) => {
    const { handle, logger } = startServer({ maxSize: () => wrong as number })
    expect((await handle('POST', '/files', { 'Upload-Length': '6' })).status).toBe(500)
    expect(String(logger.errors[0])).toContain('maxSize')
  })
})

describe('maxChunkSize and maxMetadataSize', () => {
  it('refuse what is larger, before or while it is read', async () => {
    const { handle, create, patch, offsetOf } = startServer({ maxChunkSize: 4, maxMetadataSize: 20 })
    const path = await create({ 'Upload-Length': '8' })
    async function* tooMuch(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('abc')
      yield Buffer.from('de')
    }
    expect((await patch(path, 0, tooMuch(), { 'Content-Length': '5' })).status).toBe(413)
    expect((await patch(path, 0, tooMuch())).status).toBe(413)
    expect(await offsetOf(path)).toBe(0)
    expect((await patch(path, 0, Buffer.from('abcd'))).status).toBe(204)
    const metadata = { 'Upload-Length': '8', 'Upload-Metadata': `key ${'YWJj'.repeat(5)}` }
    expect((await handle('POST', '/files', metadata)).status).toBe(413)
  })
})

describe('Location', () => {
  it.each([
    [{}, { baseUrl: '/a/b', origin: 'https://example.org' }, '/a/b/'],
    [{ absoluteLocation: true }, { baseUrl: '/a/b', origin: 'https://example.org' }, 'https://example.org/a/b/'],
    [{ publicUrl: 'https://cdn.example/up/' }, { baseUrl: '/a/b' }, 'https://cdn.example/up/'],
    [{ publicUrl: '/outside' }, { baseUrl: '/a/b', origin: 'https://example.org' }, '/outside/'],
  ])('%j behind %j begins with %s', async (options, request, prefix) => {
    const { handle } = startServer(options)
    const { headers } = await handle('POST', '/files', { 'Upload-Length': '1' }, undefined, request)
    expect(headers.Location).toMatch(new RegExp(`^${prefix}[0-9a-f]{40}$`))
  })
})

it('ids begin with the second of their creation, and have nothing else in common', async () => {
  let now = Date.UTC(2026, 0, 1)
  const { create } = startServer({ now: () => now })
  const ids: string[] = []
  for (let second = 0; second < 200; second++) {
    for (const part of [0, 999]) {
      now = Date.UTC(2026, 0, 1, 0, 0, second) + part
      ids.push(idOf(await create({ 'Upload-Length': '5' })))
    }
  }
  expect(ids.map((id) => id.slice(0, 8))).toEqual(
    ids.map((_, index) => (Date.UTC(2026, 0, 1) / 1000 + Math.floor(index / 2)).toString(16)),
  )
  for (let at = 8; at < 40; at += 2) expect(new Set(ids.map((id) => id.slice(at, at + 2))).size).toBeGreaterThan(100)
})
