// Beside what Express applications really mount: sessions, compression, security headers, CORS, logs, body parsers.

import type { ServerResponse } from 'node:http'
import { Writable } from 'node:stream'
import compression from 'compression'
import cors from 'cors'
import express from 'express'
import session from 'express-session'
import express4 from 'express4'
import helmet from 'helmet'
import morgan from 'morgan'
import { type TusServer, tusMiddleware } from '../../src/index.js'
import { MIB, pattern } from '../core/support.js'
import { type Answer, CHUNK, create, offsetOf, patch, RawConnection, send, TUS } from './client.js'
import { EXPRESS_4, EXPRESS_5, type Handler, HOSTS, type Running, start, storedBytes } from './hosts.js'

/** Does everything that there is to do with uploads, and returns all answers. */
async function useEverything(app: Running): Promise<readonly Answer[]> {
  const answers: Answer[] = []
  const call = async (...args: Parameters<typeof send>): Promise<Answer> => {
    const answer = await send(...args)
    answers.push(answer)
    return answer
  }
  const bytes = pattern(2 * MIB)
  const created = await call(app.port, {
    method: 'POST',
    path: '/files',
    headers: { ...CHUNK, 'Upload-Length': String(bytes.length), 'Upload-Metadata': 'name YQ==' },
    body: bytes.subarray(0, 1000),
  })
  expect(created).toMatchObject({ status: 201, headers: { 'upload-offset': '1000' } })
  const path = String(created.headers.location)
  const chunk = (offset: number, body: Uint8Array, headers = {}) =>
    call(app.port, { method: 'PATCH', path, headers: { ...CHUNK, 'Upload-Offset': String(offset), ...headers }, body })
  expect((await chunk(1000, bytes.subarray(1000, 60_000))).headers['upload-offset']).toBe('60000')
  expect((await chunk(60_000, bytes.subarray(60_000, MIB))).headers['upload-offset']).toBe(String(MIB))
  const cut = await RawConnection.open(app.port)
  const arriving = app.request(app.seen.length)
  await cut.head('PATCH', path, { ...CHUNK, 'Upload-Offset': MIB, 'Content-Length': MIB })
  await cut.write(bytes.subarray(MIB, MIB + 5000))
  const { closed } = await arriving
  cut.destroy()
  await closed
  const head = await call(app.port, { method: 'HEAD', path, headers: { ...TUS, 'If-None-Match': '*' } })
  expect(head).toMatchObject({
    status: 200,
    headers: { 'upload-offset': String(MIB + 5000), 'upload-metadata': 'name YQ==' },
  })
  expect(head.headers['cache-control']).toBe('no-store')
  expect((await chunk(0, bytes.subarray(0, 10))).status).toBe(409)
  const rest = await chunk(MIB + 5000, bytes.subarray(MIB + 5000), { 'Transfer-Encoding': 'chunked' })
  expect(rest).toMatchObject({ status: 204, body: '' })
  expect((await storedBytes(app.storage, path)).equals(bytes)).toBe(true)
  expect((await call(app.port, { method: 'DELETE', path, headers: TUS })).status).toBe(204)
  expect((await call(app.port, { method: 'HEAD', path, headers: TUS })).status).toBe(404)
  for (const answer of answers) expect(answer.headers['tus-resumable']).toBe('1.0.0')
  expect({ errors: app.errors, warnings: app.warnings }).toEqual({ errors: [], warnings: [] })
  return answers
}

const neighbour = (handler: unknown): Handler => handler as Handler

const failures: unknown[] = []
const remember = (error: unknown): void => void failures.push(error)

beforeEach(() => {
  process.on('uncaughtException', remember)
  process.on('unhandledRejection', remember)
})

afterEach(() => {
  process.off('uncaughtException', remember)
  process.off('unhandledRejection', remember)
  expect(failures.splice(0)).toEqual([])
})

