// handleRequest: what goes in, what comes out, and what is left behind where a creation fails.

import { runInNewContext } from 'node:vm'
import { MemoryStorage, type NewUpload, type RequestHeaders } from '../../src/index.js'
import {
  CHUNK,
  errorWithCode,
  hookedStorage,
  idle,
  idOf,
  overriding,
  Source,
  type StageHooks,
  startServer,
  VERSION,
} from './support.js'

describe('headers', () => {
  test.each([
    ['as node:http gives them', { 'tus-resumable': '1.0.0', 'upload-length': '5', 'upload-metadata': 'a YQ==' }],
    ['as the protocol writes them', { 'Tus-Resumable': '1.0.0', 'Upload-Length': '5', 'Upload-Metadata': 'a YQ==' }],
    ['in capitals', { 'TUS-RESUMABLE': '1.0.0', 'UPLOAD-LENGTH': '5', 'UPLOAD-METADATA': 'a YQ==' }],
    ['as lists', { 'tus-resumable': ['1.0.0'], 'upload-length': ['5'], 'upload-metadata': ['a YQ=='] }],
    [
      'without a prototype',
      Object.assign(Object.create(null), {
        'tus-resumable': '1.0.0',
        'upload-length': '5',
        'upload-metadata': 'a YQ==',
      }),
    ],
  ] as ReadonlyArray<readonly [string, RequestHeaders]>)('%s', async (_name, headers) => {
    const { tus, handle } = startServer()
    const answer = await tus.handleRequest('POST', '/files', headers)
    expect(answer.status).toBe(201)
    expect((await handle('HEAD', String(answer.headers.Location))).headers).toMatchObject({
      'Upload-Length': '5',
      'Upload-Metadata': 'a YQ==',
    })
  })

  test('are never changed', async () => {
    const { tus } = startServer()
    const headers = Object.freeze({ ...VERSION, 'Upload-Length': '5' })
    expect((await tus.handleRequest('POST', '/files', headers)).status).toBe(201)
  })
})

describe('the body', () => {
  test.each([
    ['bytes of another realm', (): unknown => runInNewContext('new Uint8Array([104, 101, 108, 108, 111])')],
    ['null, as fetch has it', (): unknown => null],
  ] as const)('may be %s', async (_name, make) => {
    const { create, patch, offsetOf } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    const body = make() as Uint8Array | null
    expect((await patch(path, 0, body as Uint8Array)).status).toBe(204)
    expect(await offsetOf(path)).toBe(body?.length ?? 0)
  })

  test.each([
    ['a string', 'hello'],
    ['an object', {}],
    ['a number', 5],
    ['an ArrayBuffer', new ArrayBuffer(5)],
  ])('is no %s, which the caller is told', async (_name, body) => {
    const { create, patch, offsetOf } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    await expect(patch(path, 0, body as unknown as Uint8Array)).rejects.toThrow(/handleRequest: body must be/)
    expect(await offsetOf(path)).toBe(0)
  })
})

describe('the answer', () => {
  test('is a status, headers, and a body', async () => {
    const { handle } = startServer()
    const created = await handle('POST', '/files', { 'Upload-Length': '5' })
    expect(created).toEqual({
      status: 201,
      headers: { 'Tus-Resumable': '1.0.0', Location: expect.stringMatching(/^\/files\/[0-9a-f]{40}$/) },
      body: undefined,
    })
    const path = String(created.headers.Location)
    expect(await handle('HEAD', path)).toEqual({
      status: 200,
      headers: { 'Tus-Resumable': '1.0.0', 'Cache-Control': 'no-store', 'Upload-Offset': '0', 'Upload-Length': '5' },
      body: undefined,
    })
    expect(await handle('DELETE', path)).toEqual({
      status: 204,
      headers: { 'Tus-Resumable': '1.0.0' },
      body: undefined,
    })
    expect(await handle('OPTIONS', path)).toEqual({
      status: 204,
      headers: {
        'Tus-Resumable': '1.0.0',
        'Tus-Version': '1.0.0',
        'Tus-Extension':
          'creation,creation-with-upload,creation-defer-length,termination,checksum,checksum-trailer,concatenation,concatenation-unfinished',
        'Tus-Checksum-Algorithm': 'sha1,sha256,sha512,md5,crc32',
      },
      body: undefined,
    })
  })

  test('to a refusal is a sentence, but for HEAD', async () => {
    const { handle } = startServer()
    expect((await handle('DELETE', '/files/unknown')).body).toBeInstanceOf(Uint8Array)
    expect((await handle('HEAD', '/files/unknown')).body).toBeUndefined()
  })

  test('is made for the method in whichever case it comes', async () => {
    const { handle } = startServer()
    expect((await handle('post', '/files', { 'Upload-Length': '5' })).status).toBe(201)
    expect((await handle('options', '/files')).status).toBe(204)
  })
})

