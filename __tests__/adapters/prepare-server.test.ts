// prepareServer: a body may take as long as it likes while it moves, and 100 Continue comes when somebody reads.

import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import express from 'express'
import { MemoryStorage, prepareServer, type TusServer as Tus, TusServer, tusMiddleware } from '../../src/index.js'
import { MIB, pattern, quietLogger } from '../core/support.js'
import { type Answer, CHUNK, create, idle, offsetOf, patch, RawConnection, send, TUS } from './client.js'
import { EXPRESS_5, type Handler, HOSTS, type Host, type HostOptions, NODE_HTTP, start, storedBytes } from './hosts.js'

/** Node ends a request after so long, and looks for such ones so often, in milliseconds. */
const TIMEOUT_MS = 500
const impatient: HostOptions = {
  server: { requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS, connectionsCheckingInterval: 40 },
}

/** Sends a piece of a body every so often. */
async function trickle(connection: RawConnection, pieces: readonly Uint8Array[], everyMs: number): Promise<void> {
  for (const piece of pieces) {
    await connection.write(piece)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

function inPieces(bytes: Uint8Array, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, index) =>
    bytes.subarray((bytes.length * index) / count, (bytes.length * (index + 1)) / count),
  )
}

describe.each(HOSTS)('$name', (host) => {
  test('MUST 3, 10, 16: a refusal comes without 100 Continue, and spares the client the body', async () => {
    const app = await start(host)
    const path = await create(app.port, 5)
    for (const [status, headers] of [
      [413, { ...CHUNK, 'Upload-Offset': 0 }],
      [409, { ...CHUNK, 'Upload-Offset': 3 }],
      [412, { 'Upload-Offset': 0, 'Tus-Resumable': '0.1' }],
      [415, { ...TUS, 'Upload-Offset': 0, 'Content-Type': 'text/plain' }],
    ] as const) {
      const connection = await RawConnection.open(app.port)
      await connection.head('PATCH', path, { ...headers, 'Content-Length': MIB, Expect: '100-continue' })
      expect((await connection.answer()).status).toBe(status)
      await connection.closed
    }
  })

  test('MUST 11: a body that is taken is asked for by 100 Continue, once', async () => {
    const app = await start(host)
    const path = await create(app.port, 10)
    const connection = await RawConnection.open(app.port)
    for (const offset of [0, 5]) {
      await connection.head('PATCH', path, {
        ...CHUNK,
        'Upload-Offset': offset,
        'Content-Length': 5,
        Expect: '100-continue',
      })
      expect((await connection.answer()).status).toBe(100)
      await idle()
      expect(connection.received).toBe('')
      await connection.write('hello')
      expect((await connection.answer()).headers['upload-offset']).toBe(String(offset + 5))
    }
    connection.destroy()
  })

  test('a chunked body and one that is streamed are asked for, too', async () => {
    const app = await start(host, { middleware: { bufferLimit: 0 } })
    const path = await create(app.port, 10)
    const connection = await RawConnection.open(app.port)
    await connection.head('PATCH', path, {
      ...CHUNK,
      'Upload-Offset': 0,
      'Transfer-Encoding': 'chunked',
      Expect: '100-continue',
    })
    expect((await connection.answer()).status).toBe(100)
    await connection.write('5\r\nhello\r\n0\r\n\r\n')
    expect((await connection.answer()).headers['upload-offset']).toBe('5')
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 5, 'Content-Length': 5, Expect: '100-continue' })
    expect((await connection.answer()).status).toBe(100)
    await connection.write('hello')
    expect((await connection.answer()).headers['upload-offset']).toBe('10')
    connection.destroy()
  })

  test('SHOULD 18: a creation with a body is asked for by 100 Continue, or refused', async () => {
    const app = await start(host, { tus: { maxSize: 100 } })
    const connection = await RawConnection.open(app.port)
    await connection.head('POST', '/files', {
      ...CHUNK,
      'Upload-Length': 5,
      'Content-Length': 5,
      Expect: '100-continue',
    })
    expect((await connection.answer()).status).toBe(100)
    await connection.write('hello')
    expect(await connection.answer()).toMatchObject({ status: 201, headers: { 'upload-offset': '5' } })
    await connection.head('POST', '/files', {
      ...CHUNK,
      'Upload-Length': 101,
      'Content-Length': 101,
      Expect: '100-continue',
    })
    expect((await connection.answer()).status).toBe(413)
    await connection.closed
  })

  test('Node\u2019s own client waits for it', async () => {
    const app = await start(host)
    const path = await create(app.port, 5)
    const client = request({
      port: app.port,
      host: '127.0.0.1',
      method: 'PATCH',
      path,
      headers: { ...CHUNK, 'Upload-Offset': '0', 'Content-Length': '5', Expect: '100-continue' },
    })
    client.flushHeaders()
    await new Promise((resolve) => client.once('continue', resolve))
    const status = new Promise((resolve) =>
      client.once('response', (response) => resolve(response.resume().statusCode)),
    )
    client.end('hello')
    expect(await status).toBe(204)
  })

  test('a request without a body may expect what it likes', async () => {
    const app = await start(host)
    const connection = await RawConnection.open(app.port)
    await connection.head('POST', '/files', { ...TUS, 'Upload-Length': 5, 'Content-Length': 0, Expect: '100-continue' })
    expect((await connection.answer()).status).toBe(201)
    connection.destroy()
  })
})

