// Codings and trailers as they come over a real socket; their rules are in protocol/body-form.ts and protocol/checksum-trailer.ts.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer as createHttp2, type OutgoingHttpHeaders } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import express from 'express'
import { MemoryStorage, TusServer, tusListener } from '../../src/index.js'
import { MIB, pattern } from '../core/support.js'
import { CHUNK, create, offsetOf, patch, RawConnection, send, TUS } from './client.js'
import { EXPRESS_5, type Handler, HOSTS, start, storedBytes } from './hosts.js'

const sha1 = (bytes: string | Uint8Array): string => `sha1 ${createHash('sha1').update(bytes).digest('base64')}`

describe.each(HOSTS)('$name', (host) => {
  test('a body with another transfer coding than chunked is answered by 501, and nothing of it is stored', async () => {
    const app = await start(host)
    const path = await create(app.port, 100)
    const body = gzipSync('hello')
    for (const [method, target] of [
      ['PATCH', path],
      ['POST', '/files'],
    ] as const) {
      const connection = await RawConnection.open(app.port)
      const headers = { ...CHUNK, 'Upload-Offset': 0, 'Upload-Length': 100, 'Transfer-Encoding': 'gzip, chunked' }
      await connection.head(method, target, headers)
      await connection.write(`${body.length.toString(16)}\r\n`)
      await connection.write(body)
      await connection.write('\r\n0\r\n\r\n')
      expect((await connection.answer()).status).toBe(501)
      await connection.closed
    }
    expect(await offsetOf(app.port, path)).toBe(0)
    expect(app.errors).toEqual([])
  })

  test('a body that a parser has unpacked is no longer than what came out', async () => {
    const { port, storage } = await start(host, { before: [express.raw({ type: () => true }) as Handler] })
    // Packed, it is longer than the upload.
    expect(gzipSync('hello').length).toBeGreaterThan(5)
    const path = await create(port, 5)
    const answer = await patch(port, path, 0, gzipSync('hello'), { 'Content-Encoding': 'gzip' })
    expect(answer).toMatchObject({ status: 204, headers: { 'upload-offset': '5' } })
    expect(String(await storedBytes(storage, path))).toBe('hello')
  })

  test('a body that a middleware has gathered as it came is still packed', async () => {
    const gather: Handler = async (req, _res, next) => {
      const chunks: Uint8Array[] = []
      for await (const chunk of req) chunks.push(chunk)
      next(void Object.assign(req, { body: Buffer.concat(chunks) }))
    }
    const { port } = await start(host, { before: [gather] })
    const path = await create(port, 100)
    expect((await patch(port, path, 0, gzipSync('hello'), { 'Content-Encoding': 'gzip' })).status).toBe(415)
    expect(await offsetOf(port, path)).toBe(0)
  })

  test('a checksum that nobody announced, behind a body too large to be in memory, keeps it from being taken', async () => {
    const app = await start(host, { tus: { segmentMs: 600_000 } })
    const bytes = pattern(6 * MIB)
    const path = await create(app.port, bytes.length)
    for (const of of [bytes, 'other']) {
      const headers = { ...CHUNK, 'Upload-Offset': '0', 'Transfer-Encoding': 'chunked' }
      const trailers = { 'Upload-Checksum': sha1(of) }
      const answer = await send(app.port, { method: 'PATCH', path, headers, body: bytes, trailers })
      expect(answer).toMatchObject({ status: 400, headers: { 'upload-offset': '0' } })
    }
    // Announced, it is.
    const headers = { ...CHUNK, 'Upload-Offset': '0', 'Transfer-Encoding': 'chunked', Trailer: 'Upload-Checksum' }
    const trailers = { 'Upload-Checksum': sha1(bytes) }
    const { status } = await send(app.port, { method: 'PATCH', path, headers, body: bytes, trailers })
    expect(status).toBe(204)
    expect((await storedBytes(app.storage, path)).equals(bytes)).toBe(true)
  })
})

test('what was committed before such a checksum came stays, and the answer says how much', async () => {
  const app = await start(EXPRESS_5, { tus: { segmentBytes: 2 * MIB } })
  const bytes = pattern(6 * MIB)
  const path = await create(app.port, bytes.length)
  const headers = { ...CHUNK, 'Upload-Offset': '0', 'Transfer-Encoding': 'chunked' }
  const trailers = { 'Upload-Checksum': sha1('other') }
  const answer = await send(app.port, { method: 'PATCH', path, headers, body: bytes, trailers })
  expect(answer.status).toBe(400)
  const offset = Number(answer.headers['upload-offset'])
  expect(offset).toBeGreaterThan(0)
  expect(offset).toBeLessThan(bytes.length)
  expect(await offsetOf(app.port, path)).toBe(offset)
})

describe('HTTP/2', () => {
  async function startHttp2() {
    const tus = new TusServer({ storage: new MemoryStorage(), logger: { warn: () => {}, error: () => {} } })
    const server = createHttp2(tusListener(tus) as never).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    const ask = async (headers: OutgoingHttpHeaders, body?: string, trailers?: OutgoingHttpHeaders) => {
      const stream = session.request({ ...TUS, ...headers }, { endStream: body === undefined, waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}))
      if (body !== undefined) stream.end(body)
      const [answer] = await once(stream, 'response')
      stream.resume()
      await once(stream, 'close')
      return answer
    }
    const end = async (): Promise<void> => {
      session.destroy()
      server.close()
      await tus.close()
    }
    return { ask, end }
  }

  test('a content coding is refused, and a checksum behind the body verified', async () => {
    const { ask, end } = await startHttp2()
    const { location } = await ask({ ':method': 'POST', ':path': '/files', 'upload-length': '10' })
    const chunk = { ...CHUNK, ':method': 'PATCH', ':path': location, 'upload-offset': '0' }
    const packed = await ask({ ...chunk, 'content-encoding': 'gzip' }, 'hello')
    expect(packed).toMatchObject({ ':status': 415, 'accept-encoding': 'identity' })
    expect(await ask(chunk, 'hello', { 'upload-checksum': sha1('other') })).toMatchObject({ ':status': 460 })
    expect(await ask({ ...chunk, 'content-length': '5' }, 'hello', { 'upload-checksum': sha1('other') })).toMatchObject(
      {
        ':status': 460,
      },
    )
    expect(await ask(chunk, 'hello', { 'upload-checksum': sha1('hello') })).toMatchObject({ ':status': 204 })
    await end()
  })
})