describe('Location', () => {
  test.each([
    [undefined, /^\/files\/[0-9a-f]{40}$/],
    ['/api/files', /^\/api\/files\/[0-9a-f]{40}$/],
    ['/api/files/', /^\/api\/files\/[0-9a-f]{40}$/],
    ['https://example.com/files', /^https:\/\/example\.com\/files\/[0-9a-f]{40}$/],
    ['', /^\/[0-9a-f]{40}$/],
    ['/', /^\/[0-9a-f]{40}$/],
    ['/caf%C3%A9/a%20b', /^\/caf%C3%A9\/a%20b\/[0-9a-f]{40}$/],
  ])('below %p', async (baseUrl, expected) => {
    const { handle } = startServer()
    const answer = await handle('POST', '/files', { 'Upload-Length': '5' }, undefined, { baseUrl })
    expect(answer.headers.Location).toMatch(expected)
  })

  test('is no other than before, 1000 times', async () => {
    const { create } = startServer()
    const paths = await Promise.all(Array.from({ length: 1000 }, () => create({ 'Upload-Length': '5' })))
    expect(new Set(paths).size).toBe(1000)
  })
})

describe('the body', () => {
  test('may be given although its length is stated differently: what counts are the bytes', async () => {
    const { create, patch, offsetOf } = startServer()
    const path = await create({ 'Upload-Length': '10' })
    expect((await patch(path, 0, Buffer.from('hello'), { 'Content-Length': '3' })).headers['Upload-Offset']).toBe('5')
    expect((await patch(path, 5, Buffer.from('hello!'), { 'Content-Length': '3' })).status).toBe(413)
    expect(await offsetOf(path)).toBe(5)
  })

  test('of a request that takes none is not read', async () => {
    const { create, handle } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    for (const [method, target] of [
      ['HEAD', path],
      ['OPTIONS', path],
      ['DELETE', path],
      ['GET', path],
      ['POST', '/elsewhere'],
    ] as const) {
      const source = new Source()
      await handle(method, target, {}, source)
      expect(source.pulls).toBe(0)
    }
  })

  test('is not changed and not kept', async () => {
    const { create, patch, stored } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    const bytes = Buffer.from('hello')
    await patch(path, 0, bytes)
    bytes.fill(0)
    expect(String(await stored(path))).toBe('hello')
  })
})

/** A server that remembers which uploads it has created. */
function startRemembering(hooks: StageHooks) {
  const uploads: NewUpload[] = []
  const storage = hookedStorage(hooks)
  const server = startServer({
    storage: overriding(storage, {
      create: (upload) => {
        uploads.push(upload)
        return storage.create(upload)
      },
    }),
  })
  return {
    ...server,
    uploads,
    createWith: (body: Source, headers: RequestHeaders) =>
      server.handle('POST', '/files', { ...CHUNK, ...headers }, body),
  }
}

describe('a creation that fails after it has begun', () => {
  test.each([
    ['because the disk is full', 507, { write: () => Promise.reject(errorWithCode('ENOSPC')) }],
    ['because of the storage', 500, { write: () => Promise.reject(errorWithCode('EIO')) }],
    ['because of the commit', 500, { commit: () => Promise.reject(errorWithCode('EIO')) }],
  ] as ReadonlyArray<readonly [string, number, StageHooks]>)(
    '%s leaves nothing, since nobody knows its URL',
    async (_name, status, hooks) => {
      const { createWith, uploads, storage } = startRemembering(hooks)
      const answer = await createWith(new Source().push('hello').end(), { 'Upload-Length': '5' })
      expect(answer.status).toBe(status)
      expect(answer.headers.Location).toBeUndefined()
      expect(uploads.length).toBe(1)
      expect(await storage.get(uploads[0]?.id ?? '')).toBeUndefined()
    },
  )

  test('because its body is too long leaves nothing', async () => {
    const { createWith, uploads, storage } = startRemembering({})
    expect((await createWith(new Source().push('hello', '!').end(), { 'Upload-Length': '5' })).status).toBe(413)
    expect(await storage.get(uploads[0]?.id ?? '')).toBeUndefined()
  })

  test('because the connection broke keeps what arrived', async () => {
    const { createWith, uploads, storage } = startRemembering({})
    expect((await createWith(new Source().push('hel').fail(), { 'Upload-Length': '5' })).status).toBe(400)
    expect(await storage.get(uploads[0]?.id ?? '')).toMatchObject({ offset: 3 })
  })

  test('is answered by what went wrong first, if tidying up fails, too', async () => {
    const broken = hookedStorage({ write: () => Promise.reject(errorWithCode('ENOSPC')) })
    const storage = overriding(broken, { remove: () => Promise.reject(new Error('no')) })
    const { handle } = startServer({ storage })
    expect((await handle('POST', '/files', { ...CHUNK, 'Upload-Length': '5' }, Buffer.from('hello'))).status).toBe(507)
  })

  test('because the id is taken is refused, and the other upload is left alone', async () => {
    const storage = overriding(new MemoryStorage(), { create: () => 'exists' })
    const { handle, logger } = startServer({ storage })
    expect((await handle('POST', '/files', { 'Upload-Length': '5' })).status).toBe(409)
    expect(logger.errors.length).toBe(0)
  })
})