/** What takes a while is tried on every host at the same time. */
async function onEveryHost(run: (host: Host) => Promise<void>): Promise<void> {
  const outcomes = await Promise.allSettled(HOSTS.map(run))
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

test('a body that moves for five times the timeout passes, gathered or streamed', () =>
  onEveryHost(async (host) => {
    const bytes = pattern(20_000)
    const offsets = [Number.POSITIVE_INFINITY, 0].map(async (bufferLimit) => {
      const app = await start(host, { ...impatient, middleware: { bufferLimit } })
      const path = await create(app.port, bytes.length)
      const connection = await RawConnection.open(app.port)
      await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': bytes.length })
      await trickle(connection, inPieces(bytes, 20), (5 * TIMEOUT_MS) / 20)
      const { headers } = await connection.answer()
      expect((await storedBytes(app.storage, path)).equals(bytes)).toBe(true)
      connection.destroy()
      return headers['upload-offset']
    })
    expect(await Promise.all(offsets)).toEqual(['20000', '20000'])
  }))

test('a body that stalls is ended after the timeout, and what arrived is kept', () =>
  onEveryHost(async (host) => {
    const app = await start(host, impatient)
    const path = await create(app.port, 1000)
    const connection = await RawConnection.open(app.port)
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 1000 })
    await connection.write(pattern(300))
    const begun = performance.now()
    await connection.closed
    const tookMs = performance.now() - begun
    expect(tookMs).toBeGreaterThan(TIMEOUT_MS * 0.9)
    expect(tookMs).toBeLessThan(TIMEOUT_MS * 8)
    expect(await offsetOf(app.port, path)).toBe(300)
  }))

test('without prepareServer a body that moves is ended, which is why there is a warning, once', () =>
  onEveryHost(async (host) => {
    const app = await start(host, { ...impatient, prepared: false })
    const path = await create(app.port, 2000)
    expect(app.warnings).toEqual([])
    const connection = await RawConnection.open(app.port)
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 1000 })
    await trickle(connection, inPieces(pattern(500), 20), (2 * TIMEOUT_MS) / 20)
    expect((await connection.answer()).status).toBe(408)
    const offset = await offsetOf(app.port, path)
    expect(offset).toBeGreaterThan(0)
    expect((await patch(app.port, path, offset, 'x')).status).toBe(204)
    expect(app.warnings).toEqual([expect.stringMatching(/after 0\.5 s.*prepareServer\(server, tus\)/)])
  }))

