// A connection that breaks off: every byte that reached the server counts at the next HEAD, and nothing leaks.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SQLiteStorage, type TusMiddlewareOptions } from '../../src/index.js'
import { deferred, hookedStorage, MIB, pattern } from '../core/support.js'
import { CHUNK, create, idle, offsetOf, patch, RawConnection, untilQuiet, untilRead } from './client.js'
import { EXPRESS_5, HOSTS, type Running, start, storedBytes } from './hosts.js'

interface Form {
  readonly name: string
  readonly chunked?: boolean
  readonly middleware: TusMiddlewareOptions
}

const FORMS: readonly Form[] = [
  { name: 'gathered', middleware: { bufferLimit: Number.POSITIVE_INFINITY } },
  { name: 'streamed', middleware: { bufferLimit: 0 } },
  { name: 'chunked', middleware: {}, chunked: true },
]

interface Cut {
  readonly path: string
  readonly offset: number
  readonly length: number
  readonly chunked?: boolean
}

/** Sends the head of a PATCH that promises `length` bytes, and the bytes that there are of them. */
async function begin(
  { port }: Running,
  { path, offset, length, chunked = false }: Cut,
  bytes: Uint8Array,
): Promise<RawConnection> {
  const connection = await RawConnection.open(port)
  const framing = chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': length - offset }
  await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': offset, ...framing })
  if (bytes.length > 0 && chunked) {
    await connection.write(Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]))
  } else if (bytes.length > 0) await connection.write(bytes)
  return connection
}

