// Who gets an upload when several processes on one host want it: real processes, real signals.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SQLiteStorage } from '../../src/storage/sqlite/sqlite-storage.js'
import { type ServerProcess, startServer } from '../support/server-process.js'

const TUS = { 'Tus-Resumable': '1.0.0' }
const CHUNK = { ...TUS, 'Content-Type': 'application/offset+octet-stream' }
const BODY = randomBytes(300_000)
const HALF = 150_000
/** Far below the lease of 10 s, and above what a machine that is busy with other tests takes. */
const AT_ONCE_MS = 1_500

let directory: string
let servers: ServerProcess[]
let sockets: Socket[]

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'processes-'))
  servers = []
  sockets = []
})

afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  for (const server of servers) {
    server.child.kill('SIGCONT')
    await server.end('SIGKILL')
  }
  rmSync(directory, { recursive: true })
})

async function start(options: object = {}): Promise<ServerProcess> {
  const server = await startServer(directory, { segmentMs: 0, ...options })
  servers.push(server)
  return server
}

async function create(server: ServerProcess): Promise<string> {
  const response = await fetch(server.url, { method: 'POST', headers: { ...TUS, 'Upload-Length': `${BODY.length}` } })
  return new URL(response.headers.get('location') as string, server.url).pathname
}

/** A PATCH that has sent the first half of the body and then nothing more. Settles once the bytes were read. */
async function stall(server: ServerProcess, path: string): Promise<Socket> {
  const { hostname, port } = new URL(server.url)
  const socket = connect(Number(port), hostname)
  sockets.push(socket)
  socket.on('error', () => {})
  const headers = { ...CHUNK, Host: hostname, 'Upload-Offset': '0', 'Content-Length': `${BODY.length}` }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  socket.write(`PATCH ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
  await new Promise((resolve) => socket.write(BODY.subarray(0, HALF), resolve))
  await committed(path, HALF)
  return socket
}

/**
 * Waits until so many bytes are committed, and the transaction that did it has let go of the database: a process that
 * is stopped inside a transaction keeps all others from writing, as SQLite works.
 */
async function committed(path: string, offset: number): Promise<void> {
  const storage = new SQLiteStorage({ directory })
  while (((await storage.get(idOf(path)))?.offset ?? 0) < offset) await new Promise((resolve) => setImmediate(resolve))
  const id = randomBytes(8).toString('hex')
  await storage.create({ id, name: id, length: 0, metadata: undefined, createdAtMs: 0 })
  await storage.close()
}

/** Settles when a socket is closed, in whichever way. */
function closing(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once('close', resolve))
}

function idOf(path: string): string {
  return path.slice('/files/'.length)
}

async function patch(server: ServerProcess, path: string, offset: number, body = BODY.subarray(offset)) {
  return fetch(new URL(path, server.url), {
    method: 'PATCH',
    headers: { ...CHUNK, 'Upload-Offset': `${offset}` },
    body,
  })
}

async function head(server: ServerProcess, path: string): Promise<{ status: number; offset: number; ms: number }> {
  const began = performance.now()
  const response = await fetch(new URL(path, server.url), { method: 'HEAD', headers: TUS })
  return {
    status: response.status,
    offset: Number(response.headers.get('upload-offset')),
    ms: performance.now() - began,
  }
}

function finished(path: string): string {
  return createHash('sha256')
    .update(readFileSync(join(directory, idOf(path))))
    .digest('hex')
}

const EXPECTED = createHash('sha256').update(BODY).digest('hex')

it('hands an upload over from one process to another at once', async () => {
  const [holder, other] = [await start(), await start()]
  const path = await create(holder)
  const socket = await stall(holder, path)
  const closed = closing(socket)
  const answer = await head(other, path)
  expect(answer).toMatchObject({ status: 200, offset: HALF })
  expect(answer.ms).toBeLessThan(AT_ONCE_MS)
  await closed
  expect((await patch(other, path, HALF)).status).toBe(204)
  expect(finished(path)).toBe(EXPECTED)
})

it('frees an upload at once when the process that held it is killed', async () => {
  const [holder, other] = [await start(), await start()]
  const path = await create(holder)
  await stall(holder, path)
  await holder.end('SIGKILL')
  const answer = await head(other, path)
  expect(answer.status).toBe(200)
  expect(answer.ms).toBeLessThan(AT_ONCE_MS)
  expect((await patch(other, path, answer.offset)).status).toBe(204)
  expect(finished(path)).toBe(EXPECTED)
})

it('frees an upload at once for a process that starts after the one that held it was killed', async () => {
  const holder = await start()
  const path = await create(holder)
  await stall(holder, path)
  await holder.end('SIGKILL')
  const other = await start()
  // By now it has seen what sockets the dead have left.
  await head(other, '/files/none')
  const answer = await head(other, path)
  expect(answer.status).toBe(200)
  expect(answer.ms).toBeLessThan(AT_ONCE_MS)
})

it('lets a process that waits go on when the one that held the upload is killed meanwhile', async () => {
  const [holder, other] = [await start(), await start()]
  const path = await create(holder)
  await stall(holder, path)
  holder.child.kill('SIGSTOP')
  const waiting = head(other, path)
  // By the time that this is answered the question above is on its way.
  await patch(other, path, 1)
  await holder.end('SIGKILL')
  expect((await waiting).status).toBe(200)
})

it('frees an upload after the lease when the process that held it hangs, and its late bytes harm nobody', async () => {
  const leaseMs = 300
  const [holder, other] = [await start({ leaseMs }), await start({ leaseMs })]
  const path = await create(holder)
  const socket = await stall(holder, path)
  holder.child.kill('SIGSTOP')
  // It gets these once it wakes up, and takes its claim to be good still.
  socket.write(Buffer.alloc(BODY.length - HALF, 'late'))
  const { status, offset } = await head(other, path)
  expect(status).toBe(200)
  expect((await patch(other, path, offset)).status).toBe(204)
  expect(finished(path)).toBe(EXPECTED)
  const closed = closing(socket)
  holder.child.kill('SIGCONT')
  await closed
  expect(finished(path)).toBe(EXPECTED)
  expect(await head(other, path)).toMatchObject({ status: 200, offset: BODY.length })
})

it('keeps an upload no longer than a lease for a process that asked for it and hangs', async () => {
  const leaseMs = 500
  const options = { leaseMs, claimWaitMs: 10_000 }
  const [holder, asker, third] = [await start(options), await start(options), await start(options)]
  const path = await create(holder)
  await stall(holder, path)
  holder.child.kill('SIGSTOP')
  const asking = head(asker, path).catch(() => {})
  // By the time that this is answered the question is on its way.
  await patch(asker, path, 1)
  asker.child.kill('SIGSTOP')
  holder.child.kill('SIGCONT')
  const answers = await Promise.all([head(holder, path), head(third, path)])
  for (const answer of answers) {
    expect(answer).toMatchObject({ status: 200, offset: HALF })
    expect(answer.ms).toBeLessThan(leaseMs + AT_ONCE_MS)
  }
  expect((await patch(third, path, HALF)).status).toBe(204)
  expect(finished(path)).toBe(EXPECTED)
  // When it wakes up it is told what holds by then.
  asker.child.kill('SIGCONT')
  await asking
  expect(await head(asker, path)).toMatchObject({ status: 200, offset: BODY.length })
})

describe('the socket of a process', () => {
  const sockets = (): readonly string[] => readdirSync(join(directory, '.resumable-upload/processes'))

  it('is gone when the process has closed its server, and when it has just ended', async () => {
    const [closed, ended] = [await start(), await start()]
    expect(sockets()).toHaveLength(2)
    await closed.end('SIGTERM')
    expect(sockets()).toHaveLength(1)
    await Promise.all([once(ended.child, 'exit'), fetch(new URL('/exit', ended.url)).catch(() => {})])
    expect(sockets()).toEqual([])
  })

  it('stays when the process ends while it holds an upload, so that others know at once that it has', async () => {
    const [holder, other] = [await start(), await start()]
    const path = await create(holder)
    await stall(holder, path)
    await Promise.all([once(holder.child, 'exit'), fetch(new URL('/exit', holder.url)).catch(() => {})])
    expect(sockets()).toHaveLength(2)
    const answer = await head(other, path)
    expect(answer).toMatchObject({ status: 200 })
    expect(answer.ms).toBeLessThan(AT_ONCE_MS)
  })
})