describe.each(HOSTS)('$name', (host) => {
  const framework = (host === EXPRESS_4 ? express4 : express) as typeof express

  test.each([
    ['that saves every session', { saveUninitialized: true, resave: true, rolling: true }],
    ['that saves only what changed', { saveUninitialized: false, resave: false }],
  ])('express-session %s', async (_name, options) => {
    const before = [neighbour(session({ secret: 'x', ...options }))]
    const answers = await useEverything(await start(host, { before }))
    for (const { headers } of answers) expect(Boolean(headers['set-cookie'])).toBe(options.saveUninitialized)
  })

  test('express-session whose store takes its time', async () => {
    const store = new session.MemoryStore()
    const { get, set } = store
    store.get = (sid, done) => void setImmediate(() => get.call(store, sid, done))
    store.set = (sid, data, done) => void setImmediate(() => set.call(store, sid, data, done))
    const before = [neighbour(session({ secret: 'x', saveUninitialized: true, resave: true, store }))]
    const app = await start(host, { before })
    const [first] = await useEverything(app)
    const cookie = String(first?.headers['set-cookie']).split(';')[0]
    // A known session is fetched before the request goes on, while the body is already coming.
    const path = await create(app.port, 100_000)
    const bytes = pattern(100_000)
    expect((await patch(app.port, path, 0, bytes, { Cookie: cookie })).status).toBe(204)
    expect((await storedBytes(app.storage, path)).equals(bytes)).toBe(true)
  })

  test('compression', async () => {
    const before = [neighbour(compression({ threshold: 0 }))]
    const answers = await useEverything(await start(host, { before }))
    for (const { headers } of answers) expect(headers['content-encoding']).toBeUndefined()
    const { port } = await start(host, { before })
    const refused = await send(port, { method: 'POST', path: '/files', headers: { ...TUS, 'Accept-Encoding': 'gzip' } })
    expect(refused.status).toBe(400)
    const path = await create(port, 5)
    const head = await send(port, { method: 'HEAD', path, headers: { ...TUS, 'Accept-Encoding': 'gzip' } })
    expect(head).toMatchObject({ status: 200, headers: { 'upload-offset': '0' } })
  })

  test('helmet', async () => {
    const answers = await useEverything(await start(host, { before: [neighbour(helmet())] }))
    for (const { headers } of answers) expect(headers['x-content-type-options']).toBe('nosniff')
  })

  test('cors, which stays in charge of its headers', async () => {
    const exposedHeaders = ['Location', 'Upload-Offset', 'Upload-Length', 'Tus-Resumable']
    const before = [neighbour(cors({ origin: 'https://app.example', exposedHeaders, preflightContinue: true }))]
    const app = await start(host, { before })
    for (const { headers } of await useEverything(app)) {
      expect(headers).toMatchObject({
        'access-control-allow-origin': 'https://app.example',
        'access-control-expose-headers': exposedHeaders.join(','),
      })
    }
    const preflight = await send(app.port, {
      method: 'OPTIONS',
      path: '/files',
      headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST' },
    })
    expect(preflight).toMatchObject({
      status: 204,
      headers: { 'access-control-allow-methods': expect.stringContaining('PATCH'), 'tus-version': '1.0.0' },
    })
  })

  test('what has begun a list of Vary, to which the own CORS adds', async () => {
    const before = neighbour((_req: unknown, res: ServerResponse, next: () => void) => {
      res.setHeader('Vary', 'Accept-Encoding')
      next()
    })
    const app = await start(host, { before: [before], tus: { cors: { origin: 'https://app.example' } } })
    for (const headers of [{}, { Origin: 'https://app.example' }]) {
      const answer = await send(app.port, { method: 'OPTIONS', path: '/files', headers })
      expect(answer.headers.vary).toBe('Accept-Encoding, Origin')
    }
  })

  test('cors, which answers preflights itself', async () => {
    const app = await start(host, { before: [neighbour(cors())] })
    const headers = { Origin: 'https://app.example', 'Access-Control-Request-Method': 'PATCH' }
    const preflight = await send(app.port, { method: 'OPTIONS', path: '/files/abc', headers })
    expect(preflight).toMatchObject({ status: 204, headers: { 'access-control-allow-origin': '*' } })
    await useEverything(app)
  })

  test('morgan, which has a line for each request, the broken one included', async () => {
    const lines: string[] = []
    const stream = new Writable({
      write: (chunk, _encoding, done) => {
        lines.push(String(chunk).trim())
        done()
      },
    })
    const app = await start(host, { before: [neighbour(morgan(':method :status', { stream }))] })
    await useEverything(app)
    expect(lines.slice().sort()).toEqual(
      [
        'DELETE 204',
        'HEAD 200',
        'HEAD 404',
        'PATCH -',
        'PATCH 204',
        'PATCH 204',
        'PATCH 204',
        'PATCH 409',
        'POST 201',
      ].sort(),
    )
  })

  test('express.json(), express.urlencoded(), express.text(), and express.raw() with their own types', async () => {
    const before = [framework.json(), framework.urlencoded({ extended: true }), framework.text(), framework.raw()]
    await useEverything(await start(host, { before: before.map(neighbour) }))
  })

  test('a limit of express.raw() for uploads, too', async () => {
    const raw = framework.raw({ type: 'application/offset+octet-stream', limit: '3mb' })
    const app = await start(host, { before: [neighbour(raw)] })
    const bytes = pattern(2 * MIB)
    const path = await create(app.port, bytes.length)
    expect((await patch(app.port, path, 0, bytes)).status).toBe(204)
    expect((await storedBytes(app.storage, path)).equals(bytes)).toBe(true)
  })

  test('all of them at once', async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done() })
    const before = [
      morgan('combined', { stream }),
      helmet(),
      cors({ credentials: true, origin: true, preflightContinue: true }),
      compression({ threshold: 0 }),
      session({ secret: 'x', saveUninitialized: true, resave: true }),
      framework.json(),
      framework.urlencoded({ extended: false }),
      framework.raw(),
    ]
    await useEverything(await start(host, { before: before.map(neighbour) }))
  })
})

