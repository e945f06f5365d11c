// A body that an earlier middleware has consumed: used if all its bytes are there, else a clear error. Never a hang,
// never a chunk of nothing.

import { gzipSync } from 'node:zlib'
import express from 'express'
import express4 from 'express4'
import type { TusMiddlewareOptions } from '../../src/index.js'
import { MemoryStorage } from '../../src/index.js'
import { MIB, overriding, pattern } from '../core/support.js'
import { CHUNK, create, idle, offsetOf, patch, RawConnection, send } from './client.js'
import { EXPRESS_4, type Handler, HOSTS, start, storedBytes } from './hosts.js'

const ANY = () => true

/** A middleware that does so only with requests that have a body. */
function ofBodies(handler: Handler): Handler {
  return (req, res, next) => (Number(req.headers['content-length']) > 0 ? handler(req, res, next) : next())
}

describe.each(HOSTS)('$name', (host) => {
  const parsers = (host === EXPRESS_4 ? express4 : express) as typeof express
  const raw = (options = {}): Handler => parsers.raw({ type: ANY, limit: '10mb', ...options }) as Handler

  describe('behind express.raw()', () => {
    test.each([
      ['a small body', 5, {}],
      ['a large body', 2 * MIB, {}],
      ['a body of unstated length', 70_000, { 'Transfer-Encoding': 'chunked' }],
    ] as const)('%s is used', async (_name, size, headers) => {
      const { port, storage, errors } = await start(host, { before: [raw()] })
      const bytes = pattern(size)
      const path = await create(port, size + 5)
      expect((await patch(port, path, 0, bytes, headers)).headers['upload-offset']).toBe(String(size))
      expect((await patch(port, path, size, 'hello', headers)).headers['upload-offset']).toBe(String(size + 5))
      expect((await storedBytes(storage, path)).equals(Buffer.concat([bytes, Buffer.from('hello')]))).toBe(true)
      expect(errors).toEqual([])
    })

    test('an empty body moves nothing', async () => {
      const { port } = await start(host, { before: [raw()] })
      const path = await create(port, 5)
      expect((await patch(port, path, 0, '')).headers['upload-offset']).toBe('0')
      expect((await patch(port, path, 0, '', { 'Transfer-Encoding': 'chunked' })).headers['upload-offset']).toBe('0')
    })

    test('a creation with a body is used', async () => {
      const { port, storage } = await start(host, { before: [raw()] })
      const answer = await send(port, {
        method: 'POST',
        path: '/files',
        headers: { ...CHUNK, 'Upload-Length': '5' },
        body: 'hello',
      })
      expect(answer).toMatchObject({ status: 201, headers: { 'upload-offset': '5' } })
      expect(String(await storedBytes(storage, String(answer.headers.location)))).toBe('hello')
    })

    test('a body over the length is refused', async () => {
      const { port } = await start(host, { before: [raw()] })
      const path = await create(port, 5)
      expect((await patch(port, path, 0, 'hello!')).status).toBe(413)
      expect((await patch(port, path, 0, 'hello!', { 'Transfer-Encoding': 'chunked' })).status).toBe(413)
      expect(await offsetOf(port, path)).toBe(0)
    })

    test('a body of another type is streamed as ever', async () => {
      const { port } = await start(host, { before: [parsers.raw() as Handler] })
      const path = await create(port, 5)
      expect((await patch(port, path, 0, 'hello')).headers['upload-offset']).toBe('5')
    })

    test('a body that was unpacked counts with the bytes that came out', async () => {
      const { port, storage } = await start(host, { before: [raw()] })
      const bytes = pattern(30_000)
      const path = await create(port, bytes.length)
      const answer = await patch(port, path, 0, gzipSync(bytes), { 'Content-Encoding': 'gzip' })
      expect(answer.headers['upload-offset']).toBe('30000')
      expect((await storedBytes(storage, path)).equals(bytes)).toBe(true)
    })
  })

  const CONSUMERS: ReadonlyArray<readonly [string, Handler]> = [
    ['express.json()', parsers.json({ type: ANY, strict: false }) as Handler],
    ['express.text()', parsers.text({ type: ANY }) as Handler],
    ['express.urlencoded()', parsers.urlencoded({ type: ANY, extended: false }) as Handler],
    ['a middleware that drains the request', (req, _res, next) => req.on('end', () => next()).resume()],
    [
      'a middleware that reads the first chunk',
      (req, _res, next) => {
        req.once('data', () => {
          req.pause()
          next()
        })
      },
    ],
    [
      'a middleware that iterates over the request',
      async (req, _res, next) => {
        let size = 0
        for await (const chunk of req) size += (chunk as Buffer).length
        next(size === 5 ? undefined : new Error('not all of it'))
      },
    ],
    ['a middleware that sets an encoding', (req, _res, next) => void next(void req.setEncoding('utf8'))],
    [
      'a middleware that leaves half of the bytes in req.body',
      (req, _res, next) => {
        req.once('data', (chunk: Buffer) => {
          Object.assign(req, { body: chunk.subarray(0, 2) })
          req.resume().on('end', () => next())
        })
      },
    ],
    [
      'a middleware that waits for the request to be readable',
      (req, _res, next) => void next(void req.on('readable', () => {})),
    ],
  ]

  const BUFFER_LIMITS: ReadonlyArray<readonly [string, TusMiddlewareOptions]> = [
    ['gathered', {}],
    ['streamed', { bufferLimit: 0 }],
  ]

  describe.each(BUFFER_LIMITS)('what would have been %s', (_form, middleware) => {
    test.each(CONSUMERS)('is a clear error behind %s', async (_name, consumer) => {
      const { port, storage, errors } = await start(host, { before: [ofBodies(consumer)], middleware })
      const path = await create(port, 5)
      const answer = await patch(port, path, 0, '12345')
      expect(answer.status).toBe(500)
      expect(answer.headers['upload-offset']).toBe('0')
      expect(answer.body).toMatch(/consumed before .*: mount it before body parsers/)
      expect(errors.map(String)).toEqual([expect.stringMatching(/mount it before body parsers/)])
      expect(await offsetOf(port, path)).toBe(0)
      const created = await send(port, {
        method: 'POST',
        path: '/files',
        headers: { ...CHUNK, 'Upload-Length': '5' },
        body: '12345',
      })
      expect(created.status).toBe(500)
      expect(created.headers.location).toBeUndefined()
      expect(await storage.get(path.slice(7))).toMatchObject({ offset: 0 })
    })

    test('is a clear error behind a middleware that has begun to read while the storage was busy', async () => {
      const inner = new MemoryStorage()
      const storage = overriding(inner, {
        get: async (id) => {
          await idle()
          return inner.get(id)
        },
      })
      const consumer: Handler = (req, _res, next) => void next(void req.on('data', () => {}))
      const { port } = await start(host, { before: [consumer], middleware, tus: { storage } })
      const path = await create(port, 10)
      const connection = await RawConnection.open(port)
      await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 10 })
      await connection.write('first')
      await idle(200)
      await connection.write('after')
      expect((await connection.answer()).status).toBe(500)
      expect(await offsetOf(port, path)).toBe(0)
      connection.destroy()
    })

    test('is taken as it is behind a middleware that has paused it', async () => {
      const pause: Handler = (req, _res, next) => void next(void req.pause())
      const { port } = await start(host, { before: [pause], middleware })
      const path = await create(port, 5)
      expect((await patch(port, path, 0, '12345')).headers['upload-offset']).toBe('5')
    })

    test('is taken as it is behind one that only counts the bytes', async () => {
      let counted = 0
      const count: Handler = (req, _res, next) =>
        void next(void req.on('data', (chunk: Buffer) => (counted += chunk.length)))
      const { port } = await start(host, { before: [count], middleware })
      const path = await create(port, 5)
      const answer = await patch(port, path, 0, '12345')
      // All of it or an error: it depends on whether a byte went by before the core was ready.
      if (answer.status === 204) expect(answer.headers['upload-offset']).toBe('5')
      else expect(answer.status).toBe(500)
      expect(await offsetOf(port, path)).toBe(answer.status === 204 ? 5 : 0)
      expect(counted).toBe(5)
    })
  })

  test('a request without a body is none of a parser\u2019s', async () => {
    const { port } = await start(host, {
      before: [parsers.json({ type: ANY }) as Handler, parsers.text({ type: ANY }) as Handler],
    })
    const path = await create(port, 5)
    expect((await patch(port, path, 0, '')).status).toBe(204)
    expect(await offsetOf(port, path)).toBe(0)
  })

  test('a body of JSON that no parser wanted is stored like any other', async () => {
    const { port, storage } = await start(host, { before: [parsers.json() as Handler] })
    const path = await create(port, 9)
    expect((await patch(port, path, 0, '{"a":"b"}')).status).toBe(204)
    expect(String(await storedBytes(storage, path))).toBe('{"a":"b"}')
  })
})
