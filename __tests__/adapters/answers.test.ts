// What goes to the next middleware, what an unexpected error looks like from outside, and what empty answers carry.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import connect from 'connect'
import express from 'express'
import express4 from 'express4'
import { MemoryStorage, type Storage, type TusServer, tusMiddleware } from '../../src/index.js'
import { errorWithCode, hookedStorage, MIB, overriding, pattern } from '../core/support.js'
import { CHUNK, create, idle, offsetOf, patch, RawConnection, send, TUS } from './client.js'
import { CONNECT, EXPRESS_4, EXPRESS_5, FRAMEWORKS, HOSTS, type Host, NODE_HTTP, start } from './hosts.js'

interface App {
  (req: IncomingMessage, res: ServerResponse): void
  use(handler: unknown): App
  use(path: string, handler: unknown): App
}

function emptyApp(host: Host): App {
  return (host === CONNECT ? connect() : host === EXPRESS_4 ? express4() : express()) as unknown as App
}

const PASSED_ON = [
  ['GET', '/files'],
  ['GET', '/files/'],
  ['GET', '/files/0123456789abcdef'],
  ['PUT', '/files/0123456789abcdef'],
  ['HEAD', '/files'],
  ['PATCH', '/files'],
  ['DELETE', '/files'],
  ['POST', '/files/0123456789abcdef'],
  ['POST', '/files/a/b'],
  ['HEAD', '/files/a/b'],
  ['PATCH', '/files/a/b/c'],
  ['DELETE', '/files/a/b'],
  ['OPTIONS', '/files/a/b'],
  ['PROPFIND', '/files'],
] as const

describe.each(FRAMEWORKS)('$name passes on', (host) => {
  test.each(PASSED_ON)('%s %s', async (method, path) => {
    const app = (tus: TusServer) =>
      emptyApp(host)
        .use('/files', tusMiddleware(tus))
        .use((req: IncomingMessage, res: ServerResponse) => {
          res.setHeader('X-App', `${req.method} ${req.url}`)
          res.end('the app')
        })
    const { port } = await start(host, { app })
    const answer = await send(port, { method, path, headers: TUS })
    expect(answer).toMatchObject({ status: 200, headers: { 'x-app': `${method} ${path}` } })
    expect(answer.headers['tus-resumable']).toBeUndefined()
    if (method !== 'HEAD') expect(answer.body).toBe('the app')
  })

  test('a body with it, unread', async () => {
    const app = (tus: TusServer) =>
      emptyApp(host)
        .use('/files', tusMiddleware(tus))
        .use((req: IncomingMessage, res: ServerResponse) => {
          expect(req.readableFlowing).toBe(null)
          req.pipe(res)
        })
    const { port } = await start(host, { app })
    expect((await send(port, { method: 'PUT', path: '/files/abc', body: 'hello' })).body).toBe('hello')
  })

  test('a request outside of its mount', async () => {
    const app = (tus: TusServer) =>
      emptyApp(host)
        .use('/files', tusMiddleware(tus))
        .use((_req: IncomingMessage, res: ServerResponse) => res.end('the app'))
    const { port } = await start(host, { app })
    for (const path of ['/', '/other', '/filesystem']) {
      expect((await send(port, { method: 'POST', path, headers: { ...TUS, 'Upload-Length': '5' } })).body).toBe(
        'the app',
      )
    }
  })
})

