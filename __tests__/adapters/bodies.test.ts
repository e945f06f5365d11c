// How a body reaches the core: not before it is wanted, gathered by raw-body within bufferLimit, streamed beyond.

import { once } from 'node:events'
import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { MemoryStorage, type Storage, type TusMiddlewareOptions, TusServer, tusListener } from '../../src/index.js'
import { deferred, hookedStorage, MIB, overriding, pattern } from '../core/support.js'
import { CHUNK, create, idle, offsetOf, patch, RawConnection, send, TUS, untilQuiet, untilRead } from './client.js'
import { type Handler, HOSTS, start, storedBytes } from './hosts.js'

/** A storage that remembers of each write how large its chunks were. */
function recording(): { storage: Storage; writes: number[][] } {
  const writes: number[][] = []
  const storage = hookedStorage({
    write: (chunks, write) => {
      writes.push(chunks.map(({ length }) => length))
      return write()
    },
  })
  return { storage, writes }
}

interface Pieces {
  readonly size: number
  readonly pieces: number
  readonly chunked?: boolean
  readonly middleware?: TusMiddlewareOptions
  readonly memoryBudget?: number
}

describe.each(HOSTS)('$name', (host) => {
  /** Sends a body in pieces, each of which the server reads by itself. Returns the sizes of chunks in each write. */
  async function sendPieces({
    size,
    pieces,
    chunked = false,
    middleware = {},
    memoryBudget,
  }: Pieces): Promise<number[][]> {
    const { storage, writes } = recording()
    const { port, sockets } = await start(host, {
      middleware,
      tus: { storage, ...(memoryBudget !== undefined && { memoryBudget }) },
    })
    const bytes = pattern(size)
    const path = await create(port, size)
    const connection = await RawConnection.open(port)
    const framing = chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': size }
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, ...framing })
    await idle()
    const [socket] = sockets.slice(-1)
    let read = socket?.bytesRead ?? 0
    for (let index = 0; index < pieces; index++) {
      const piece = bytes.subarray((size * index) / pieces, (size * (index + 1)) / pieces)
      const framed = chunked
        ? Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')])
        : piece
      await connection.write(framed)
      read += framed.length
      await untilRead(socket, read)
      await idle(5)
    }
    if (chunked) await connection.write('0\r\n\r\n')
    const { status, headers } = await connection.answer()
    expect({ status, offset: headers['upload-offset'] }).toEqual({ status: 204, offset: String(size) })
    expect((await storedBytes(storage, path)).equals(bytes)).toBe(true)
    connection.destroy()
    return writes
  }

  test('within bufferLimit it is one Buffer and one write, in however many pieces it came', async () => {
    expect(await sendPieces({ size: 15_000, pieces: 6 })).toEqual([[15_000]])
    expect(await sendPieces({ size: 16 * 1024, pieces: 3 })).toEqual([[16 * 1024]])
  })

  test('beyond bufferLimit it is streamed', async () => {
    const writes = await sendPieces({ size: 16 * 1024 + 8, pieces: 4 })
    expect(writes.length).toBe(1)
    expect(writes[0]?.length).toBeGreaterThanOrEqual(4)
  })

  test('of unstated length it is streamed', async () => {
    const writes = await sendPieces({ size: 4000, pieces: 4, chunked: true })
    expect(writes).toEqual([[1000, 1000, 1000, 1000]])
  })

  test('with bufferLimit 0 everything is streamed', async () => {
    expect(await sendPieces({ size: 4000, pieces: 4, middleware: { bufferLimit: 0 } })).toEqual([
      [1000, 1000, 1000, 1000],
    ])
  })

  test('with bufferLimit Infinity everything of stated length is gathered', async () => {
    const middleware = { bufferLimit: Number.POSITIVE_INFINITY }
    expect(await sendPieces({ size: 3 * MIB, pieces: 12, middleware })).toEqual([[3 * MIB]])
    expect(await sendPieces({ size: 4000, pieces: 4, chunked: true, middleware })).toEqual([[1000, 1000, 1000, 1000]])
  })

  test('what the memory budget does not hold is streamed, whatever bufferLimit says', async () => {
    const middleware = { bufferLimit: Number.POSITIVE_INFINITY }
    const writes = await sendPieces({ size: 4000, pieces: 4, middleware, memoryBudget: 3999 })
    expect(writes.flat()).toEqual([1000, 1000, 1000, 1000])
    expect(await sendPieces({ size: 4000, pieces: 4, middleware, memoryBudget: 4000 })).toEqual([[4000]])
  })

  test('the memory of what is stored is given back at once, unless somebody else has seen the bytes', async () => {
    const chunks: Uint8Array[] = []
    const storage = hookedStorage({
      write: (given, write) => {
        chunks.push(...given)
        return write()
      },
    })
    const bytes = pattern(3 * MIB)
    const upload = async (before: readonly Handler[]): Promise<void> => {
      const { port } = await start(host, { before, tus: { storage } })
      const path = await create(port, bytes.length)
      chunks.length = 0
      expect((await patch(port, path, 0, bytes)).status).toBe(204)
      expect((await storedBytes(storage, path)).equals(bytes)).toBe(true)
    }
    await upload([])
    expect(chunks.length).toBeGreaterThan(30)
    expect(chunks.filter(({ length }) => length > 0)).toEqual([])

    const listening: Buffer[] = []
    await upload([
      (req, _res, next) => {
        req.on('data', (chunk: Buffer) => void listening.push(chunk)).pause()
        next()
      },
    ])
    expect(Buffer.concat(listening).equals(bytes)).toBe(true)
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
  })

  test('a small body that somebody else listens to is taken, too, and left to him', async () => {
    const storage = new MemoryStorage()
    const listening: Buffer[] = []
    const before: Handler[] = [
      (req, _res, next) => {
        if (req.method === 'PATCH') req.on('data', (chunk: Buffer) => void listening.push(chunk)).pause()
        // Until all of it has arrived.
        setTimeout(next, 20)
      },
    ]
    const { port } = await start(host, { before, tus: { storage } })
    const bytes = pattern(5000)
    const path = await create(port, bytes.length)
    expect((await patch(port, path, 0, bytes)).status).toBe(204)
    expect(Buffer.concat(listening).equals(bytes)).toBe(true)
    expect((await storedBytes(storage, path)).equals(bytes)).toBe(true)
  })

  test('a storage may send the bytes elsewhere', async () => {
    const storage = hookedStorage({
      write: async (chunks, write) => {
        await write()
        for (const { buffer } of chunks) structuredClone(undefined, { transfer: [buffer as ArrayBuffer] })
      },
    })
    const { port } = await start(host, { tus: { storage } })
    const bytes = pattern(300_000)
    const path = await create(port, bytes.length)
    expect((await patch(port, path, 0, bytes)).status).toBe(204)
    expect((await storedBytes(storage, path)).equals(bytes)).toBe(true)
  })

  test('a creation with a body is treated like a chunk', async () => {
    const { storage, writes } = recording()
    const { port } = await start(host, { tus: { storage } })
    const body = pattern(50_000)
    const answer = await send(port, {
      method: 'POST',
      path: '/files',
      headers: { ...CHUNK, 'Upload-Length': '100000' },
      body,
    })
    expect(answer).toMatchObject({ status: 201, headers: { 'upload-offset': '50000' } })
    expect(writes).toEqual([[50_000]])
    expect((await patch(port, String(answer.headers.location), 50_000, body)).headers['upload-offset']).toBe('100000')
  })

  test('a body of several MiB arrives whole, stated or not', async () => {
    const { port, storage } = await start(host)
    const bytes = pattern(5 * MIB + 3)
    for (const headers of [{ 'Content-Length': String(bytes.length) }, { 'Transfer-Encoding': 'chunked' }]) {
      const path = await create(port, bytes.length)
      expect((await patch(port, path, 0, bytes, headers)).headers['upload-offset']).toBe(String(bytes.length))
      expect((await storedBytes(storage, path)).equals(bytes)).toBe(true)
    }
  })

  test.each([
    ['gathered', { 'Content-Length': 11 }, {}],
    ['streamed', { 'Content-Length': 11 }, { bufferLimit: 0 }],
    ['chunked', { 'Transfer-Encoding': 'chunked' }, {}],
  ] as const)('nothing of it is read while it may still be refused: %s', async (_form, framing, middleware) => {
    const inner = new MemoryStorage()
    const reading = deferred()
    const opening = deferred()
    const reached = { claim: deferred(), openStage: deferred() }
    let slow = false
    const storage = overriding(inner, {
      claim: async (...args) => {
        if (slow) {
          reached.claim.resolve()
          await reading.promise
        }
        return inner.claim(...args)
      },
      openStage: async (...args) => {
        reached.openStage.resolve()
        await opening.promise
        return inner.openStage(...args)
      },
    })
    const { port, request } = await start(host, { middleware, tus: { storage } })
    const path = await create(port, 11)
    slow = true
    const connection = await RawConnection.open(port)
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, ...framing })
    await connection.write('Content-Length' in framing ? 'hello' : '5\r\nhello\r\n')
    const { req } = await request(1)
    for (const [step, gate] of [
      [reached.claim, reading],
      [reached.openStage, opening],
    ] as const) {
      await step.promise
      await idle()
      expect({ flowing: req.readableFlowing, listeners: req.listenerCount('data'), read: req.readableDidRead }).toEqual(
        {
          flowing: null,
          listeners: 0,
          read: false,
        },
      )
      gate.resolve()
    }
    slow = false
    await connection.write('Content-Length' in framing ? ' world' : '6\r\n world\r\n0\r\n\r\n')
    expect((await connection.answer()).headers['upload-offset']).toBe('11')
    connection.destroy()
  })

  test('a stated length of nothing is no body', async () => {
    const { port } = await start(host)
    const path = await create(port, 5)
    const connection = await RawConnection.open(port)
    for (const length of ['0', '00', '0000000000000000000000']) {
      await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': length })
      expect((await connection.answer()).status).toBe(204)
    }
    await connection.head('PATCH', path, {
      ...CHUNK,
      'Upload-Offset': 0,
      'Content-Length': '00000000000000000000000005',
    })
    await connection.write('hello')
    expect((await connection.answer()).headers['upload-offset']).toBe('5')
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 5 })
    expect((await connection.answer()).status).toBe(204)
    connection.destroy()
  })

  test('many requests on one connection leave no listener and no timer behind', async () => {
    const { port, sockets, seen } = await start(host)
    const path = await create(port, 1_000_000)
    const connection = await RawConnection.open(port)
    const listeners = (): Record<string, number> => {
      const socket = sockets.at(-1)
      return Object.fromEntries(
        (socket?.eventNames() ?? []).map((name) => [String(name), socket?.listenerCount(name) ?? 0]),
      )
    }
    const counts: Array<ReturnType<typeof listeners>> = []
    let offset = 0
    for (let index = 0; index < 30; index++) {
      const chunked = index % 2 === 1
      await connection.head('PATCH', path, {
        ...CHUNK,
        'Upload-Offset': offset,
        ...(chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': 5 }),
      })
      await connection.write(chunked ? '5\r\nhello\r\n0\r\n\r\n' : 'hello')
      offset += 5
      expect((await connection.answer()).headers['upload-offset']).toBe(String(offset))
      // A refusal in between, with a body that nobody wants.
      await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 999, 'Content-Length': 5 })
      await connection.write('hello')
      expect((await connection.answer()).status).toBe(409)
      await idle(5)
      counts.push(listeners())
    }
    expect(sockets.length).toBe(2)
    expect(counts[29]).toEqual(counts[0])
    for (const { req, res } of seen) {
      expect(req.listenerCount('data')).toBe(0)
      expect(res.listenerCount('close')).toBe(0)
    }
    connection.destroy()
  })

  test('a storage that is slow holds up the client, and not the memory', async () => {
    const gate = deferred()
    const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
    const { port, request } = await start(host, { tus: { storage } })
    const size = 64 * MIB
    const path = await create(port, size)
    const connection = await RawConnection.open(port)
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': size })
    const bytes = Buffer.alloc(MIB)
    for (let sent = 0; sent < size; sent += MIB) connection.socket.write(bytes)
    const { req } = await request(1)
    // 1 MiB is being written, two more are gathered, and the buffers of the socket are full.
    expect(await untilQuiet(req.socket)).toBeLessThan(4 * MIB)
    gate.resolve()
    expect((await connection.answer()).headers['upload-offset']).toBe(String(size))
    connection.destroy()
  })

  test('of a request that takes none is no trouble for the next one', async () => {
    const { port } = await start(host)
    const path = await create(port, 5)
    const connection = await RawConnection.open(port)
    for (const [method, target, status] of [
      ['HEAD', path, 200],
      ['OPTIONS', '/files', 204],
      ['POST', '/files', 415],
      ['HEAD', '/files/unknown', 404],
      ['DELETE', path, 204],
    ] as const) {
      await connection.head(method, target, { ...TUS, 'Upload-Length': 5, 'Content-Length': 5 })
      await connection.write('hello')
      expect((await connection.answer(method)).status).toBe(status)
    }
    connection.destroy()
  })

  test('TUS answers to nobody else\u2019s body', async () => {
    const { port } = await start(host)
    const answer = await send(port, { method: 'POST', path: '/elsewhere', headers: TUS, body: 'hello' })
    expect(answer.status).toBe(404)
    expect(await offsetOf(port, await create(port, 5))).toBe(0)
  })
})

test('a request that was made up in the process keeps its bytes', async () => {
  const storage = new MemoryStorage()
  const tus = new TusServer({ storage })
  const created = await tus.handleRequest('POST', '/files', { ...TUS, 'Upload-Length': '100000' })
  const bytes = pattern(100_000)
  const socket = Object.assign(new Socket(), {
    _write: (_chunk: unknown, _encoding: unknown, done: () => void) => done(),
  })
  const req = new IncomingMessage(socket)
  const path = String(created.headers.Location)
  Object.assign(req, { method: 'PATCH', url: path, httpVersionMajor: 1, complete: true })
  Object.assign(req.headers, { 'content-length': '100000', 'upload-offset': '0' }, lowerCase(CHUNK))
  req.push(bytes)
  req.push(null)
  const res = new ServerResponse(req)
  res.assignSocket(socket)
  const ended = once(res, 'prefinish')
  tusListener(tus)(req, res)
  await ended
  expect(res.statusCode).toBe(204)
  expect(bytes.length).toBe(100_000)
  expect((await storedBytes(storage, path)).equals(bytes)).toBe(true)
  await tus.close()
})

function lowerCase(headers: object): object {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
