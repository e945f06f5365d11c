// What the core gets to know of a request: its path, its context, its trailers, and that the client is gone.

import type { HandleOptions } from '../../src/index.js'
import { MemoryStorage } from '../../src/index.js'
import { overriding, pattern } from '../core/support.js'
import { CHUNK, create, idle, patch, RawConnection, send, TUS } from './client.js'
import { HOSTS, NODE_HTTP, type Running, start } from './hosts.js'

/** Remembers what the core is called with. */
function spyOn({ tus }: Running) {
  return jest.spyOn(tus, 'handleRequest')
}

/** The options of the last call. */
function lastOptions(spy: ReturnType<typeof spyOn>): HandleOptions {
  return spy.mock.calls.at(-1)?.[4] ?? {}
}

describe.each(HOSTS)('$name', (host) => {
  test('method, path and headers are handed over, with the request of the framework as context', async () => {
    const app = await start(host)
    const spy = spyOn(app)
    const path = await create(app.port, 5)
    expect(spy.mock.calls.at(-1)?.slice(0, 2)).toEqual(['POST', expect.stringMatching(/^\/files\/?$/)])
    await patch(app.port, `${path}?a=b`, 0, 'hello')
    const { req } = await app.request(1)
    const [method, where, headers] = spy.mock.calls.at(-1) ?? []
    expect([method, where]).toEqual(['PATCH', path])
    expect(headers).toMatchObject({ 'upload-offset': '0', 'tus-resumable': '1.0.0' })
    expect(lastOptions(spy).context).toBe(req)
  })

  test('the mount is handed over where there is one', async () => {
    const app = await start(host, { mount: '/a/files' })
    const spy = spyOn(app)
    await create(app.port, 5, '/a/files')
    expect(lastOptions(spy).baseUrl).toBe(host === NODE_HTTP ? undefined : '/a/files')
  })

  test('trailers are there once the body has ended', async () => {
    const app = await start(host)
    const spy = spyOn(app)
    const path = await create(app.port, 5)
    const connection = await RawConnection.open(app.port)
    const headers = { ...CHUNK, 'Upload-Offset': 0, 'Transfer-Encoding': 'chunked', Trailer: 'Upload-Checksum' }
    await connection.head('PATCH', path, headers)
    await connection.write('5\r\nhello\r\n0\r\nUpload-Checksum: sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=\r\n\r\n')
    expect((await connection.answer()).status).toBe(204)
    expect(lastOptions(spy).trailers?.()).toEqual({ 'upload-checksum': 'sha1 qvTGHdzF6KLavt4PO0gs2a6pQ00=' })
    connection.destroy()
  })

  test.each([
    ['before', true],
    ['after', false],
  ])('the signal is aborted when the client goes away, asked for %s that', async (_when, early) => {
    const app = await start(host)
    const path = await create(app.port, 100)
    const spy = spyOn(app)
    const connection = await RawConnection.open(app.port)
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 100 })
    const { closed } = await app.request(1)
    const options = lastOptions(spy)
    if (early) expect(options.signal?.aborted).toBe(false)
    connection.destroy()
    await closed
    expect(options.signal?.aborted).toBe(true)
    expect(options.signal).toBe(options.signal)
  })

  test('a request without a body has none', async () => {
    const app = await start(host)
    const spy = spyOn(app)
    const path = await create(app.port, 5)
    await patch(app.port, path, 0, '')
    await send(app.port, { method: 'HEAD', path, headers: TUS })
    expect(spy.mock.calls.map(([, , , body]) => body)).toEqual([undefined, undefined, undefined])
  })

  test('closing the upload server stops stalled bodies, refuses the others, and loses no byte', async () => {
    const kept = new MemoryStorage()
    const app = await start(host, { tus: { storage: overriding(kept, { close: () => {} }) } })
    const path = await create(app.port, 1000)
    const stalled = await RawConnection.open(app.port)
    await stalled.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Transfer-Encoding': 'chunked' })
    await stalled.write('64\r\n')
    await stalled.write(pattern(100))
    await app.request(1)
    while (app.sockets.at(-1)?.bytesRead !== stalled.socket.bytesWritten) await idle(1)
    await idle()
    const closing = app.tus.close({ timeoutMs: 0 })
    const refused = await patch(app.port, path, 0, 'hello')
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
    expect((await send(app.port, { method: 'HEAD', path, headers: TUS })).status).toBe(423)
    await closing
    await stalled.closed
    expect(await kept.get(path.slice(7))).toMatchObject({ offset: 100, complete: false })
  })
})

test('bare node:http may serve uploads at the root', async () => {
  const app = await start(NODE_HTTP, { tus: { basePath: '/' } })
  const path = await create(app.port, 5, '/')
  expect(path).toMatch(/^\/[0-9a-f]{40}$/)
  expect((await patch(app.port, path, 0, 'hello')).status).toBe(204)
})

test.each(HOSTS)('$name: OPTIONS * is none of ours', async (host) => {
  const app = await start(host)
  const connection = await RawConnection.open(app.port)
  await connection.head('OPTIONS', '*', {})
  const { status, headers } = await connection.answer()
  expect({ status, version: headers['tus-version'] }).toEqual({ status: 404, version: undefined })
  connection.destroy()
})