test.each([EXPRESS_5, EXPRESS_4])('finished files are $name\u2019s to serve, under the same path', async (host) => {
  const folder = mkdtempSync(join(tmpdir(), 'resumable-upload-answers-'))
  try {
    writeFileSync(join(folder, 'abc'), 'finished')
    const framework = (host === EXPRESS_4 ? express4 : express) as typeof express
    const app = (tus: TusServer) => framework().use('/files', tusMiddleware(tus), framework.static(folder))
    const { port } = await start(host, { app })
    expect((await send(port, { method: 'GET', path: '/files/abc' })).body).toBe('finished')
    expect((await send(port, { method: 'HEAD', path: '/files/abc', headers: TUS })).status).toBe(404)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('bare node:http answers by 404 what it passes on', async () => {
  const { port } = await start(NODE_HTTP)
  for (const [method, path] of [
    ['GET', '/files'],
    ['PUT', '/files/abc'],
    ['GET', '/'],
    ['POST', '/elsewhere'],
  ] as const) {
    expect(await send(port, { method, path })).toMatchObject({ status: 404, body: '' })
  }
})

const SECRET = '/srv/secret/uploads.sqlite'

function broken(error: unknown = new Error(`EACCES: permission denied, open '${SECRET}'`)): Storage {
  const fail = (): Promise<never> => Promise.reject(error)
  return overriding(new MemoryStorage(), { get: fail, create: fail, claim: fail })
}

const CALLS = [
  { method: 'POST', path: '/files', headers: { ...TUS, 'Upload-Length': '5' } },
  { method: 'PATCH', path: '/files/abc', headers: { ...CHUNK, 'Upload-Offset': '0' }, body: 'hello' },
  { method: 'DELETE', path: '/files/abc', headers: TUS },
]

describe.each(HOSTS)('$name, for an unexpected error,', (host) => {
  test.each(CALLS)('answers $method by a bare 500', async (call) => {
    const error = new Error(`EACCES: permission denied, open '${SECRET}'`)
    const { port, errors } = await start(host, { tus: { storage: broken(error) } })
    const answer = await send(port, call)
    expect(answer.status).toBe(500)
    expect(answer.body).toBe('Internal server error\n')
    expect(JSON.stringify(answer)).not.toMatch(/secret|EACCES|\.ts|\.js|node_modules/)
    expect(errors).toEqual([error])
  })

  test('answers HEAD by 423', async () => {
    const { port, errors } = await start(host, { tus: { storage: broken() } })
    const answer = await send(port, { method: 'HEAD', path: '/files/abc', headers: TUS })
    expect(answer).toMatchObject({ status: 423, headers: { 'retry-after': '1', 'cache-control': 'no-store' } })
    expect(errors.length).toBe(1)
  })

  test('tells onError which request it was', async () => {
    const onError = jest.fn()
    const { port } = await start(host, { tus: { storage: broken(), onError } })
    await send(port, { method: 'DELETE', path: '/files/abc?x=y', headers: TUS })
    expect(onError).toHaveBeenCalledWith(expect.any(Error), {
      method: 'DELETE',
      path: '/files/abc',
      context: expect.objectContaining({ httpVersion: '1.1' }),
    })
  })

  test('that no answer can be written of, breaks the connection off and goes on', async () => {
    const inner = new MemoryStorage()
    const storage = overriding(inner, {
      get: async (id) => {
        const upload = await inner.get(id)
        return upload && { ...upload, metadata: 'a\r\nSet-Cookie: b' }
      },
    })
    const { port, errors } = await start(host, { tus: { storage } })
    const path = await create(port, 5)
    await expect(send(port, { method: 'HEAD', path, headers: TUS })).rejects.toThrow()
    expect(errors).toEqual([expect.objectContaining({ code: 'ERR_INVALID_CHAR' })])
    expect((await patch(port, path, 0, 'hello')).status).toBe(204)
  })

  test('in the middle of a body gives the offset that stands', async () => {
    let full = false
    const storage = hookedStorage({
      write: async (_chunks, write) => {
        if (full) throw errorWithCode('ENOSPC', `ENOSPC: no space left on device, write ${SECRET}`)
        await write()
      },
    })
    const { port } = await start(host, { tus: { storage } })
    const bytes = pattern(3 * MIB)
    const path = await create(port, bytes.length)
    expect((await patch(port, path, 0, bytes.subarray(0, MIB))).status).toBe(204)
    full = true
    const refused = await patch(port, path, MIB, bytes.subarray(MIB))
    expect(refused).toMatchObject({ status: 507, headers: { 'upload-offset': String(MIB) } })
    expect(refused.body).not.toMatch(/secret|ENOSPC/)
    expect(await offsetOf(port, path)).toBe(MIB)
    full = false
    expect((await patch(port, path, MIB, bytes.subarray(MIB))).status).toBe(204)
  })
})

describe.each(FRAMEWORKS)('$name with forwardErrors', (host) => {
  const error = errorWithCode('EACCES')

  function startForwarding(storage: Storage) {
    const handled: unknown[] = []
    const app = (tus: TusServer) =>
      emptyApp(host)
        .use('/files', tusMiddleware(tus, { forwardErrors: true }))
        .use((thrown: unknown, _req: IncomingMessage, res: ServerResponse, _next: unknown) => {
          handled.push(thrown)
          res.statusCode = 503
          res.end('the app\u2019s own page')
        })
    return start(host, { app, tus: { storage } }).then((running) => ({ ...running, handled }))
  }

  test.each(CALLS)('hands the error of $method to the application', async (call) => {
    const { port, handled } = await startForwarding(broken(error))
    expect(await send(port, call)).toMatchObject({ status: 503, body: 'the app\u2019s own page' })
    expect(handled).toEqual([error])
  })

  test('still answers HEAD by 423', async () => {
    const { port, handled } = await startForwarding(broken(error))
    expect((await send(port, { method: 'HEAD', path: '/files/abc', headers: TUS })).status).toBe(423)
    expect(handled).toEqual([])
  })

  test('still answers itself what the client did wrong', async () => {
    const { port, handled } = await startForwarding(new MemoryStorage())
    const path = await create(port, 5)
    expect((await patch(port, path, 3, 'x')).status).toBe(409)
    expect((await patch(port, path, 0, 'hello!')).status).toBe(413)
    expect((await send(port, { method: 'DELETE', path: '/files/unknown', headers: TUS })).status).toBe(404)
    expect(handled).toEqual([])
  })

  const huge = 'reads no more than a little of what is left of a huge body'

  async function sendHuge({ port }: { port: number }): Promise<RawConnection> {
    const path = await create(port, 2 ** 40)
    const connection = await RawConnection.open(port)
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 2 ** 40 })
    const bytes = Buffer.alloc(MIB)
    const flood = setInterval(() => connection.socket.writableLength < 4 * MIB && connection.socket.write(bytes), 1)
    connection.socket.once('close', () => clearInterval(flood))
    return connection
  }

  test(`and a handler of the application\u2019s own ${huge}`, async () => {
    const running = await startForwarding(hookedStorage({ write: () => Promise.reject(error) }))
    const connection = await sendHuge(running)
    expect((await connection.answer()).status).toBe(503)
    await connection.closed
    expect(running.handled).toEqual([error])
    // 1 MiB to the first write that failed, one more in flight, 1 MiB of the refused rest.
    expect(running.sockets.at(-1)?.bytesRead).toBeLessThan(4 * MIB)
  })

  test(`and the framework\u2019s own handler ${huge}`, async () => {
    const storage = hookedStorage({ write: () => Promise.reject(error) })
    const app = (tus: TusServer) => emptyApp(host).use('/files', tusMiddleware(tus, { forwardErrors: true }))
    const running = await start(host, { app, tus: { storage } })
    const connection = await sendHuge(running)
    await connection.closed
    expect(running.sockets.at(-1)?.bytesRead).toBeLessThan(4 * MIB)
  })
})

describe.each(HOSTS)('$name leaves empty answers empty:', (host) => {
  const nothing = { 'content-type': undefined, etag: undefined }

  test('201, 204, and 200 of a HEAD have neither a content type nor an entity tag', async () => {
    const { port } = await start(host)
    const created = await send(port, { method: 'POST', path: '/files', headers: { ...TUS, 'Upload-Length': '5' } })
    const path = String(created.headers.location)
    const answers = [
      created,
      await patch(port, path, 0, 'hello'),
      await send(port, { method: 'HEAD', path, headers: TUS }),
      await send(port, { method: 'OPTIONS', path }),
      await send(port, { method: 'DELETE', path, headers: TUS }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([201, 204, 200, 204, 204])
    for (const { headers, body } of answers) {
      expect({ ...nothing, ...headers, body }).toMatchObject({ ...nothing, body: '' })
      expect(headers['content-length'] ?? '0').toBe('0')
    }
  })

  test.each([
    { 'If-None-Match': '*' },
    { 'If-None-Match': '"x"' },
    { 'If-Modified-Since': new Date().toUTCString() },
    { Range: 'bytes=0-0' },
  ])('a HEAD with %p is 200', async (condition) => {
    const { port } = await start(host)
    const path = await create(port, 5)
    const answer = await send(port, { method: 'HEAD', path, headers: { ...TUS, ...condition } })
    expect(answer).toMatchObject({ status: 200, headers: { 'upload-offset': '0' } })
  })

  test('a refusal has its length, its type, and no stack', async () => {
    const { port } = await start(host)
    const answer = await send(port, { method: 'POST', path: '/files', headers: TUS })
    expect(answer.headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(Number(answer.headers['content-length'])).toBe(answer.body.length)
    expect(answer.body).toBe('Either Upload-Length or Upload-Defer-Length: 1 is required\n')
  })

  test('HEAD refusals have no body that a client could take for the next answer', async () => {
    const { port } = await start(host)
    const connection = await RawConnection.open(port)
    for (const version of ['1.0.0', '0.1']) {
      await connection.head('HEAD', '/files/unknown', { 'Tus-Resumable': version })
      expect((await connection.answer('HEAD')).status).toBe(version === '1.0.0' ? 404 : 412)
      await idle()
      expect(connection.received).toBe('')
    }
    connection.destroy()
  })

  test('two requests in one packet are answered in their order', async () => {
    const { port } = await start(host)
    const path = await create(port, 10)
    const connection = await RawConnection.open(port)
    const lines = (offset: number): string =>
      `PATCH ${path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\nUpload-Offset: ${offset}\r\nContent-Length: 5\r\n\r\nhello`
    await connection.write(lines(0) + lines(5))
    const first = await connection.answer()
    expect(first.headers['upload-offset']).toBe('5')
    // The second may have come before the first was through, and is then refused.
    expect([204, 409]).toContain((await connection.answer()).status)
    connection.destroy()
  })
})
