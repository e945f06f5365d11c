// A client that lost its connection gets on at once: a server in a process of its own, real sockets, and PATCHes that
// stall on them.
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { CHUNK, offsetOf, patch, RawConnection, send, TUS } from '../adapters/client.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { idOf, sha256 } from '../support/client-site.js'
import { form, report } from './form.js'
import { type ProbedServer, stall, startProbed } from './probed-server.js'
import { timesOf } from './times.js'

jest.setTimeout(120_000)

const MIB = 1024 * 1024
const BODY = randomBytes(3 * MIB)
/** More than is written at once, so that something is written while the rest is gathered. */
const PART = BODY.subarray(0, 1.5 * MIB)
const ROUNDS = form(12, 200)
const WAITERS = 100
/** How long the waiters are watched. */
const WATCH_MS = form(2_000, 5_000)
const COUNT_CALLS = join(__dirname, '../performance/count-calls.cjs')

const servers: ProbedServer[] = []
const connections: RawConnection[] = []

afterEach(async () => {
  for (const connection of connections.splice(0)) connection.destroy()
  for (const server of servers.splice(0)) await server.end('SIGKILL')
})

async function start(directory: string, options: object = {}, preload: readonly string[] = []): Promise<ProbedServer> {
  const server = await startProbed(directory, options, preload)
  servers.push(server)
  return server
}

async function stallOn(
  server: ProbedServer,
  length = BODY.length,
  part = PART,
): Promise<{ path: string; stalled: RawConnection }> {
  const begun = await stall(server, { length, part })
  connections.push(begun.stalled)
  return begun
}

/** The hash of a finished file. */
function stored(directory: string, path: string): string {
  return sha256(readFileSync(join(directory, idOf(path))))
}

const EXPECTED = sha256(BODY)

describe('a PATCH that stalls', () => {
  it.each(['HEAD', 'PATCH', 'DELETE'] as const)(
    'gives way to a %s within 100 ms, with all that came kept',
    async (method) => {
      const directory = tempFolder()
      // Nothing is committed before somebody asks.
      const server = await start(directory, { segmentMs: 600_000 })
      const times: number[] = []
      for (let round = 0; round < ROUNDS; round++) {
        const { path, stalled } = await stallOn(server)
        const began = performance.now()
        const answer =
          method === 'PATCH'
            ? await patch(server.port, path, PART.length, BODY.subarray(PART.length))
            : await send(server.port, { method, path, headers: TUS })
        times.push(performance.now() - began)
        expect(answer.status).toBe(method === 'HEAD' ? 200 : 204)
        await stalled.closed
        expect(stalled.received).toBe('')
        if (method === 'DELETE') {
          expect((await send(server.port, { method: 'HEAD', path, headers: TUS })).status).toBe(404)
          continue
        }
        if (method === 'HEAD') {
          expect(answer.headers['upload-offset']).toBe(String(PART.length))
          expect((await patch(server.port, path, PART.length, BODY.subarray(PART.length))).status).toBe(204)
        }
        expect(stored(directory, path)).toBe(EXPECTED)
      }
      if (method === 'DELETE') expect(readdirSync(join(directory, '.resumable-upload/parts'))).toEqual([])
      const figures = timesOf(times)
      report(`hand-over to a ${method}`, { rounds: ROUNDS, ...figures })
      expect(figures.quarterMs).toBeLessThan(100)
    },
  )

  it('gives way to a HEAD while it is gathered in memory, with all that came kept', async () => {
    const server = await start(tempFolder())
    for (let round = 0; round < ROUNDS; round++) {
      const { path, stalled } = await stallOn(server, 60_000, BODY.subarray(0, 40_000 + round))
      expect(await offsetOf(server.port, path)).toBe(40_000 + round)
      await stalled.closed
    }
  })

  it('goes on and completes, while PATCHes that can not match get 409 from its process and from another one', async () => {
    const directory = tempFolder()
    const [server, other] = [await start(directory), await start(directory)]
    for (let round = 0; round < ROUNDS; round++) {
      const { path, stalled } = await stallOn(server)
      for (const offset of [0, PART.length - 1, PART.length + 1, BODY.length]) {
        const body = 'x'.repeat(Math.min(5, BODY.length - offset))
        for (const { port } of [server, other]) expect((await patch(port, path, offset, body)).status).toBe(409)
      }
      await stalled.write(BODY.subarray(PART.length))
      expect(await stalled.answer()).toMatchObject({ status: 204, headers: { 'upload-offset': String(BODY.length) } })
      expect(stored(directory, path)).toBe(EXPECTED)
      stalled.destroy()
    }
    report('PATCHes that can not match', { holders: ROUNDS, disturbed: 0, refused: ROUNDS * 8 })
  })
})

