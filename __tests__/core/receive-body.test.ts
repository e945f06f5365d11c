// How a body gets into the storage: counted, limited, gathered into large writes, committed in segments.

import { MemoryStorage, type Storage } from '../../src/index.js'
import {
  AdapterSource,
  type Deferred,
  deferred,
  errorWithCode,
  hookedStorage,
  idle,
  idOf,
  MIB,
  overriding,
  pattern,
  Source,
  sizeOf,
  startServer,
  storageWithWrites,
} from './support.js'

/** So much is gathered for one write. */
const WRITE = MIB

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size)
}

describe('forms of a body', () => {
  const bytes = pattern(3 * MIB + 17)

  test.each([
    ['bytes', () => bytes],
    ['a plain Uint8Array', () => Uint8Array.from(bytes)],
    ['an asynchronous iterable of one chunk', () => inChunks(bytes, bytes.length)],
    ['an asynchronous iterable of small chunks', () => inChunks(bytes, 1000)],
    [
      'an asynchronous iterable with empty chunks between',
      async function* () {
        for await (const chunk of inChunks(bytes, 100_000)) yield* [new Uint8Array(0), chunk, new Uint8Array(0)]
      },
    ],
  ] as const)('%s', async (_name, body) => {
    const { create, patch, stored, offsetOf } = startServer()
    const path = await create({ 'Upload-Length': String(bytes.length) })
    const answer = await patch(path, 0, body())
    expect(answer).toEqual({
      status: 204,
      headers: { 'Tus-Resumable': '1.0.0', 'Upload-Offset': String(bytes.length) },
      body: undefined,
    })
    expect(await offsetOf(path)).toBe(bytes.length)
    expect((await stored(path)).equals(bytes)).toBe(true)
  })
})

describe('nothing is read before everything that can refuse was checked', () => {
  test.each([
    ['an unsupported version', 412, { 'Tus-Resumable': '0.1' }, 0],
    ['another content type', 415, { 'Content-Type': 'text/plain' }, 0],
    ['an offset that is none', 400, { 'Upload-Offset': 'x' }, 0],
    ['another offset', 409, {}, 3],
    ['a body over the length', 413, { 'Content-Length': '6' }, 0],
    ['another length', 400, { 'Upload-Length': '6' }, 0],
  ] as const)('PATCH: %s', async (_name, status, headers, offset) => {
    const { create, patch, offsetOf } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    const source = new Source()
    expect((await patch(path, offset, source, headers)).status).toBe(status)
    expect(source.pulls).toBe(0)
    expect(await offsetOf(path)).toBe(0)
  })

  test.each([
    ['PATCH of an unknown upload', 404, 'PATCH', '/files/unknown', { 'Upload-Offset': '0' }],
    ['PATCH of what can not be an id', 404, 'PATCH', '/files/..', { 'Upload-Offset': '0' }],
    ['POST without a length', 400, 'POST', '/files', {}],
    ['POST of another content type', 415, 'POST', '/files', { 'Upload-Length': '5', 'Content-Type': 'text/plain' }],
    ['POST of a body over the length', 413, 'POST', '/files', { 'Upload-Length': '5', 'Content-Length': '6' }],
    ['POST over the maximum', 413, 'POST', '/files', { 'Upload-Length': '1001' }],
    [
      'POST of a deferred length and a body over the maximum',
      413,
      'POST',
      '/files',
      { 'Upload-Defer-Length': '1', 'Content-Length': '1001' },
    ],
    ['POST of malformed metadata', 400, 'POST', '/files', { 'Upload-Length': '5', 'Upload-Metadata': 'a,a' }],
  ] as const)('%s', async (_name, status, method, path, headers) => {
    const { handle } = startServer({ maxSize: 1000 })
    const source = new Source()
    const type = { 'Content-Type': 'application/offset+octet-stream' }
    expect((await handle(method, path, { ...type, ...headers }, source)).status).toBe(status)
    expect(source.pulls).toBe(0)
  })

  test('an iterable is not even opened', async () => {
    const { create, patch } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    const open = jest.fn()
    expect((await patch(path, 3, { [Symbol.asyncIterator]: open })).status).toBe(409)
    expect(open).not.toHaveBeenCalled()
  })
})

