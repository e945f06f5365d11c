// Extensions on a real socket: trailers, downloads, and URLs with a host.
import { createHash } from 'node:crypto'
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import connect from 'connect'
import express from 'express'
import express4 from 'express4'
import {
  MemoryStorage,
  prepareServer,
  TusServer,
  type TusServerOptions,
  tusListener,
  tusMiddleware,
} from '../../src/index.js'

const TUS = { 'Tus-Resumable': '1.0.0' }
const CHUNK = { ...TUS, 'Content-Type': 'application/offset+octet-stream' }
const HOSTS: Readonly<Record<string, (tus: TusServer) => Server>> = {
  'Express 5': (tus) => createServer(express().use('/files', tusMiddleware(tus))),
  'Express 4': (tus) => createServer(express4().use('/files', tusMiddleware(tus))),
  Connect: (tus) => createServer(connect().use('/files', tusMiddleware(tus))),
  'node:http': (tus) => createServer(tusListener(tus)),
}

const running: Array<{ server: Server; tus: TusServer }> = []

afterEach(async () => {
  for (const { server, tus } of running.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await tus.close()
  }
})

async function start(makeHost: (tus: TusServer) => Server, options: Partial<TusServerOptions> = {}): Promise<number> {
  const logger = { warn: () => {}, error: () => {} }
  const tus = new TusServer({ storage: new MemoryStorage(), logger, ...options })
  const server = makeHost(tus)
  running.push({ server, tus })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  prepareServer(server, tus)
  return (server.address() as AddressInfo).port
}

interface Sent {
  readonly method: string
  readonly path: string
  readonly headers: Record<string, string>
  readonly body?: readonly string[]
  readonly trailers?: Record<string, string>
}

function send(
  port: number,
  { method, path, headers, body = [], trailers }: Sent,
): Promise<IncomingMessage & { text: string }> {
  return new Promise((resolve, reject) => {
    const req = httpRequest({ host: '127.0.0.1', port, method, path, headers }, (res) => {
      const chunks: Buffer[] = []
      res.on('data', (chunk: Buffer) => chunks.push(chunk))
      res.on('end', () => resolve(Object.assign(res, { text: Buffer.concat(chunks).toString() })))
    })
    req.on('error', reject)
    for (const chunk of body) req.write(chunk)
    if (trailers) req.addTrailers(trailers)
    req.end()
  })
}

async function create(port: number, length: number, headers = {}): Promise<string> {
  const res = await send(port, {
    method: 'POST',
    path: '/files',
    headers: { ...TUS, 'Upload-Length': `${length}`, ...headers },
  })
  expect(res.statusCode).toBe(201)
  return new URL(String(res.headers.location), 'http://localhost').pathname
}

describe.each(Object.entries(HOSTS))('%s', (_name, makeHost) => {
  it('MUST 21: verifies a checksum that comes as a trailer of a chunked request', async () => {
    const port = await start(makeHost)
    const path = await create(port, 5)
    const digest = createHash('sha1').update('hello').digest('base64')
    const chunk = {
      method: 'PATCH',
      path,
      headers: { ...CHUNK, 'Upload-Offset': '0', 'Transfer-Encoding': 'chunked', Trailer: 'Upload-Checksum' },
      trailers: { 'Upload-Checksum': `sha1 ${digest}` },
    }
    expect((await send(port, { ...chunk, body: ['hel', 'lO'] })).statusCode).toBe(460)
    const res = await send(port, { ...chunk, body: ['hel', 'lo'] })
    expect([res.statusCode, res.headers['upload-offset']]).toEqual([204, '5'])
  })

  it('sends finished uploads, and ranges of them', async () => {
    const port = await start(makeHost, { downloads: true })
    const path = await create(port, 5, { 'Upload-Metadata': `filename ${Buffer.from('a.bin').toString('base64')}` })
    const get = (headers = {}) => send(port, { method: 'GET', path, headers })
    expect((await get()).statusCode).toBe(404)
    await send(port, {
      method: 'PATCH',
      path,
      headers: { ...CHUNK, 'Upload-Offset': '0', 'Content-Length': '5' },
      body: ['hello'],
    })
    const whole = await get()
    expect(whole.text).toBe('hello')
    expect(whole.headers).toMatchObject({
      'content-length': '5',
      'content-type': 'application/octet-stream',
      'content-disposition': 'attachment; filename=a.bin',
      'x-content-type-options': 'nosniff',
    })
    const part = await get({ Range: 'bytes=1-3' })
    expect([part.statusCode, part.text, part.headers['content-range']]).toEqual([206, 'ell', 'bytes 1-3/5'])
    const unchanged = await get({ 'If-None-Match': String(whole.headers.etag) })
    expect([unchanged.statusCode, unchanged.headers['content-length']]).toEqual([304, undefined])
    const head = await send(port, { method: 'HEAD', path, headers: TUS })
    expect([head.statusCode, head.headers['upload-offset']]).toEqual([200, '5'])
  })

  it('breaks the connection of a download whose upload is removed, instead of leaving the client to wait', async () => {
    const storage = new MemoryStorage()
    const port = await start(makeHost, { downloads: true, storage })
    const path = await create(port, 1)
    const headers = { ...CHUNK, 'Upload-Offset': '0', 'Content-Length': '1' }
    await send(port, { method: 'PATCH', path, headers, body: ['h'] })
    // The record says more than there is.
    const get = storage.get.bind(storage)
    storage.get = async (id) => {
      const upload = await get(id)
      return upload && { ...upload, length: 5 }
    }
    const asked = performance.now()
    await expect(send(port, { method: 'GET', path, headers: {} })).rejects.toThrow(/hang up|aborted|ECONNRESET/)
    expect(performance.now() - asked).toBeLessThan(4000)
  })

  it('names scheme and host in Location where asked, and never what is no host', async () => {
    const port = await start(makeHost, { absoluteLocation: true })
    const locationFor = async (headers = {}): Promise<string> => {
      const res = await send(port, {
        method: 'POST',
        path: '/files',
        headers: { ...TUS, 'Upload-Length': '1', ...headers },
      })
      return String(res.headers.location)
    }
    expect(await locationFor()).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:${port}/files/[0-9a-f]+$`))
    expect(await locationFor({ Host: 'up.example:8080' })).toMatch(/^http:\/\/up\.example:8080\/files\//)
    expect(await locationFor({ Host: 'a/b@evil' })).toMatch(/^\/files\//)
    // Nobody said that there is a proxy to trust.
    expect(await locationFor({ Host: 'here', 'X-Forwarded-Host': 'evil', 'X-Forwarded-Proto': 'https' })).toMatch(
      /^http:\/\/here\//,
    )
  })
})

it.each([
  ['Express 5', express],
  ['Express 4', express4 as unknown as typeof express],
])('%s: `trust proxy` decides what a proxy may say', async (_name, makeApp) => {
  const port = await start(
    (tus) => {
      const app = makeApp()
      app.set('trust proxy', true)
      app.use('/files', tusMiddleware(tus))
      return createServer(app)
    },
    { absoluteLocation: true },
  )
  const headers = {
    ...TUS,
    'Upload-Length': '1',
    Host: 'inner',
    'X-Forwarded-Host': 'up.example',
    'X-Forwarded-Proto': 'https',
  }
  const res = await send(port, { method: 'POST', path: '/files', headers })
  expect(res.headers.location).toMatch(/^https:\/\/up\.example\/files\//)
})