describe('a storage with a minimum of methods', () => {
  function minimal(): MemoryStorage {
    const full = new MemoryStorage()
    return overriding(full, {
      claim: undefined,
      renew: undefined,
      release: undefined,
      read: undefined,
      vacuum: undefined,
    } as never) as MemoryStorage
  }

  test('is guarded inside this process: of two PATCHes one wins', async () => {
    // Without claims a stage of the memory storage has no fence to go by, so this one counts bytes alone.
    const offsets = new Map<string, { length: number; offset: number; complete: boolean }>()
    const { create, patch, offsetOf } = startServer({
      storage: {
        create: ({ id, length = 0 }) => {
          offsets.set(id, { length, offset: 0, complete: false })
          return 'created'
        },
        get: (id) => {
          const upload = offsets.get(id)
          if (upload === undefined) return undefined
          return {
            id,
            name: id,
            metadata: undefined,
            createdAtMs: 0,
            activeAtMs: 0,
            holder: undefined,
            ...upload,
          }
        },
        openStage: async (id) => ({
          write: () => idle(2),
          commit: ({ to, complete = false }) => {
            const upload = offsets.get(id)
            if (upload !== undefined) offsets.set(id, { ...upload, offset: to, complete })
            return 'ok'
          },
          discard: () => {},
          close: () => {},
        }),
        remove: (id) => (offsets.delete(id) ? 'removed' : 'gone'),
        close: () => {},
      },
    })
    const path = await create({ 'Upload-Length': '10' })
    const answers = await Promise.all(['aaaaa', 'bbbbb', 'ccccc'].map((text) => patch(path, 0, Buffer.from(text))))
    for (const { status } of answers) expect([204, 409, 423]).toContain(status)
    expect(answers.filter(({ status }) => status === 204).length).toBe(1)
    expect(await offsetOf(path)).toBe(5)
  })

  test('needs no vacuum', async () => {
    fakeTimers()
    const { handle, logger } = startServer({ storage: minimal() })
    await aMinuteLater()
    expect((await handle('POST', '/files', { 'Upload-Length': '5' })).status).toBe(201)
    expect(logger.errors).toEqual([])
  })
})

describe('tidying up behind a kill', () => {
  beforeEach(fakeTimers)

  test('comes when those who were cut off are back, step by step until there is no more', async () => {
    let steps = 0
    const storage = overriding(new MemoryStorage(), { vacuum: async () => ({ more: ++steps < 5 }) })
    const { handle } = startServer({ storage })
    jest.advanceTimersByTime(59_000)
    await idle()
    expect(steps).toBe(0)
    await aMinuteLater()
    expect((await handle('POST', '/files', { 'Upload-Length': '5' })).status).toBe(201)
    expect(steps).toBe(5)
  })

  test('is reported when it fails, and nothing else fails with it', async () => {
    const error = new Error('no')
    const storage = overriding(new MemoryStorage(), { vacuum: () => Promise.reject(error) })
    const { create, logger } = startServer({ storage })
    await aMinuteLater()
    expect(logger.errors).toEqual([error])
    expect(idOf(await create({ 'Upload-Length': '5' }))).toMatch(/^[0-9a-f]{40}$/)
  })

  test('stops when the server is closed', async () => {
    let steps = 0
    const storage = overriding(new MemoryStorage(), {
      vacuum: async () => {
        steps++
        return { more: true }
      },
    })
    const { tus } = startServer({ storage })
    jest.advanceTimersByTime(60_000)
    await idle(10)
    await tus.close()
    const before = steps
    await idle(10)
    expect(steps).toBeLessThanOrEqual(before + 1)
    expect(before).toBeGreaterThan(0)
  })

  test('does not begin any more once the server is closed', async () => {
    const vacuum = jest.fn(async () => ({ more: false }))
    const { tus } = startServer({ storage: overriding(new MemoryStorage(), { vacuum }) })
    await tus.close()
    await aMinuteLater()
    expect(vacuum).not.toHaveBeenCalled()
  })
})

/** Of all timers only those of the server: what is idle is found by others. */
function fakeTimers(): void {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'clearImmediate', 'performance', 'Date'] })
}

afterEach(() => {
  jest.useRealTimers()
})

async function aMinuteLater(): Promise<void> {
  jest.advanceTimersByTime(60_000)
  await idle()
}