describe('writes', () => {
  test('small chunks are gathered into writes of about 1 MiB', async () => {
    const { storage, writes } = storageWithWrites()
    const { create, patch, stored } = startServer({ storage })
    const bytes = pattern(5 * MIB + 300_000)
    const path = await create({ 'Upload-Length': String(bytes.length) })
    const size = 60_000
    expect((await patch(path, 0, inChunks(bytes, size))).status).toBe(204)
    expect(writes.length).toBe(6)
    for (const write of writes.slice(0, -1)) {
      expect(write).toBeGreaterThanOrEqual(WRITE)
      expect(write).toBeLessThan(WRITE + size)
    }
    expect((await stored(path)).equals(bytes)).toBe(true)
  })

  test('bytes that are there as a whole are one write', async () => {
    const write = jest.fn((_chunks: readonly Uint8Array[], doWrite: () => Promise<void>) => doWrite())
    const { create, patch } = startServer({ storage: hookedStorage({ write }) })
    const bytes = pattern(3 * MIB)
    const path = await create({ 'Upload-Length': String(bytes.length) })
    await patch(path, 0, bytes)
    expect(write.mock.calls.map(([chunks]) => chunks)).toEqual([[bytes]])
  })

  test('an empty body is no write at all', async () => {
    const write = jest.fn()
    const { create, patch } = startServer({ storage: hookedStorage({ write }) })
    const path = await create({ 'Upload-Length': '5' })
    for (const body of [undefined, new Uint8Array(0), inChunks(new Uint8Array(0), 1)]) {
      expect((await patch(path, 0, body)).status).toBe(204)
    }
    expect(write).not.toHaveBeenCalled()
  })

  test('while the storage writes, what comes is gathered up to 2 MiB, and nothing after it is pulled', async () => {
    const gates: Deferred<void>[] = []
    const writes: number[] = []
    const storage = hookedStorage({
      write: async (chunks, write) => {
        const gate = deferred()
        gates.push(gate)
        writes.push(sizeOf(chunks) / MIB)
        await gate.promise
        return write()
      },
    })
    const { create, patch, stored } = startServer({ storage })
    const bytes = pattern(5.25 * MIB)
    const path = await create({ 'Upload-Length': String(bytes.length) })
    const source = new Source()
    const chunk = MIB / 4
    const push = (from: number, to: number) => {
      for (let at = from; at < to; at += chunk) source.push(bytes.subarray(at, at + chunk))
    }
    push(0, 5 * MIB)
    const done = patch(path, 0, source)
    await idle(30)
    // One write under way (4 chunks), the next one gathered (8 chunks).
    expect(source.pulls).toBe(12)
    expect(writes).toEqual([1])
    gates[0]?.resolve()
    await idle(30)
    // As soon as it is free, the storage gets all that there is.
    expect(writes).toEqual([1, 2])
    expect(source.pulls).toBe(20)
    gates[1]?.resolve()
    await idle(30)
    // … without another chunk that would have it notice.
    expect(writes).toEqual([1, 2, 2])
    gates[2]?.resolve()
    push(5 * MIB, bytes.length)
    source.end()
    await idle(30)
    expect(writes).toEqual([1, 2, 2, 0.25])
    gates[3]?.resolve()
    expect((await done).status).toBe(204)
    expect((await stored(path)).equals(bytes)).toBe(true)
  })

  test('less than 1 MiB waits for more', async () => {
    const { storage, writes } = storageWithWrites()
    const { create, patch } = startServer({ storage })
    const path = await create({ 'Upload-Length': String(3 * MIB) })
    const source = new Source().push(pattern(MIB), pattern(MIB - 1))
    const done = patch(path, 0, source)
    await source.hungry()
    await idle(30)
    expect(writes).toEqual([MIB])
    source.push(pattern(2)).end()
    await done
    expect(writes).toEqual([MIB, MIB + 1])
  })
})

