// A server that is told to end: whom it refuses, what it keeps, and how its clients go on with the next one.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { SQLiteStorage } from '../../src/index.js'
import { create, offsetOf, patch, RawConnection } from '../adapters/client.js'
import { startUpload } from '../docs/site.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { idOf, sha256 } from '../support/client-site.js'
import { afterTest, freePort, startExample } from '../support/example.js'
import { startServer } from '../support/server-process.js'
import { startCountingProxy } from './counting-proxy.js'
import { form, report } from './form.js'
import { type ProbedServer, stall, startProbed } from './probed-server.js'
import { timesOf } from './times.js'

jest.setTimeout(120_000)

/** Nobody listens there. */
const NOWHERE = 0
const KIB = 1024
const MIB = 1024 * KIB
const STALLED = form(20, 200)
const [UPLOADS, SHUTDOWNS] = [form(1, 5), form(3, 10)]
/** Longer than a test takes. */
const NEVER_MS = 600_000

function stored(directory: string, path: string): string {
  return sha256(readFileSync(join(directory, idOf(path))))
}

/** Has a server ended after the test, however that comes out. */
function endedAfterTest<T extends { end(signal: 'SIGKILL'): Promise<void> }>(server: T): T {
  afterTest(() => server.end('SIGKILL'))
  return server
}

/** Tells a server to end, and waits until it takes no more connections. */
async function tellToEnd({ child, port }: ProbedServer): Promise<void> {
  child.kill('SIGTERM')
  while (await takesConnections(port)) {}
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => resolve(false))
    socket.on('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

/** Opens a connection with half the head of a request on it, so that the server does not take it for idle. */
async function half(port: number, method: string, path: string): Promise<RawConnection> {
  const connection = await RawConnection.open(port)
  await connection.write(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n`)
  return connection
}

it('while running requests end by themselves, new ones get 503, HEAD 423, and other processes what they ask for', async () => {
  const directory = tempFolder()
  const ending = endedAfterTest(await startProbed(directory, { closeMs: NEVER_MS }))
  const other = endedAfterTest(await startProbed(directory))
  const contents = [randomBytes(300 * KIB), randomBytes(300 * KIB)] as const
  const part = contents[0].subarray(0, 200 * KIB)
  const [own, wanted] = [
    await stall(ending, { length: contents[0].length, part }),
    await stall(ending, { length: contents[1].length, part: contents[1].subarray(0, 150 * KIB) }),
  ]
  const path = await create(ending.port, 100)
  const refused = [
    { method: 'POST', path: '/files', head: 'Upload-Length: 5\r\nContent-Length: 0' },
    {
      method: 'PATCH',
      path,
      head: 'Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 100',
    },
    { method: 'DELETE', path, head: 'X: y' },
    { method: 'HEAD', path, head: 'X: y' },
    { method: 'HEAD', path: own.path, head: 'X: y' },
  ]
  const connections: RawConnection[] = []
  for (const { method, path } of refused) connections.push(await half(ending.port, method, path))
  await ending.until(({ bodies }) => bodies.length === 2)
  // Who is answered now came after the halves, which have been read by then: a connection without any would be closed.
  expect(await offsetOf(ending.port, path)).toBe(0)
  const exit = once(ending.child, 'exit')
  await tellToEnd(ending)

  for (const [index, connection] of connections.entries()) {
    const { method, head } = refused[index] as (typeof refused)[number]
    await connection.write(`${head}\r\n\r\n`)
    const { status, headers } = await connection.answer(method)
    expect([method, status, headers['retry-after']]).toEqual([method, method === 'HEAD' ? 423 : 503, '1'])
    connection.destroy()
  }
  // What another process asks for is handed over all the same.
  expect(await offsetOf(other.port, wanted.path)).toBe(150 * KIB)
  await wanted.stalled.closed
  // And a body that goes on comes to its end.
  await own.stalled.write(contents[0].subarray(part.length))
  expect((await own.stalled.answer()).status).toBe(204)
  own.stalled.destroy()
  expect(await exit).toEqual([0, null])
  expect(stored(directory, own.path)).toBe(sha256(contents[0]))
  expect(await offsetOf(other.port, path)).toBe(0)
})

it('after timeoutMs bodies are stopped with all that came committed, uploads are free, and the process ends', async () => {
  const directory = tempFolder()
  // Nothing is committed before the end.
  const ending = endedAfterTest(await startProbed(directory, { closeMs: 100, segmentMs: NEVER_MS, leaseMs: NEVER_MS }))
  const uploads: { path: string; content: Buffer; size: number }[] = []
  const connections: RawConnection[] = []
  for (let index = 0; index < STALLED; index++) {
    const content = randomBytes(400 * KIB)
    const size = 100 * KIB + index
    const { path, stalled } = await stall(ending, { length: content.length, part: content.subarray(0, size) })
    uploads.push({ path, content, size })
    connections.push(stalled)
  }
  const began = performance.now()
  const exit = once(ending.child, 'exit')
  ending.child.kill('SIGTERM')
  for (const connection of connections) {
    await connection.closed
    expect(connection.received).toBe('')
  }
  expect(await exit).toEqual([0, null])
  const endMs = Math.round(performance.now() - began)

  const storage = new SQLiteStorage({ directory })
  for (const { path, size } of uploads) {
    expect(await storage.get(idOf(path))).toMatchObject({ offset: size, holder: undefined })
  }
  await storage.close()
  const next = endedAfterTest(await startServer(directory))
  const port = Number(new URL(next.url).port)
  const times: number[] = []
  for (const { path, content, size } of uploads) {
    const asked = performance.now()
    expect(await offsetOf(port, path)).toBe(size)
    times.push(performance.now() - asked)
    expect((await patch(port, path, size, content.subarray(size))).status).toBe(204)
    expect(stored(directory, path)).toBe(sha256(content))
  }
  const figures = timesOf(times)
  report('shutdown with stalled bodies', { bodies: STALLED, closeMs: 100, endMs, lostBytes: 0, ...figures })
  expect(figures.quarterMs).toBeLessThan(100)
})

it('a client of tus-js-client goes on with each next process from what the one before has committed', async () => {
  let rest = 0
  for (let count = 0; count < UPLOADS; count++) {
    const directory = tempFolder()
    const content = randomBytes(SHUTDOWNS * 16 * MIB)
    let server = endedAfterTest(await startServer(directory, { closeMs: 0 }))
    const proxy = await startCountingProxy(Number(new URL(server.url).port))
    afterTest(() => proxy.close())
    const endpoint = `http://127.0.0.1:${proxy.port}/files`
    const { upload, end } = startUpload(content, { endpoint, retryDelays: Array(2_000).fill(10) })
    const committed = [0]
    for (let round = 0; round < SHUTDOWNS; round++) {
      await until(() => (patchesOf(proxy.requests)[round]?.passed ?? 0) >= 4 * MIB)
      await server.end('SIGTERM')
      // Its port may be another program's by now, whose 404 would have the client begin anew.
      proxy.redirect(NOWHERE)
      expect(server.child.exitCode).toBe(0)
      const storage = new SQLiteStorage({ directory })
      const record = await storage.get(idOf(upload.url))
      await storage.close()
      expect(record).toMatchObject({ complete: false, holder: undefined })
      committed.push(record?.offset ?? 0)
      server = endedAfterTest(await startServer(directory, { closeMs: 0 }))
      proxy.redirect(Number(new URL(server.url).port))
    }
    expect(await end).toBeUndefined()
    expect(stored(directory, upload.url ?? '')).toBe(sha256(content))
    const patches = patchesOf(proxy.requests)
    expect(patches.map(({ offset }) => offset)).toEqual(committed)
    expect(patches.at(-1)?.sent).toBe(content.length - (committed.at(-1) ?? 0))
    // Whatever was sent twice is what had not reached the server, or not been read, when it ended.
    const total = patches.reduce((sum, { sent }) => sum + sent, 0)
    for (const [round, { offset, sent }] of patches.slice(0, -1).entries())
      rest += offset + sent - (committed[round + 1] ?? 0)
    expect(total).toBeGreaterThanOrEqual(content.length)
    expect(proxy.requests.filter(({ method }) => method === 'POST').length).toBe(1)
  }
  const shutdowns = UPLOADS * SHUTDOWNS
  report('shutdown under tus-js-client', {
    uploads: UPLOADS,
    shutdowns,
    lostBytes: 0,
    resentKiBEach: Math.round(rest / shutdowns / KIB),
  })
})

