// A body that is refused while it is still coming: the client sees the answer instead of a reset, at most 1 MiB of the
// rest is read, and the connection closes soon. A small one costs nobody the connection.

import { request } from 'node:http'
import type { TusServerOptions } from '../../src/index.js'
import { MIB, pattern } from '../core/support.js'
import { type Answer, answerOf, CHUNK, create, idle, offsetOf, RawConnection, TUS } from './client.js'
import { HOSTS, type Running, start } from './hosts.js'

const HUGE = 2 ** 40

const CHUNKED_MIB = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(MIB), Buffer.from('\r\n')])

interface Refusal {
  readonly status: number
  readonly why: string
  readonly method?: string
  readonly path?: string
  readonly headers: Readonly<Record<string, string | number>>
}

const REFUSALS: readonly Refusal[] = [
  { status: 413, why: 'over the length', headers: { ...CHUNK, 'Upload-Offset': 0 } },
  { status: 409, why: 'at another offset', headers: { ...CHUNK, 'Upload-Offset': 3 } },
  { status: 412, why: 'of another version', headers: { ...CHUNK, 'Upload-Offset': 0, 'Tus-Resumable': '0.1' } },
  { status: 415, why: 'of another type', headers: { ...TUS, 'Upload-Offset': 0, 'Content-Type': 'text/plain' } },
  { status: 404, why: 'of an unknown upload', path: '/files/unknown', headers: { ...CHUNK, 'Upload-Offset': 0 } },
  {
    status: 413,
    why: 'over the maximum, to create with',
    method: 'POST',
    path: '/files',
    headers: { ...CHUNK, 'Upload-Length': HUGE },
  },
  {
    status: 400,
    why: 'with broken metadata',
    method: 'POST',
    path: '/files',
    headers: { ...CHUNK, 'Upload-Length': 5, 'Upload-Metadata': ',' },
  },
]

/** Writes into a connection as fast as it takes it, until it is gone. */
function flood({ socket }: RawConnection, bytes: Uint8Array): void {
  const write = (): void => {
    while (!socket.destroyed && socket.writableLength < 4 * bytes.length) socket.write(bytes)
  }
  socket.on('drain', write)
  write()
}