describe('segments', () => {
  test('a long body is committed each time so many bytes are stored', async () => {
    const { create, patch, storage } = startServer({ segmentBytes: 100 })
    const path = await create({ 'Upload-Length': '1000' })
    const source = new Source()
    const done = patch(path, 0, source)
    const offsets: Array<number | undefined> = []
    for (let sent = 0; sent < 300; sent += 60) {
      source.push(pattern(60))
      await source.hungry()
      offsets.push((await storage.get(idOf(path)))?.offset)
    }
    expect(offsets).toEqual([0, 120, 120, 240, 240])
    source.fail()
    const answer = await done
    expect(answer.status).toBe(400)
    expect(answer.headers['Upload-Offset']).toBe('300')
  })

  test('it is not read past that before it is committed, but committed in good time', async () => {
    const commits: number[] = []
    const gates: Deferred<void>[] = []
    const storage = hookedStorage({
      commit: async ({ to }, commit) => {
        commits.push(to / MIB)
        const gate = deferred()
        gates.push(gate)
        await gate.promise
        return commit()
      },
    })
    const { create, patch, stored } = startServer({ storage, segmentBytes: 4 * MIB })
    const bytes = pattern(12 * MIB)
    const path = await create({ 'Upload-Length': String(bytes.length) })
    const source = new Source()
    const done = patch(path, 0, source)
    let pushed = 0
    const push = async (count: number) => {
      for (const end = pushed + count * MIB; pushed < end; pushed += MIB) {
        source.push(bytes.subarray(pushed, pushed + MIB))
        await idle(10)
      }
    }
    await push(4)
    // After half of it the commit begins, and what comes meanwhile is read: …
    expect(commits).toEqual([3])
    expect(source.pulls).toBe(4)
    await push(2)
    // … up to 4 MiB that are not committed.
    expect(source.pulls).toBe(4)
    gates[0]?.resolve()
    await idle(10)
    expect(commits).toEqual([3, 6])
    expect((await storage.get(idOf(path)))?.offset).toBe(3 * MIB)
    gates[1]?.resolve()
    await push(6)
    source.end()
    for (let index = 2; index < gates.length; index++) {
      gates[index]?.resolve()
      await idle(10)
    }
    expect((await done).status).toBe(204)
    expect((await stored(path)).equals(bytes)).toBe(true)
  })

  describe('by time', () => {
    /** The offsets that were committed while a body brought so many bytes each second. */
    async function commitsOf(bytesPerSecond: number, seconds: number): Promise<number[]> {
      let now = 0
      const commits: number[] = []
      const storage = hookedStorage({
        commit: ({ to }, commit) => {
          commits.push(to)
          return commit()
        },
      })
      const { create, patch } = startServer({ storage, segmentMs: 1000, now: () => now })
      const source = new Source()
      const done = patch(await create({ 'Upload-Length': '100000000' }), 0, source)
      await source.hungry()
      for (let second = 1; second <= seconds; second++) {
        now = second * 1000
        source.push(Buffer.alloc(bytesPerSecond))
        await source.hungry()
      }
      const inTheMiddle = [...commits]
      source.end()
      expect((await done).headers['Upload-Offset']).toBe(String(bytesPerSecond * seconds))
      return inTheMiddle
    }

    test('a body is committed each time so much time has gone by', async () => {
      expect(await commitsOf(16_384, 4)).toEqual([1, 2, 3, 4].map((second) => second * 16_384))
    })

    test('one that brings few bytes is committed less and less often, and at least every 64 times as long', async () => {
      expect(await commitsOf(1, 260)).toEqual([1, 3, 7, 15, 31, 63, 127, 191, 255])
    })

    test('one that brings a little more is committed once there is enough of it', async () => {
      expect(await commitsOf(6000, 12)).toEqual([1, 3, 6, 7, 9, 12].map((second) => second * 6000))
    })

    test('an end keeps what was not committed by then', async () => {
      const { create, patch, stored } = startServer({ segmentMs: 1000 })
      const path = await create({ 'Upload-Length': '100' })
      const source = new Source().push('h', 'e', 'l')
      const done = patch(path, 0, source)
      await source.hungry()
      source.fail()
      expect(await done).toMatchObject({ status: 400, headers: { 'Upload-Offset': '3' } })
      expect(String(await stored(path))).toBe('hel')
    })
  })

  test('a length that comes with a chunk is known from its first segment on', async () => {
    const { create, patch, storage } = startServer({ segmentBytes: 10 })
    const path = await create({ 'Upload-Defer-Length': '1' })
    const source = new Source()
    const done = patch(path, 0, source, { 'Upload-Length': '100' })
    source.push(pattern(10))
    await source.hungry()
    expect(await storage.get(idOf(path))).toMatchObject({ offset: 10, length: 100, complete: false })
    source.end()
    await done
  })

  test('the commit that completes an upload waits for the end of the body', async () => {
    const commits: Array<{ to: number; complete: boolean }> = []
    const storage = hookedStorage({
      commit: ({ to, complete = false }, commit) => {
        commits.push({ to, complete })
        return commit()
      },
    })
    const { create, patch } = startServer({ storage, segmentBytes: 10 })
    const path = await create({ 'Upload-Length': '30' })
    const source = new Source().push(pattern(10), pattern(10), pattern(10))
    const done = patch(path, 0, source)
    await source.hungry()
    await idle()
    expect(await storage.get(idOf(path))).toMatchObject({ offset: 20, complete: false })
    source.end()
    expect((await done).status).toBe(204)
    expect(commits).toEqual([
      { to: 10, complete: false },
      { to: 20, complete: false },
      { to: 30, complete: true },
    ])
  })

  test('a storage with segments of a least size gets no smaller ones in the middle', async () => {
    const commits: number[] = []
    let now = 0
    const hooked = hookedStorage({
      commit: ({ to }, commit) => {
        commits.push(to)
        return commit()
      },
    })
    const storage = overriding(hooked, { segments: { minBytes: 50, maxPieces: 100 } })
    const { create, patch } = startServer({ storage, segmentBytes: 10, segmentMs: 5, now: () => (now += 10) })
    const path = await create({ 'Upload-Length': '200' })
    const source = new Source()
    for (let index = 0; index < 12; index++) source.push(pattern(10))
    await patch(path, 0, source.end())
    expect(commits).toEqual([50, 100, 120])
  })

  test.each([
    [5, 16, MIB],
    [5, 5, 60_000],
    [5, 7, 60_000],
    [5, 16, 4 * MIB],
    [0, 2, 64 * 1024],
    [0, 16, 60_000],
  ])(
    'of at least %d MiB and at most %d come of a body in chunks of %d bytes, whatever waits for what',
    async (least, most, size) => {
      const segments: number[] = []
      const offsets: number[] = []
      let before = 0
      const slow = hookedStorage({
        write: (_chunks, write) => idle(3).then(write),
        commit: ({ to }, commit) => {
          segments.push(to - before)
          before = to
          return idle(3).then(commit)
        },
      })
      const storage = overriding(slow, least > 0 ? { segments: { minBytes: least * MIB, maxPieces: 100 } } : {})
      const onChunkReceived = ({ upload }: { upload: { offset: number } }) => void offsets.push(upload.offset)
      const { create, patch } = startServer({ storage, segmentBytes: most * MIB, segmentMs: 1e9, onChunkReceived })
      const bytes = pattern(40 * MIB + 7)
      const path = await create({ 'Upload-Length': String(bytes.length) })
      expect((await patch(path, 0, inChunks(bytes, size))).status).toBe(204)
      for (const segment of segments.slice(0, -1)) {
        expect(segment).toBeGreaterThanOrEqual(Math.max(least * MIB, 1))
        expect(segment).toBeLessThan(most * MIB + size)
      }
      // The application is asked once about each of them.
      expect(offsets).toEqual([...new Set(offsets)])
    },
  )
})