describe.each(HOSTS)('$name', (host) => {
  describe.each(FORMS)('a body that is $name', ({ middleware, chunked = false }) => {
    test.each([0, 1, 5, 20_000, 65_536, 200_000, 3 * MIB + 7])('keeps %i bytes', async (size) => {
      const app = await start(host, { middleware })
      const length = size + 1000
      const bytes = pattern(length)
      const path = await create(app.port, length)
      const connection = await begin(app, { path, offset: 0, length, chunked }, bytes.subarray(0, size))
      const { closed } = await app.request(1)
      connection.destroy()
      await closed
      expect(await offsetOf(app.port, path)).toBe(size)
      expect((await patch(app.port, path, size, bytes.subarray(size))).status).toBe(204)
      expect((await storedBytes(app.storage, path)).equals(bytes)).toBe(true)
      expect({ errors: app.errors, warnings: app.warnings }).toEqual({ errors: [], warnings: [] })
    })

    test('SHOULD 12: keeps what it has even if the connection is reset', async () => {
      const app = await start(host, { middleware })
      const path = await create(app.port, 100)
      const connection = await begin(app, { path, offset: 0, length: 100, chunked }, pattern(40))
      const { req, closed } = await app.request(1)
      await untilRead(req.socket, 140)
      await idle()
      connection.socket.resetAndDestroy()
      await closed
      expect(await offsetOf(app.port, path)).toBe(40)
    })

    test('keeps what it has if the client only stops sending', async () => {
      const app = await start(host, { middleware })
      const path = await create(app.port, 100)
      const connection = await begin(app, { path, offset: 0, length: 100, chunked }, pattern(40))
      const { closed } = await app.request(1)
      connection.socket.end()
      await closed
      expect(await offsetOf(app.port, path)).toBe(40)
      connection.destroy()
    })
  })

  test('SHOULD 12: bytes that arrived while the storage was busy are kept, too', async () => {
    const gate = deferred()
    const storage = hookedStorage({ write: (_chunks, write) => gate.promise.then(write) })
    const app = await start(host, { tus: { storage, segmentBytes: 1000 }, middleware: { bufferLimit: 0 } })
    const bytes = pattern(100_000)
    const path = await create(app.port, bytes.length)
    // The first piece is about to be written, and nothing more is pulled. The others wait in the adapter and in the
    // request's own buffer, which does not hold up the news that the connection is gone.
    const connection = await begin(app, { path, offset: 0, length: bytes.length }, bytes.subarray(0, 1000))
    const { req, closed } = await app.request(1)
    let size = 1000
    const head = (await untilQuiet(req.socket)) - size
    for (const more of [100, 5000]) {
      await connection.write(bytes.subarray(size, size + more))
      size += more
      await untilRead(req.socket, head + size)
      await idle()
    }
    connection.destroy()
    await closed
    gate.resolve()
    expect(await offsetOf(app.port, path)).toBe(size)
    expect((await storedBytes(app.storage, path)).equals(bytes.subarray(0, size))).toBe(true)
  })

  test('a creation that breaks off leaves no request behind', async () => {
    const app = await start(host)
    const connection = await RawConnection.open(app.port)
    await connection.head('POST', '/files', { ...CHUNK, 'Upload-Length': 100, 'Content-Length': 100 })
    await connection.write(pattern(40))
    const { closed } = await app.request(0)
    connection.destroy()
    await closed
    await app.tus.close({ timeoutMs: 60_000 })
    expect(app.errors).toEqual([])
  })

  test('a body that broke off before it was read is not waited for, and what arrived of it is kept', async () => {
    const opening = deferred()
    const reached = deferred()
    const inner = hookedStorage({})
    const storage: typeof inner = Object.create(inner, {
      openStage: {
        value: async (...args: Parameters<typeof inner.openStage>) => {
          reached.resolve()
          await opening.promise
          return inner.openStage(...args)
        },
      },
    })
    const app = await start(host, { tus: { storage } })
    const path = await create(app.port, 100)
    const connection = await begin(app, { path, offset: 0, length: 100 }, pattern(40))
    const { closed } = await app.request(1)
    await reached.promise
    await idle()
    connection.destroy()
    await closed
    opening.resolve()
    expect(await offsetOf(app.port, path)).toBe(40)
  })

  test('a hundred of them leave nothing behind', async () => {
    const app = await start(host)
    const path = await create(app.port, 1_000_000)
    const timers = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
    let offset = 0
    for (let index = 0; index < 100; index++) {
      const chunked = index % 3 === 0
      const length = index % 3 === 1 ? 1_000_000 : offset + 1000
      const arriving = app.request(app.seen.length)
      const connection = await begin(app, { path, offset, length, chunked }, pattern(100))
      const { closed } = await arriving
      connection.destroy()
      await closed
      offset += 100
      // In the very moment in which the old one is dealt with.
      if (index % 10 === 9) expect(await offsetOf(app.port, path)).toBe(offset)
      else while ((await app.storage.get(path.slice(7)))?.offset !== offset) await idle(1)
    }
    expect(await offsetOf(app.port, path)).toBe(offset)
    // Nothing is under way any more, so closing waits for nothing.
    await app.tus.close({ timeoutMs: 60_000 })
    while (app.sockets.some(({ destroyed }) => !destroyed)) await idle(1)
    for (const { req } of app.seen) expect(req.listenerCount('data') + req.listenerCount('aborted')).toBe(0)
    expect(process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length).toBeLessThanOrEqual(timers + 1)
  })
})

test('the bytes are kept on the disk, too', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'resumable-upload-aborts-'))
  try {
    const app = await start(EXPRESS_5, { tus: { storage: new SQLiteStorage({ directory: folder }) } })
    const length = 2 * MIB
    const bytes = pattern(length)
    const path = await create(app.port, length)
    let offset = 0
    for (const size of [1, 70_000, MIB + 11]) {
      const seen = app.seen.length
      const connection = await begin(app, { path, offset, length }, bytes.subarray(offset, offset + size))
      const { closed } = await app.request(seen)
      connection.destroy()
      await closed
      offset += size
      expect(await offsetOf(app.port, path)).toBe(offset)
    }
    expect((await patch(app.port, path, offset, bytes.subarray(offset))).status).toBe(204)
    expect((await storedBytes(app.storage, path)).equals(bytes)).toBe(true)
    await app.tus.close()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