it('the example does so on SIGTERM, and no byte that it got is sent twice', async () => {
  const directory = tempFolder()
  const [content, limit] = [randomBytes(16 * MIB), 5 * MIB]
  const port = await freePort()
  const first = await startExample('server/express-app.ts', { directory, port })
  const proxy = await startCountingProxy(port)
  afterTest(() => proxy.close())
  proxy.limit(limit)
  const endpoint = `http://127.0.0.1:${proxy.port}/files`
  const { upload, end } = startUpload(content, { endpoint, retryDelays: Array(2_000).fill(10) })
  await proxy.passed(limit)
  const began = performance.now()
  expect(await first.end('SIGTERM')).toMatchObject({ code: 0, signal: null })
  const endMs = Math.round(performance.now() - began)
  const got = first.requests().find(({ method }) => method === 'PATCH')?.received

  proxy.limit(Number.POSITIVE_INFINITY)
  await startExample('server/express-app.ts', { directory, port })
  expect(await end).toBeUndefined()
  expect(stored(join(directory, 'uploads'), upload.url ?? '')).toBe(sha256(content))
  const [before, after, ...more] = patchesOf(proxy.requests)
  expect(got).toBe(limit)
  expect(before).toMatchObject({ offset: 0, passed: limit })
  expect(after).toMatchObject({ offset: limit, sent: content.length - limit })
  expect(more).toEqual([])
  expect(proxy.requests.filter(({ method }) => method === 'POST').length).toBe(1)
  report('SIGTERM to the example', { endMs, gotBytes: limit, sentTwice: 0 })
})

function patchesOf<T extends { readonly method: string }>(requests: readonly T[]): T[] {
  return requests.filter(({ method }) => method === 'PATCH')
}

/** Settles when something is so. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}