describe('a body that runs past the length', () => {
  const tooLong = { status: 413, headers: expect.objectContaining({ 'Upload-Offset': '0' }) }

  test.each([
    ['as bytes', () => Buffer.from('hello!')],
    ['in one chunk', () => new Source().push('hello!').end()],
    ['in a last chunk of one byte', () => new Source().push('hello', '!').end()],
    ['in a last chunk of one byte, after an empty one', () => new Source().push('hello', '', '!').end()],
    ['in the middle of a chunk', () => new Source().push('hel', 'lo, and more').end()],
    ['without an end', () => new Source().push('hello', '!')],
  ] as const)('%s is refused and stores nothing', async (_name, body) => {
    const { create, patch, storage, stored } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    expect(await patch(path, 0, body())).toMatchObject(tooLong)
    expect(await storage.get(idOf(path))).toMatchObject({ offset: 0, complete: false })
    expect((await patch(path, 0, Buffer.from('world'))).status).toBe(204)
    expect(String(await stored(path))).toBe('world')
  })

  test('leaves its committed segments, and never a byte past the length', async () => {
    const { create, patch, storage, stored, offsetOf } = startServer({ segmentBytes: 2 })
    const path = await create({ 'Upload-Length': '5' })
    const answer = await patch(path, 0, new Source().push('he', 'll', 'o', '!').end())
    expect(answer).toMatchObject({ status: 413, headers: { 'Upload-Offset': '4' } })
    expect(await storage.get(idOf(path))).toMatchObject({ offset: 4, complete: false })
    expect(await offsetOf(path)).toBe(4)
    expect((await patch(path, 4, Buffer.from('O'))).status).toBe(204)
    expect(String(await stored(path))).toBe('hellO')
  })

  test('is not read on', async () => {
    const { create, patch } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    const source = new Source().push('hello', '!', 'more', 'and more')
    await patch(path, 0, source)
    expect(source.pulls).toBe(2)
    expect(source.returned).toBe(true)
  })

  test('is refused by the maximum where the length is not known', async () => {
    const { create, patch, offsetOf } = startServer({ maxSize: 5 })
    const path = await create({ 'Upload-Defer-Length': '1' })
    expect((await patch(path, 0, new Source().push('hello', '!').end())).status).toBe(413)
    expect(await offsetOf(path)).toBe(0)
  })
})