describe.each([
  ['the process of the holder', 1],
  ['another process', 2],
])('a queue of 100 waiting requests in %s', (where, processes) => {
  it('is served in order, and costs no timer but the deadlines and next to no processor time', async () => {
    const directory = tempFolder()
    const options = { claimWaitMs: 60_000 }
    const holder = await start(directory, options, [COUNT_CALLS])
    const server = processes === 1 ? holder : await start(directory, options, [COUNT_CALLS])
    await holder.tell('hold writes')
    const { path, stalled } = await stallOn(holder)
    const before = await server.look()
    const running = before.bodies.length
    const requests = Array.from({ length: WAITERS }, (_, index) => ({
      // The last one leaves nothing to those that would come before it.
      method: index === WAITERS - 1 ? 'DELETE' : 'HEAD',
      url: `${path}?${index}`,
    }))
    const waiting: RawConnection[] = []
    for (const { method, url } of requests) {
      const connection = await RawConnection.open(server.port)
      connections.push(connection)
      await connection.head(method, url, TUS)
      waiting.push(connection)
      await server.until(({ bodies }) => bodies.length === running + waiting.length)
    }
    const first = await server.look()
    await wait(WATCH_MS)
    const last = await server.look()
    expect(last.answers).toEqual(before.answers)

    await holder.tell('let go')
    const answers = await Promise.all(waiting.map((connection, index) => connection.answer(requests[index]?.method)))
    await stalled.closed
    expect(answers.map(({ status }) => status)).toEqual([...Array(WAITERS - 1).fill(200), 204])
    for (const { headers } of answers.slice(0, -1)) expect(headers['upload-offset']).toBe(String(PART.length))
    const served = (await server.look()).answers.slice(before.answers.length)
    expect(served).toEqual(requests.map(({ url }) => url))

    const made = { asking: first.made - before.made, waiting: last.made - first.made }
    const cpuMs = Math.round(last.cpuMs - first.cpuMs)
    report(`100 requests wait in ${where}`, {
      seconds: WATCH_MS / 1000,
      timersOfThem: made.asking,
      timersMeanwhile: made.waiting,
      timersSet: last.timers,
      cpuMs,
    })
    // One for each deadline. Besides, every server looks for completions that others left undone, every five seconds; and
    // where the holder is another process, the one request that asks it does so again when its lease ends.
    expect(made.asking).toBeGreaterThanOrEqual(WAITERS)
    expect(made.asking).toBeLessThan(WAITERS + 10)
    expect(made.waiting).toBeLessThan(10)
    expect(last.timers).toBe(first.timers)
    expect(cpuMs).toBeLessThan(WATCH_MS * 0.05)
  })

  it('is answered by 423 with Retry-After after claimWaitMs', async () => {
    const directory = tempFolder()
    const claimWaitMs = form(500, 2_000)
    const holder = await start(directory, { claimWaitMs })
    const server = processes === 1 ? holder : await start(directory, { claimWaitMs })
    await holder.tell('hold writes')
    const { path, stalled } = await stallOn(holder)
    const began = performance.now()
    const times: number[] = []
    const ask = async (index: number): Promise<void> => {
      const call = [
        { method: 'HEAD', path, headers: TUS },
        { method: 'DELETE', path, headers: TUS },
        { method: 'PATCH', path, headers: { ...CHUNK, 'Upload-Offset': String(PART.length) }, body: 'x' },
      ][index % 3]
      const { status, headers } = await send(server.port, call as typeof call & object)
      times.push(performance.now() - began)
      expect([status, headers['retry-after']]).toEqual([423, '1'])
    }
    await Promise.all(Array.from({ length: WAITERS }, (_, index) => ask(index)))
    report(`423 in ${where}`, { requests: WAITERS, claimWaitMs, ...timesOf(times) })
    expect(Math.min(...times)).toBeGreaterThanOrEqual(claimWaitMs - 5)
    await holder.tell('let go')
    await stalled.closed
    expect(await offsetOf(server.port, path)).toBe(PART.length)
  })
})
