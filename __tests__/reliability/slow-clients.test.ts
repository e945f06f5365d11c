// Clients that are slow, or pretend to be: bodies that trickle are cut and kept, thousands that stall cost nobody else
// anything, and a body that moves is never ended.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { CHUNK, create, offsetOf, RawConnection, send, TUS } from '../adapters/client.js'
import { pattern } from '../core/support.js'
import { form, report } from './form.js'
import { type HostileOptions, type HostileSite, startHostileSite } from './hostile-site.js'

let site: HostileSite
const connections: RawConnection[] = []

afterEach(async () => {
  for (const connection of connections.splice(0)) connection.destroy()
  await site.end()
})

async function startSite(options?: HostileOptions): Promise<void> {
  site = await startHostileSite(options)
}

async function connect(): Promise<RawConnection> {
  const connection = await RawConnection.open(site.port)
  connections.push(connection)
  return connection
}

/** Begins a PATCH at the beginning of an upload; the body is the caller's. */
async function beginPatch(path: string, framing: Readonly<Record<string, string | number>>): Promise<RawConnection> {
  const connection = await connect()
  await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, ...framing })
  return connection
}

/** Sends a few bytes every so often, until the connection is closed or there are no more. Returns how many were sent. */
async function trickle(connection: RawConnection, pieces: readonly Uint8Array[], everyMs: number): Promise<number> {
  let sent = 0
  for (const piece of pieces) {
    if (connection.socket.destroyed) break
    await Promise.race([connection.write(piece), connection.closed])
    sent++
    await Promise.race([wait(everyMs), connection.closed])
  }
  return sent
}

function inPieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  )
}

/** The file of a finished upload. */
function fileOf(path: string): Buffer {
  const id = path.slice(path.lastIndexOf('/') + 1)
  return readFileSync(join(site.directory, id.slice(0, 1), `${id}-`))
}

describe('a body that trickles is cut: what arrived is kept, and the client goes on', () => {
  const PIECE = 10
  const bytes = pattern(60_000)
  const asChunk = (piece: Buffer): Buffer => Buffer.concat([Buffer.from('a\r\n'), piece, Buffer.from('\r\n')])

  test.each([
    ['gathered', { 'Content-Length': 60_000 }, (piece: Buffer) => piece],
    ['streamed', { 'Content-Length': 600_000 }, (piece: Buffer) => piece],
    ['of unstated length', { 'Transfer-Encoding': 'chunked' }, asChunk],
  ])('%s', async (how, framing, framed) => {
    await startSite({ tus: { stallTimeoutMs: 1200, minBytesPerSecond: 50_000 } })
    const path = await create(site.port, 600_000)
    const slow = await beginPatch(path, framing)
    const begun = performance.now()
    const sent = PIECE * (await trickle(slow, inPieces(bytes, PIECE).map(framed), 20))
    const cutAfterMs = Math.round(performance.now() - begun)
    // Without an answer: clients go on after a broken connection, and may give up after a 4xx.
    expect(slow.received).toBe('')
    const kept = await offsetOf(site.port, path)
    report(`a body that trickled, ${how}`, { sent, kept, 'cut after ms': cutAfterMs })
    expect(kept).toBeGreaterThan(0)
    expect(kept).toBeLessThanOrEqual(sent)
    // The piece that was on its way when the connection was closed may be missing, and no more than that.
    expect(sent - kept).toBeLessThanOrEqual(2 * PIECE)

    const whole = pattern(600_000)
    const headers = { ...CHUNK, 'Upload-Offset': String(kept) }
    const { status } = await send(site.port, { method: 'PATCH', path, headers, body: whole.subarray(kept) })
    expect(status).toBe(200)
    expect(fileOf(path).equals(whole)).toBe(true)
    expect(site.stderr()).toBe('')
  })
})

test('a body that moves is ended neither by Node\u2019s requestTimeout nor for its pace', async () => {
  const TIMEOUT_MS = 2000
  const http = { requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS, connectionsCheckingInterval: 100 }
  await startSite({ http, tus: { stallTimeoutMs: TIMEOUT_MS } })
  const bytes = pattern(form(150, 600))
  const paths = await Promise.all([0, 1, 2].map(() => create(site.port, bytes.length)))
  const slow = await Promise.all([
    beginPatch(paths[0] as string, { 'Content-Length': bytes.length }),
    beginPatch(paths[1] as string, { 'Transfer-Encoding': 'chunked' }),
    beginPatch(paths[2] as string, { 'Content-Length': bytes.length, Expect: '100-continue' }),
  ])
  const begun = performance.now()
  const pieces = inPieces(bytes, 1)
  const chunks = pieces.map((piece) => Buffer.concat([Buffer.from('1\r\n'), piece, Buffer.from('\r\n')]))
  await Promise.all([
    trickle(slow[0] as RawConnection, pieces, 50),
    trickle(slow[1] as RawConnection, [...chunks, Buffer.from('0\r\n\r\n')], 50),
    trickle(slow[2] as RawConnection, pieces, 50),
  ])
  const tookMs = Math.round(performance.now() - begun)
  report('a body that moved', { 'times the timeout': Math.round((tookMs / TIMEOUT_MS) * 10) / 10 })
  expect(tookMs).toBeGreaterThan(3 * TIMEOUT_MS)
  for (const connection of slow) {
    const first = await connection.answer()
    expect((first.status === 100 ? await connection.answer() : first).status).toBe(200)
  }
  for (const path of paths) expect(fileOf(path).equals(bytes)).toBe(true)
}, 120_000)