describe('a body that breaks off', () => {
  test('keeps all bytes that came before', async () => {
    const { create, patch, stored, logger } = startServer()
    const path = await create({ 'Upload-Length': '11' })
    const answer = await patch(path, 0, new Source().push('hel', 'lo ').fail())
    expect(answer).toMatchObject({ status: 400, headers: { 'Upload-Offset': '6' } })
    expect(String(await stored(path))).toBe('hello ')
    expect((await patch(path, 6, Buffer.from('world'))).status).toBe(204)
    expect(String(await stored(path))).toBe('hello world')
    expect(logger.errors).toEqual([])
  })

  test('right after the last byte does not complete the upload, which resumes', async () => {
    const { create, patch, storage, stored } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    expect(await patch(path, 0, new Source().push('hello').fail())).toMatchObject({ headers: { 'Upload-Offset': '4' } })
    expect(await storage.get(idOf(path))).toMatchObject({ offset: 4, complete: false })
    expect(await patch(path, 4, new Source().push('o').end())).toMatchObject({ status: 204 })
    expect(await storage.get(idOf(path))).toMatchObject({ offset: 5, complete: true })
    expect(String(await stored(path))).toBe('hello')
  })

  test('right after the only missing byte leaves it missing', async () => {
    const { create, patch, storage } = startServer()
    const path = await create({ 'Upload-Length': '1' })
    expect(await patch(path, 0, new Source().push('x').fail())).toMatchObject({ headers: { 'Upload-Offset': '0' } })
    expect(await storage.get(idOf(path))).toMatchObject({ offset: 0, complete: false })
  })

  test('while a write is under way keeps the bytes of that write', async () => {
    const gate = deferred()
    const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
    const { create, patch } = startServer({ storage })
    const path = await create({ 'Upload-Length': String(4 * MIB) })
    const done = patch(path, 0, new Source().push(pattern(MIB), pattern(1000)).fail())
    await idle()
    gate.resolve()
    expect(await done).toMatchObject({ headers: { 'Upload-Offset': String(MIB + 1000) } })
  })

  test('at its first pull changes nothing', async () => {
    const { create, patch, offsetOf } = startServer()
    const path = await create({ 'Upload-Length': '5' })
    expect((await patch(path, 0, new Source().fail())).status).toBe(400)
    expect(await offsetOf(path)).toBe(0)
  })
})