test('a client that sends the body without waiting sees the answer, whichever it is', () =>
  onEveryHost(async (host) => {
    const app = await start(host)
    const path = await create(app.port, 5)
    const refused = await RawConnection.open(app.port)
    await refused.head('PATCH', path, {
      ...CHUNK,
      'Upload-Offset': 3,
      'Content-Length': 8 * MIB,
      Expect: '100-continue',
    })
    const bytes = Buffer.alloc(MIB)
    const write = (): void => {
      while (!refused.socket.destroyed && refused.socket.writableLength < 4 * MIB) refused.socket.write(bytes)
    }
    refused.socket.on('drain', write)
    write()
    expect((await refused.answer()).status).toBe(409)
    await refused.closed
    expect(app.sockets.at(-1)?.bytesRead).toBeLessThanOrEqual(MIB)
    const taken = await RawConnection.open(app.port)
    await taken.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 5, Expect: '100-continue' })
    await taken.write('hello')
    const first = await taken.answer()
    const last = first.status === 100 ? await taken.answer() : first
    expect(last.headers['upload-offset']).toBe('5')
    taken.destroy()
  }))

describe('the warning', () => {
  const countWarnings = async (options: HostOptions): Promise<number> => {
    const app = await start(NODE_HTTP, options)
    await patch(app.port, await create(app.port, 5), 0, 'hello')
    return app.warnings.length
  }

  test('does not come where the server was prepared', async () => {
    expect(await countWarnings({})).toBe(0)
  })

  test('does not come where the server ends no requests', async () => {
    expect(await countWarnings({ prepared: false, server: { requestTimeout: 0 } })).toBe(0)
  })

  test('comes with Node\u2019s defaults', async () => {
    expect(await countWarnings({ prepared: false })).toBe(1)
  })

  test('comes once for each upload server, not once for all', async () => {
    expect(await countWarnings({ prepared: false })).toBe(1)
    expect(await countWarnings({ prepared: false })).toBe(1)
  })
})

describe('while it is this side that does not read,', () => {
  test('a request that waits for its upload is not ended', async () => {
    const app = await start(EXPRESS_5, { ...impatient, tus: { claimWaitMs: 60_000 } })
    const bytes = pattern(5 * MIB)
    const path = await create(app.port, bytes.length)
    const id = path.slice(path.lastIndexOf('/') + 1)
    const claim = await app.storage.claim?.(id, { owner: 'another host', ttlMs: 3 * TIMEOUT_MS })
    expect(claim).toHaveProperty('fence')
    const begun = performance.now()
    expect((await patch(app.port, path, 0, bytes)).headers['upload-offset']).toBe(String(bytes.length))
    expect(performance.now() - begun).toBeGreaterThan(2 * TIMEOUT_MS)
  })

  test('a client that waits for 100 Continue is not ended', async () => {
    const app = await start(EXPRESS_5, { ...impatient, tus: { claimWaitMs: 60_000 } })
    const path = await create(app.port, 5)
    const id = path.slice(path.lastIndexOf('/') + 1)
    expect(await app.storage.claim?.(id, { owner: 'another host', ttlMs: 3 * TIMEOUT_MS })).toHaveProperty('fence')
    const connection = await RawConnection.open(app.port)
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 5, Expect: '100-continue' })
    expect((await connection.answer()).status).toBe(100)
    await connection.write('hello')
    expect((await connection.answer()).status).toBe(204)
    connection.destroy()
  })
})