describe.each([EXPRESS_5, EXPRESS_4])('$name', (host) => {
  const framework = (host === EXPRESS_4 ? express4 : express) as typeof express

  test('parsers after it serve the other routes', async () => {
    const app = (tus: TusServer) =>
      framework()
        .use('/files', tusMiddleware(tus))
        .use(framework.json(), framework.urlencoded({ extended: false }))
        .post('/echo', (req, res) => void res.json(req.body))
    const running = await start(host, { app })
    await useEverything(running)
    const headers = { 'Content-Type': 'application/json' }
    const echoed = await send(running.port, { method: 'POST', path: '/echo', headers, body: '{"a":[1]}' })
    expect(echoed.body).toBe('{"a":[1]}')
  })

  test.each([true, 1, 'loopback'])('trust proxy %p leaves the path of Location alone', async (trust) => {
    const app = (tus: TusServer) => framework().set('trust proxy', trust).use('/files', tusMiddleware(tus))
    const running = await start(host, { app })
    await useEverything(running)
    const answer = await send(running.port, {
      method: 'POST',
      path: '/files',
      headers: {
        ...TUS,
        'Upload-Length': '5',
        'X-Forwarded-Proto': 'https',
        'X-Forwarded-Host': 'evil.example',
        'X-Forwarded-For': '1.2.3.4',
        'X-Forwarded-Prefix': '/prefix',
      },
    })
    expect(answer.headers.location).toMatch(/^\/files\/[0-9a-f]{40}$/)
  })

  test.each(['strong', 'weak', false] as const)('with etag %p no answer becomes another', async (etag) => {
    const app = (tus: TusServer) => framework().set('etag', etag).use('/files', tusMiddleware(tus))
    await useEverything(await start(host, { app }))
  })

  test.each(['case sensitive routing', 'strict routing'])('with %s', async (setting) => {
    const app = (tus: TusServer) => framework().enable(setting).use('/files', tusMiddleware(tus))
    await useEverything(await start(host, { app }))
  })

  test('a handler that has answered already is not answered over', async () => {
    const impatient: Handler = (_req, res, next) => {
      res.statusCode = 503
      res.end('too slow')
      next()
    }
    const running = await start(host, { before: [impatient] })
    expect(
      await send(running.port, { method: 'POST', path: '/files', headers: { ...TUS, 'Upload-Length': '5' } }),
    ).toMatchObject({
      status: 503,
      body: 'too slow',
    })
    expect(running.errors).toEqual([])
  })

  test('a handler that waits before it passes the request on loses no byte', async () => {
    const slow: Handler = (_req, _res, next) => void setTimeout(next, 20)
    const running = await start(host, { before: [slow] })
    const bytes = pattern(300_000)
    const path = await create(running.port, bytes.length)
    expect((await patch(running.port, path, 0, bytes)).status).toBe(204)
    expect((await storedBytes(running.storage, path)).equals(bytes)).toBe(true)
    expect(await offsetOf(running.port, path)).toBe(bytes.length)
  })
})
