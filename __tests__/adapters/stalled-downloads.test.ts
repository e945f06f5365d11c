// Downloads whose client stops reading: ended, with what they are read from closed; and those that only are slow.

import { once } from 'node:events'
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import { MemoryStorage, TusServer, tusListener } from '../../src/index.js'
import { deferred, MIB, overriding, quietLogger } from '../core/support.js'
import { create, patch } from './client.js'
import { HOSTS, start } from './hosts.js'

const TIMEOUT_MS = 600
/** More than the kernel takes for a client that does not read. */
const SIZE = 64 * MIB

/** A storage whose files are of no end, and that tells when one of them is closed. */
function endlessFiles() {
  const closed = deferred()
  let read = 0
  const storage = overriding(new MemoryStorage(), {
    async *read() {
      try {
        for (; read < SIZE; read += MIB) yield Buffer.alloc(MIB)
      } finally {
        closed.resolve()
      }
    },
  })
  return { storage, closed: closed.promise, read: () => read }
}

const slow = { downloads: true, stallTimeoutMs: TIMEOUT_MS, minBytesPerSecond: 1000 }

/** A finished upload that says it is as long as the file. */
async function finishedUpload(storage: ReturnType<typeof endlessFiles>['storage'], port: number): Promise<string> {
  const path = await create(port, 5)
  expect((await patch(port, path, 0, 'hello')).status).toBe(204)
  const { get } = storage
  Object.assign(storage, {
    get: async (id: string) => ({ ...(await get.call(storage, id)), length: SIZE, offset: SIZE }),
  })
  return path
}

describe.each(HOSTS)('$name', (host) => {
  test('one that stops reading is cut, and the file is closed', async () => {
    const { storage, closed, read } = endlessFiles()
    const app = await start(host, { tus: { ...slow, storage } })
    const path = await finishedUpload(storage, app.port)
    const socket = connect(app.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await closed
    expect(read()).toBeLessThan(SIZE)
    await app.seen.at(-1)?.closed
    expect(app.errors).toEqual([])
    socket.destroy()
  })

  test('one that goes on reading is not, however long it takes', async () => {
    const { storage } = endlessFiles()
    const app = await start(host, { tus: { ...slow, storage } })
    const path = await finishedUpload(storage, app.port)
    const socket = connect(app.port, '127.0.0.1')
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    let received = 0
    const begun = performance.now()
    for await (const chunk of socket) {
      received += (chunk as Buffer).length
      if (performance.now() - begun < 4 * TIMEOUT_MS) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(performance.now() - begun).toBeGreaterThan(3 * TIMEOUT_MS)
    expect(received).toBeGreaterThan(SIZE)
  })
})

test('over HTTP/2 its stream is cut, and others of the connection go on', async () => {
  const { storage, closed } = endlessFiles()
  const tus = new TusServer({ ...slow, storage, logger: quietLogger() })
  const server = createHttp2(tusListener(tus) as never).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const ask = async (headers: Record<string, string>, body?: string) => {
    const stream = session.request({ 'tus-resumable': '1.0.0', ...headers }, { endStream: body === undefined })
    if (body !== undefined) stream.end(body)
    const [answer] = await once(stream, 'response')
    return { stream, answer }
  }
  const chunk = { 'content-type': 'application/offset+octet-stream', 'upload-length': '5' }
  const created = await ask({ ':method': 'POST', ':path': '/files', ...chunk }, 'hello')
  const path = created.answer.location as string
  const { get } = storage
  Object.assign(storage, {
    get: async (id: string) => ({ ...(await get.call(storage, id)), length: SIZE, offset: SIZE }),
  })
  const { stream } = await ask({ ':method': 'GET', ':path': path })
  stream.on('error', () => {})
  stream.pause()
  await closed
  const { answer } = await ask({ ':method': 'HEAD', ':path': path })
  expect(answer[':status']).toBe(200)
  session.destroy()
  server.close()
  await tus.close()
})