describe('other routes of the same server', () => {
  const READERS: ReadonlyArray<readonly [string, (req: IncomingMessage) => Promise<unknown>]> = [
    ['by data events', (req) => new Promise((resolve) => req.on('data', () => {}).on('close', resolve))],
    [
      'by readable events',
      (req) => new Promise((resolve) => req.on('readable', () => req.read()).on('close', resolve)),
    ],
    [
      'by iterating',
      async (req) => {
        for await (const chunk of req) void chunk
      },
    ],
    ['by a pipe', (req) => pipeline(req, new Writable({ write: (_chunk, _encoding, done) => done() }))],
    ['not at all', (req) => new Promise((resolve) => req.on('close', resolve))],
  ]

  test.each(READERS)('a body that stalls is ended there, too, if it is read %s', async (_how, read) => {
    const ended = new Promise<void>((resolve) => {
      readers.push(
        (req) =>
          void read(req)
            .catch(() => {})
            .then(() => resolve()),
      )
    })
    const app = await start(EXPRESS_5, {
      ...impatient,
      before: [(req, _res, next) => (req.method === 'PUT' ? readers.pop()?.(req) : next())],
    })
    const connection = await RawConnection.open(app.port)
    await connection.head('PUT', '/other', { 'Content-Length': 1000 })
    await connection.write('some of it')
    await connection.closed
    await ended
  })

  const readers: Array<(req: IncomingMessage) => void> = []

  test('a body has the timeout in all there, as without prepareServer, however well it moves', async () => {
    const app = await start(EXPRESS_5, {
      ...impatient,
      before: [(req, _res, next) => (req.method === 'PUT' ? req.resume() : next())],
    })
    const connection = await RawConnection.open(app.port)
    for (let request = 0; request < 2; request++) {
      // One that is whole in time leaves the connection to the next.
      if (request === 0) {
        await connection.head('POST', '/files', { ...TUS, 'Upload-Length': 5, 'Content-Length': 0 })
        expect((await connection.answer()).status).toBe(201)
        continue
      }
      await connection.head('PUT', '/other', { 'Content-Length': 1000 })
      const begun = performance.now()
      const trickling = trickle(connection, inPieces(pattern(900), 60), (3 * TIMEOUT_MS) / 60)
      expect((await connection.answer()).status).toBe(408)
      expect(performance.now() - begun).toBeGreaterThan(TIMEOUT_MS * 0.9)
      await connection.closed
      await trickling
    }
  })

  test('the application hears of it by clientError, as without prepareServer', async () => {
    const app = await start(EXPRESS_5, {
      ...impatient,
      before: [(req, _res, next) => (req.method === 'PUT' ? req.resume() : next())],
    })
    app.server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      socket.end(`HTTP/1.1 408 ${error.code}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`)
    })
    const connection = await RawConnection.open(app.port)
    await connection.head('PUT', '/other', { 'Content-Length': 1000 })
    await connection.write('some of it')
    expect((await connection.answer()).status).toBe(408)
    await connection.closed
  })

  test('what remains of a refused body has the timeout once more', async () => {
    const app = await start(EXPRESS_5, impatient)
    const connection = await RawConnection.open(app.port)
    await connection.head('PATCH', '/files/nothing', { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 60_000 })
    expect((await connection.answer()).status).toBe(404)
    const trickling = trickle(connection, inPieces(pattern(900), 60), (3 * TIMEOUT_MS) / 60)
    await connection.closed
    await trickling
  })

  test('a body of either of two upload servers may take as long as it likes', async () => {
    const other = new TusServer({ storage: new MemoryStorage(), logger: quietLogger() })
    const app = await start(EXPRESS_5, {
      ...impatient,
      before: [express().use('/others', tusMiddleware(other)) as Handler],
    })
    prepareServer(app.server, other)
    await Promise.all(
      ['/files', '/others'].map(async (mount) => {
        const path = await create(app.port, 1000, mount)
        const connection = await RawConnection.open(app.port)
        await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 1000 })
        await trickle(connection, inPieces(pattern(1000), 20), (3 * TIMEOUT_MS) / 20)
        expect((await connection.answer()).headers['upload-offset']).toBe('1000')
        connection.destroy()
      }),
    )
    await other.close()
  })

  test('where headersTimeout was off, requestTimeout still limits the headers', async () => {
    const app = await start(EXPRESS_5, { server: { ...impatient.server, headersTimeout: 0 } })
    const connection = await RawConnection.open(app.port)
    await connection.write('PATCH /files/abc HTTP/1.1\r\nHost: x\r\n')
    await connection.closed
  })

  test('answers may take longer than the timeout', async () => {
    const slow: Handler = (_req, res) => void setTimeout(() => res.end('at last'), 2 * TIMEOUT_MS)
    const app = await start(EXPRESS_5, { ...impatient, before: [slow] })
    expect((await send(app.port, { method: 'PUT', path: '/other', body: 'x' })).body).toBe('at last')
    expect((await send(app.port, { method: 'GET', path: '/other' })).body).toBe('at last')
  })

  test('headers that do not come are still waited for no longer than headersTimeout', async () => {
    const app = await start(EXPRESS_5, impatient)
    const connection = await RawConnection.open(app.port)
    await connection.write('PATCH /files/abc HTTP/1.1\r\nHost: x\r\n')
    expect((await connection.answer()).status).toBe(408)
    await connection.closed
  })

  describe('with Expect: 100-continue', () => {
    const app = (tus: Tus) =>
      express()
        .use('/files', tusMiddleware(tus))
        .post('/json', express.json(), (req, res) => void res.json(req.body))
        .post('/unread', (_req, res) => void res.status(403).end('no'))
        .post('/ignored', (_req, res) => void res.end('whatever'))

    async function expectContinue(path: string, body: string): Promise<readonly [Answer, RawConnection]> {
      const { port } = await start(EXPRESS_5, { app })
      const connection = await RawConnection.open(port)
      await connection.head('POST', path, {
        'Content-Type': 'application/json',
        'Content-Length': body.length,
        Expect: '100-continue',
      })
      return [await connection.answer(), connection]
    }

    test('express.json() gets its body', async () => {
      const [first, connection] = await expectContinue('/json', '{"a":1}')
      expect(first.status).toBe(100)
      await connection.write('{"a":1}')
      expect(await connection.answer()).toMatchObject({ status: 200, body: '{"a":1}' })
      connection.destroy()
    })

    test('a route that does not read it answers without 100 Continue', async () => {
      const [first, connection] = await expectContinue('/unread', '{"a":1}')
      expect(first).toMatchObject({ status: 403, body: 'no' })
      connection.destroy()
    })
  })
})