describe.each(HOSTS)('$name', (host) => {
  async function startWithUpload(tus: Partial<TusServerOptions> = {}): Promise<Running & { upload: string }> {
    const running = await start(host, { tus: { maxSize: MIB, ...tus } })
    return { ...running, upload: await create(running.port, 5) }
  }

  test('MUST 3, 10, 16: the answer to a huge body, of stated length or not, is seen by a client that floods the connection', async () => {
    const running = await startWithUpload()
    const framings = [
      [{ 'Content-Length': HUGE }, Buffer.alloc(MIB)],
      [{ 'Transfer-Encoding': 'chunked' }, CHUNKED_MIB],
    ] as const
    // All at once, since each takes as long as the connection lingers.
    const calls = REFUSALS.flatMap((refusal) => framings.map((framing) => [refusal, ...framing] as const))
    const outcomes = await Promise.all(
      calls.map(async ([{ method = 'PATCH', path = running.upload, headers, why }, framing, bytes]) => {
        const connection = await RawConnection.open(running.port)
        const { localPort } = connection.socket
        const begun = performance.now()
        await connection.head(method, path, { ...headers, ...framing })
        flood(connection, bytes)
        const { status, headers: answer } = await connection.answer()
        const end = running.sockets.find(({ remotePort }) => remotePort === localPort)
        await connection.closed
        const outcome = { why, status, connection: answer.connection, version: answer['tus-resumable'] }
        return { ...outcome, soon: performance.now() - begun < 8000, spared: Number(end?.bytesRead) <= MIB }
      }),
    )
    expect(outcomes).toEqual(
      calls.map(([{ why, status }]) => ({
        why,
        status,
        connection: 'close',
        version: '1.0.0',
        soon: true,
        spared: true,
      })),
    )
    expect(await offsetOf(running.port, running.upload)).toBe(0)
    expect(running.errors).toEqual([])
  })

  describe.each(REFUSALS)('$status to a huge body $why', ({ status, method = 'PATCH', path, headers }) => {
    test('is seen by Node\u2019s own client', async () => {
      const { port, sockets, upload } = await startWithUpload()
      const client = request({
        port,
        host: '127.0.0.1',
        method,
        path: path ?? upload,
        headers: { ...headers, 'Content-Length': HUGE },
        agent: false,
      })
      const closed = new Promise((resolve) => client.once('close', resolve))
      const answer: Promise<Answer> = answerOf(client)
      const bytes = Buffer.alloc(MIB)
      const write = (): void => {
        while (!client.destroyed && client.write(bytes));
      }
      client.on('drain', write)
      write()
      expect((await answer).status).toBe(status)
      client.destroy()
      await closed
      expect(sockets.at(-1)?.bytesRead).toBeLessThanOrEqual(MIB)
    })

    test('ends the connection of a client that sends nothing of it', async () => {
      const { port, upload } = await startWithUpload()
      const connection = await RawConnection.open(port)
      await connection.head(method, path ?? upload, { ...headers, 'Content-Length': HUGE })
      expect((await connection.answer()).status).toBe(status)
      const answered = performance.now()
      connection.socket.end()
      await connection.closed
      expect(performance.now() - answered).toBeLessThan(4000)
    })
  })

  test('the rest of a body that is nearly there is read, and the client closes in peace', async () => {
    const { port, upload } = await startWithUpload()
    const connection = await RawConnection.open(port)
    const bytes = pattern(200_000)
    await connection.head('PATCH', upload, { ...CHUNK, 'Upload-Offset': 3, 'Content-Length': bytes.length })
    await connection.write(bytes.subarray(0, 100_000))
    expect((await connection.answer()).status).toBe(409)
    await connection.write(bytes.subarray(100_000))
    await connection.closed
    expect(connection.reset).toBe(false)
  })

  test('requests before it on the connection get their answers first, however long they take', async () => {
    let go = (): void => {}
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    const { port, upload, seen } = await startWithUpload({
      onUploadCreate: ({ upload: { length } }) => (length === 7 ? gate : undefined),
    })
    const connection = await RawConnection.open(port)
    await connection.head('POST', '/files', { ...TUS, 'Upload-Length': 7, 'Content-Length': 0 })
    // More than Node takes in by itself: what has arrived as a whole keeps the connection.
    await connection.head('PATCH', upload, { ...CHUNK, 'Upload-Offset': 3, 'Content-Length': 400_000 })
    await connection.write(Buffer.alloc(400_000))
    while (seen[2] === undefined) await idle()
    await idle()
    go()
    expect((await connection.answer()).status).toBe(201)
    expect(await connection.answer()).toMatchObject({ status: 409, headers: { connection: 'close' } })
    await connection.closed
  })

  test('a small body that is refused keeps the connection', async () => {
    const { port, upload, sockets } = await startWithUpload()
    const connection = await RawConnection.open(port)
    for (const size of [1, 1000, 60_000, 64 * 1024]) {
      await connection.head('PATCH', upload, { ...CHUNK, 'Upload-Offset': 3, 'Content-Length': size })
      await idle(5)
      await connection.write(Buffer.alloc(size))
      expect(await connection.answer()).toMatchObject({ status: 409, headers: { connection: 'keep-alive' } })
    }
    await connection.head('PATCH', upload, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': 5 })
    await connection.write('hello')
    expect((await connection.answer()).status).toBe(204)
    expect(sockets.length).toBe(2)
    connection.destroy()
  })

  test('the answer to a small body of unstated length is seen, and the connection ends in peace or goes on', async () => {
    const { port } = await startWithUpload()
    const connection = await RawConnection.open(port)
    await connection.head('PATCH', '/files/unknown', { ...CHUNK, 'Upload-Offset': 0, 'Transfer-Encoding': 'chunked' })
    const { status, headers } = await connection.answer()
    expect(status).toBe(404)
    await connection.write('5\r\nhello\r\n0\r\n\r\n')
    if (headers.connection === 'close') await connection.closed
    expect(connection.reset).toBe(false)
    connection.destroy()
  })

  test('the answer comes before the body, so that no time is lost', async () => {
    const { port, upload } = await startWithUpload()
    const connection = await RawConnection.open(port)
    await connection.head('PATCH', upload, { ...CHUNK, 'Upload-Offset': 3, 'Content-Length': 60_000 })
    expect((await connection.answer()).status).toBe(409)
    await connection.write(Buffer.alloc(60_000))
    await connection.head('HEAD', upload, TUS)
    expect((await connection.answer('HEAD')).status).toBe(200)
    connection.destroy()
  })
})