describe('a storage that fails', () => {
  test('a disk that fills up in the middle is answered by 507 with the offset that stands, and the upload resumes', async () => {
    let full = false
    const storage = hookedStorage({
      write: async (_chunks, write) => {
        if (full) throw errorWithCode('ENOSPC', 'ENOSPC: no space left on device, write /srv/uploads/secret')
        await write()
      },
    })
    const { create, patch, stored, offsetOf, logger } = startServer({ storage, segmentBytes: 5 })
    const path = await create({ 'Upload-Length': '15' })
    const source = new Source()
    const done = patch(path, 0, source)
    source.push('hello')
    await source.hungry()
    full = true
    source.push(' world')
    const answer = await done
    expect(answer).toMatchObject({ status: 507, headers: { 'Upload-Offset': '5' } })
    expect(String(answer.body)).not.toMatch(/ENOSPC|secret/)
    expect(logger.errors).toMatchObject([{ code: 'ENOSPC' }])
    expect(source.returned).toBe(true)
    full = false
    expect(await offsetOf(path)).toBe(5)
    expect((await patch(path, 5, Buffer.from(' world, you'.slice(0, 10)))).status).toBe(204)
    expect(String(await stored(path))).toBe('hello world, yo')
  })

  test.each(['ENOSPC', 'EDQUOT', 'SQLITE_FULL'])('a commit that fails with %s is answered by 507', async (code) => {
    let failed = false
    const storage = hookedStorage({
      commit: async () => {
        // As the combined storages do: a stage whose commit failed is of no more use.
        if (failed) throw new Error('a commit of this stage failed')
        failed = true
        throw errorWithCode(code)
      },
    })
    const { create, patch } = startServer({ storage, segmentBytes: 5 })
    const path = await create({ 'Upload-Length': '11' })
    expect((await patch(path, 0, new Source().push('hello', ' world').end())).status).toBe(507)
    failed = false
    expect((await patch(path, 0, Buffer.from('hello world'))).status).toBe(507)
  })

  test('records that have no space are answered by 507 with the offset that stands, too', async () => {
    const memory = new MemoryStorage()
    let full = false
    const claim: Storage['claim'] = (...args) => {
      if (full) throw errorWithCode('SQLITE_FULL')
      return memory.claim(...args)
    }
    const { create, patch } = startServer({ storage: overriding(memory, { claim }) })
    const path = await create({ 'Upload-Length': '11' })
    expect((await patch(path, 0, Buffer.from('hello'))).status).toBe(204)
    full = true
    const answer = await patch(path, 5, Buffer.from(' world'))
    expect(answer).toMatchObject({ status: 507, headers: { 'Upload-Offset': '5' } })
    expect((await patch('/files/unknown', 5, Buffer.from(' world'))).headers).not.toHaveProperty('Upload-Offset')
  })

  test('the bytes before a failed write are kept', async () => {
    let writes = 0
    const storage = hookedStorage({
      write: async (_chunks, write) => {
        if (++writes === 3) throw errorWithCode('EIO')
        await write()
      },
    })
    const { create, patch, stored } = startServer({ storage })
    const bytes = pattern(4 * MIB)
    const path = await create({ 'Upload-Length': String(bytes.length) })
    async function* oneByOne(): AsyncGenerator<Uint8Array> {
      for await (const chunk of inChunks(bytes, MIB)) {
        yield chunk
        await idle(5)
      }
    }
    const answer = await patch(path, 0, oneByOne())
    expect(answer).toMatchObject({ status: 500, headers: { 'Upload-Offset': String(2 * MIB) } })
    expect((await stored(path)).equals(bytes.subarray(0, 2 * MIB))).toBe(true)
  })

  test.each(['write', 'commit'] as const)('a %s that fails ends a body whose client sends no more', async (method) => {
    const gate = deferred()
    const fail = () => gate.promise.then(() => Promise.reject(errorWithCode('ENOSPC')))
    const written = jest.fn()
    const storage = hookedStorage({
      write: async (chunks, write) => {
        written(sizeOf(chunks))
        return method === 'write' ? fail() : write()
      },
      commit: (_to, commit) => (method === 'commit' ? fail() : commit()),
    })
    const { create, patch } = startServer({ storage, segmentBytes: 2 * MIB - 2 })
    for (const source of [new Source(), new AdapterSource()]) {
      written.mockClear()
      const path = await create({ 'Upload-Length': String(4 * MIB) })
      source.push(pattern(MIB), pattern(1000))
      const done = patch(path, 0, source)
      await source.hungry()
      await idle(5)
      gate.resolve()
      expect(await done).toMatchObject({ status: 507, headers: { 'Upload-Offset': '0' } })
      // Nothing is written behind a gap, and nothing that will not be kept.
      expect(written.mock.calls).toEqual([[MIB]])
    }
  })

  test('a write that fails lets go of a body that is held up for it', async () => {
    const gate = deferred()
    const fail = () => gate.promise.then(() => Promise.reject(errorWithCode('ENOSPC')))
    const { create, patch } = startServer({ storage: hookedStorage({ write: fail }) })
    const path = await create({ 'Upload-Length': String(8 * MIB) })
    const source = new Source()
    for (let index = 0; index < 5; index++) source.push(pattern(MIB))
    const done = patch(path, 0, source)
    await idle(30)
    expect(source.pulls).toBe(3)
    gate.resolve()
    expect(await done).toMatchObject({ status: 507, headers: { 'Upload-Offset': '0' } })
    expect(source.returned).toBe(true)
  })

  test('memory that can not be given back is an error of the server, and the bytes are kept', async () => {
    const { create, patch, logger } = startServer()
    const source = Object.assign(new AdapterSource(), {
      release: () => {
        throw new Error('out of order')
      },
    })
    const path = await create({ 'Upload-Length': String(3 * MIB) })
    const done = patch(path, 0, source)
    source.push(pattern(MIB))
    expect(await done).toMatchObject({ status: 500, headers: { 'Upload-Offset': String(MIB) } })
    expect(logger.errors).toMatchObject([{ message: 'out of order' }])
  })

  test.each(['write', 'commit'] as const)(
    'whatever a %s throws, the reader lets go of the body, the stage, and the claim',
    async (method) => {
      const closed = jest.fn()
      const fail = async (): Promise<never> => Promise.reject(errorWithCode('EIO', 'EIO: /srv/uploads/secret'))
      const { create, patch, logger, offsetOf } = startServer({
        storage: hookedStorage({ [method]: fail, close: closed }),
        segmentBytes: 1,
      })
      const path = await create({ 'Upload-Length': '11' })
      const source = new Source().push('hello')
      const answer = await patch(path, 0, source)
      expect(answer.status).toBe(500)
      expect(String(answer.body)).toBe('Internal server error\n')
      expect(logger.errors).toMatchObject([{ code: 'EIO' }])
      expect(source.returned).toBe(true)
      expect(closed).toHaveBeenCalledTimes(1)
      expect(await offsetOf(path)).toBe(0)
    },
  )

  test('a stage that can not be opened is answered by 500, and the claim is free', async () => {
    let broken = true
    const inner = new MemoryStorage()
    const openStage: typeof inner.openStage = (...args) => {
      if (broken) throw errorWithCode('EMFILE')
      return inner.openStage(...args)
    }
    const { create, patch } = startServer({ storage: overriding(inner, { openStage }) })
    const path = await create({ 'Upload-Length': '5' })
    const source = new Source()
    expect((await patch(path, 0, source)).status).toBe(500)
    expect(source.pulls).toBe(0)
    broken = false
    expect((await patch(path, 0, Buffer.from('hello'))).status).toBe(204)
  })
})