describe('prepareServer', () => {
  const tus = (logger = quietLogger()) => new TusServer({ storage: new MemoryStorage(), logger })

  test('returns the server, and prepares it once', () => {
    const server = createServer()
    expect(prepareServer(server, tus())).toBe(server)
    expect(server.requestTimeout).toBe(0)
    const before = server.listenerCount('request') + server.listenerCount('checkContinue')
    prepareServer(server, tus())
    expect(server.listenerCount('request') + server.listenerCount('checkContinue')).toBe(before)
    server.emit('close')
  })

  test('leaves a server alone that ends no requests', () => {
    const server = createServer({ requestTimeout: 0 })
    prepareServer(server, tus())
    expect(server.listenerCount('request')).toBe(0)
  })

  test('says so if somebody else answers Expect: 100-continue', () => {
    const logger = quietLogger()
    const server = createServer().on('checkContinue', (_req: IncomingMessage, res: ServerResponse) =>
      res.writeContinue(),
    )
    prepareServer(server, tus(logger))
    expect(logger.warnings).toEqual([expect.stringMatching(/100-continue/)])
    expect(server.listenerCount('checkContinue')).toBe(1)
    server.emit('close')
  })

  test('has one timer, which ends with the server and keeps no process alive', () => {
    const uploads = tus()
    const setInterval = jest.spyOn(globalThis, 'setInterval')
    const clearInterval = jest.spyOn(globalThis, 'clearInterval')
    try {
      const server = createServer()
      prepareServer(server, uploads)
      expect(setInterval).toHaveBeenCalledTimes(1)
      const timer = setInterval.mock.results[0]?.value as NodeJS.Timeout
      expect(timer.hasRef()).toBe(false)
      server.emit('close')
      expect(clearInterval).toHaveBeenCalledWith(timer)
    } finally {
      setInterval.mockRestore()
      clearInterval.mockRestore()
    }
  })
})