describe('connections that stall', () => {
  const STALLED = 2000
  const ROUNDS = form(12, 60)
  const LENGTH = 1_000_000

  /** What other clients do meanwhile: on connections that are kept, one request after the other. Returns how long each took. */
  async function others(uploads: number): Promise<number[]> {
    const connection = await RawConnection.open(site.port)
    const ms: number[] = []
    const ask = async (method: string, path: string, headers: object, body = '') => {
      const begun = performance.now()
      const answered = connection.answer(method)
      await connection.head(method, path, { ...TUS, 'Content-Length': body.length, ...headers })
      if (body !== '') await connection.write(body)
      const answer = await answered
      ms.push(performance.now() - begun)
      return answer
    }
    for (let count = 0; count < uploads; count++) {
      const { headers } = await ask('POST', '/files', { 'Upload-Length': 2048 })
      const path = String(headers.location)
      expect((await ask('PATCH', path, { ...CHUNK, 'Upload-Offset': 0 }, 'x'.repeat(1024))).status).toBe(204)
      expect((await ask('HEAD', path, {})).headers['upload-offset']).toBe('1024')
      expect((await ask('GET', '/ping', {})).body).toBe('pong')
    }
    connection.destroy()
    return ms
  }

  /** The p99 of each round of requests, and of all of them. */
  async function measure(): Promise<{ p99s: number[]; p99: number; most: number; requests: number }> {
    const rounds: number[][] = []
    for (let round = 0; round < ROUNDS; round++) {
      rounds.push((await Promise.all([others(10), others(10), others(10)])).flat())
    }
    const all = rounds.flat()
    const p99s = rounds.map(p99Of).sort((one, other) => one - other)
    return { p99s, p99: p99Of(all), most: Math.max(...all), requests: all.length }
  }

  test('2,000 of them leave the server answering others, within 128 MiB', async () => {
    await startSite()
    const alone = await measure()
    const before = await site.collect()

    const paths: string[] = []
    while (paths.length < STALLED / 2) {
      paths.push(...(await Promise.all(Array.from({ length: 20 }, () => create(site.port, LENGTH)))))
    }
    const began = performance.now()
    for (let count = 0; count < STALLED / 2; count++) {
      await beginPatch(paths[count] as string, { 'Content-Length': LENGTH })
      await (await connect()).write('PATCH /files/abc HTTP/1.1\r\nHost: localhost\r\nTus-Resum')
    }
    const openMs = performance.now() - began
    const meanwhile = await measure()
    const after = await site.collect()
    report('connections that stalled', {
      connections: after.connections,
      'opened within ms': Math.round(openMs),
      'requests of others': meanwhile.requests,
      'p99 ms': round(meanwhile.p99),
      'p99 ms in the median round': round(meanwhile.p99s[ROUNDS / 2] as number),
      'most ms': round(meanwhile.most),
      'p99 ms without them': round(alone.p99),
      'p99 ms in the median round without them': round(alone.p99s[ROUNDS / 2] as number),
      'MiB more': round(after.rssMiB - before.rssMiB),
    })
    expect(after.connections).toBeGreaterThanOrEqual(STALLED)
    // A quarter of the rounds: what a machine that is busy with other things does not spoil. One that is too busy to
    // answer within 100 ms without them is no worse with them.
    const quarter = ROUNDS / 4
    expect(meanwhile.p99s[quarter]).toBeLessThan(Math.max(100, 2 * (alone.p99s[quarter] as number)))
    expect(after.rssMiB - before.rssMiB).toBeLessThan(128)
    // Those that stall are not cut off for it before their time, and their uploads are free for whoever asks.
    expect(connections.filter(({ socket }) => socket.destroyed)).toEqual([])
    expect(await offsetOf(site.port, paths[0] as string)).toBe(0)
    expect(site.stderr()).toBe('')
  }, 300_000)

  function p99Of(ms: readonly number[]): number {
    const sorted = [...ms].sort((one, other) => one - other)
    return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN
  }

  function round(value: number): number {
    return Math.round(value * 10) / 10
  }
})
