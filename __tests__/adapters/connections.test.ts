// Connections that are no sockets of node:http's own: tunnels (any Duplex), HTTP/2, and those that die.

import { once } from 'node:events'
import { connect, createServer as createHttp2 } from 'node:http2'
import { type AddressInfo, createServer } from 'node:net'
import { Duplex } from 'node:stream'
import { MemoryStorage, TusServer, tusListener } from '../../src/index.js'
import { pattern } from '../core/support.js'
import { CHUNK, create, idle, offsetOf, RawConnection, TUS } from './client.js'
import { NODE_HTTP, type Running, start, storedBytes } from './hosts.js'

const closing: Array<() => void> = []

afterEach(() => {
  for (const close of closing.splice(0)) close()
})

/** A port whose connections the server gets as a Duplex, as from a tunnel. */
async function tunnelTo({ server }: Running): Promise<number> {
  const tunnel = createServer((socket) => {
    server.emit('connection', Duplex.from({ readable: socket, writable: socket }))
  })
  tunnel.listen(0, '127.0.0.1')
  await once(tunnel, 'listening')
  closing.push(() => tunnel.close())
  return (tunnel.address() as AddressInfo).port
}

test('through a tunnel: an early refusal ends the connection, and nothing else', async () => {
  const running = await start(NODE_HTTP)
  const path = await create(running.port, 10)
  const connection = await RawConnection.open(await tunnelTo(running))
  await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 3, 'Content-Length': 100_000 })
  expect((await connection.answer()).status).toBe(409)
  await connection.write(Buffer.alloc(100_000))
  await connection.closed
  expect(await offsetOf(running.port, path)).toBe(0)
})

test('through a tunnel: a body that moves is not ended, however long it takes', async () => {
  const running = await start(NODE_HTTP, { server: { requestTimeout: 100, connectionsCheckingInterval: 20 } })
  const path = await create(running.port, 40)
  const connection = await RawConnection.open(await tunnelTo(running))
  await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 40 })
  for (let sent = 0; sent < 40; sent++) {
    await connection.write(Buffer.alloc(1))
    await idle(10)
  }
  expect((await connection.answer()).status).toBe(204)
  connection.destroy()
})

test('requests that wait on a connection that dies are forgotten', async () => {
  const running = await start(NODE_HTTP, {
    server: { requestTimeout: 40 },
    tus: { onUploadCreate: () => new Promise(() => {}) },
  })
  const connection = await RawConnection.open(running.port)
  await connection.head('POST', '/files', { ...TUS, 'Upload-Length': 7, 'Content-Length': 0 })
  await connection.head('PATCH', '/files/a', { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 1000 })
  const { req } = await running.request(1)
  const { socket } = req
  connection.destroy()
  while (!socket.destroyed) await idle()
  await idle(30)
  const destroy = jest.spyOn(socket, 'destroy')
  await idle(200)
  expect(destroy).not.toHaveBeenCalled()
})

describe('HTTP/2', () => {
  async function startHttp2() {
    const storage = new MemoryStorage()
    const tus = new TusServer({ storage })
    const server = createHttp2(tusListener(tus) as never).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    closing.push(() => {
      session.destroy()
      server.close()
      void tus.close()
    })
    const ask = async (method: string, path: string, headers: object, body?: Buffer) => {
      const stream = session.request(
        { ':method': method, ':path': path, ...headers },
        { endStream: body === undefined },
      )
      if (body !== undefined) stream.end(body)
      const [answer] = (await once(stream, 'response')) as [Record<string, string>]
      stream.resume()
      return answer
    }
    return { storage, ask }
  }

  test.each([
    ['that states its length', (body: Buffer) => ({ 'content-length': body.length })],
    ['that states none', () => ({})],
  ])('a body %s is stored', async (_what, headers) => {
    const { storage, ask } = await startHttp2()
    const body = pattern(300_000)
    const { location = '' } = await ask('POST', '/files', { ...TUS, 'Upload-Length': body.length })
    const answer = await ask('PATCH', location, { ...CHUNK, 'Upload-Offset': 0, ...headers(body) }, body)
    expect([answer[':status'], answer['upload-offset']]).toEqual([204, String(body.length)])
    expect((await storedBytes(storage, location)).equals(body)).toBe(true)
    expect((await ask('HEAD', location, TUS))['upload-offset']).toBe(String(body.length))
  })
})
