// Several processes on one host, with nothing configured: four workers of node:cluster behind one port.
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { offsetOf, patch } from '../adapters/client.js'
import { startUpload } from '../docs/site.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { idOf, sha256 } from '../support/client-site.js'
import { type Cluster, type Pinned, startCluster } from './cluster.js'
import { startFaultProxy } from './fault-proxy.js'
import { form, report } from './form.js'
import { stall, startProbed } from './probed-server.js'
import { type Random, seededRandom } from './random.js'
import { timesOf } from './times.js'

jest.setTimeout(form(120_000, 300_000))

const KIB = 1024
const WORKERS = 4
const UPLOADS = form(40, 200)
const AT_ONCE = 8
const CLIENT_UPLOADS = form(10, 100)
const PAIRS = form(20, 200)
const HAND_OVERS = form(20, 200)
const DEATHS = form(10, 80)
const LEASES = form(1, 3)

const directory = tempFolder()
let cluster: Cluster

beforeAll(async () => {
  cluster = await startCluster(directory, WORKERS)
})

afterAll(() => cluster.end())

/** The hash of a finished file. */
function stored(path: string, folder = directory): string {
  return sha256(readFileSync(join(folder, idOf(path))))
}

/** Two connections to two processes. */
async function pinTwo(): Promise<[Pinned, Pinned]> {
  const one = await cluster.pin()
  return [one, await cluster.pin(one.pid)]
}

/** So that now the one wins and now the other. */
const DELAYS = [undefined, 0, 1, 2, 4]

/**
 * Sends two PATCHes for the same bytes to two processes at the same time; says which of them won.
 * @param delayMs - for so long the one that comes first keeps its body back; `undefined`: none comes first
 */
async function compete(path: string, offset: number, bodies: readonly [Uint8Array, Uint8Array], delayMs?: number) {
  const pair = await pinTwo()
  const [first, second] = pair
  expect(first.pid).not.toBe(second.pid)
  if (delayMs !== undefined) await first.begin(path, offset, bodies[0].length)
  const statuses = await Promise.all([
    delayMs === undefined ? first.patch(path, offset, bodies[0]) : wait(delayMs).then(() => first.goOn(bodies[0])),
    second.patch(path, offset, bodies[1]),
  ])
  for (const pinned of pair) pinned.destroy()
  const winners = bodies.filter((_, index) => statuses[index] === 204)
  const loser = statuses.find((status) => status !== 204)
  expect({ statuses, winners: winners.length }).toEqual({ statuses, winners: 1 })
  expect([409, 423, 'cut']).toContain(loser)
  return { winner: winners[0] as Uint8Array, loser: String(loser) }
}

it('of two PATCHes for one offset that two processes get exactly one wins, and its bytes are what is stored', async () => {
  const random = seededRandom(1)
  const losers: Record<string, number> = {}
  for (let round = 0; round < PAIRS; round++) {
    const size = random.pick([1, 100, 40 * KIB, 200 * KIB, 1500 * KIB])
    const creator = await cluster.pin()
    const path = await creator.create(size)
    creator.destroy()
    const { winner, loser } = await compete(
      path,
      0,
      [randomBytes(size), randomBytes(size)],
      DELAYS[round % DELAYS.length],
    )
    losers[loser] = (losers[loser] ?? 0) + 1
    expect(stored(path)).toBe(sha256(winner))
  }
  report('competing PATCHes to two processes', { pairs: PAIRS, winners: PAIRS, ...prefixed('lost by ', losers) })
})

/** What a client does next with its upload. */
const DEEDS = ['whole', 'abort', 'stall', 'pair'] as const

/** Uploads a file with all that goes wrong; counts what was done, and which process has answered. */
async function upload(random: Random, done: Record<string, number>, answers: Map<number, number>): Promise<void> {
  const content = randomBytes(random.integer(1, form(600, 3 * KIB) * KIB))
  const creator = await cluster.pin()
  const path = await creator.create(content.length)
  creator.destroy()
  let [offset, stalled]: [number, Pinned | undefined] = [0, undefined]
  while (offset < content.length) {
    const deed = random.pick(DEEDS)
    const end = random.integer(offset + 1, Math.min(content.length, offset + form(300, 1500) * KIB))
    const part = content.subarray(offset, random.integer(offset, end - 1))
    done[deed] = (done[deed] ?? 0) + 1
    const worker = await cluster.pin()
    if (deed === 'whole') expect(await worker.patch(path, offset, content.subarray(offset, end))).toBe(204)
    else if (deed === 'pair') {
      const chunk = content.subarray(offset, end)
      await compete(path, offset, [chunk, chunk], random.pick(DELAYS))
    } else await worker.begin(path, offset, content.length - offset, part)
    if (deed === 'stall') stalled = worker
    else worker.destroy()

    const asker = await cluster.pin()
    answers.set(asker.pid, (answers.get(asker.pid) ?? 0) + 1)
    const { status, headers } = await asker.ask('HEAD', path)
    expect(status).toBe(200)
    asker.destroy()
    const now = Number(headers['upload-offset'])
    if (deed === 'whole' || deed === 'pair') expect(now).toBe(end)
    expect(now).toBeGreaterThanOrEqual(offset)
    expect(now).toBeLessThanOrEqual(Math.max(end, offset + part.length))
    offset = now
    // Whoever had the upload was cut off.
    await stalled?.connection.closed
    stalled = undefined
  }
  expect(stored(path)).toBe(sha256(content))
}

it('every file is right after aborts, stalls and duplicates, whichever process a request reaches', async () => {
  const done: Record<string, number> = {}
  const answers = new Map<number, number>()
  let next = 0
  const client = async (): Promise<void> => {
    while (next < UPLOADS) await upload(seededRandom(1000 + next++), done, answers)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, client))
  const shares = [...answers.values()].sort((one, other) => one - other)
  report('uploads to four workers', { uploads: UPLOADS, wrong: 0, ...done, 'answers by worker': shares.join('/') })
  expect(shares.length).toBe(WORKERS)
  expect(shares[0]).toBeGreaterThan((shares[WORKERS - 1] as number) / 4)
  expect(readdirSync(join(directory, '.resumable-upload/parts'))).toEqual([])
})

it('tus-js-client gets its files through a bad network', async () => {
  // Clients keep their connections, so those that never break would carry everything.
  const weights = { pass: 0, delay: 0, cut: 3, reset: 2, stall: 1 }
  const proxy = await startFaultProxy(cluster.port, { seed: 2, weights, breakWithinBytes: 512 * KIB })
  const endpoint = `http://127.0.0.1:${proxy.port}/files`
  const chunkSizes = [Number.POSITIVE_INFINITY, 200 * KIB]
  let next = 0
  const client = async (): Promise<void> => {
    for (let count = next++; count < CLIENT_UPLOADS; count = next++) {
      const content = randomBytes(512 * KIB)
      const chunkSize = chunkSizes[count % 2] as number
      const { upload, end } = startUpload(content, { endpoint, chunkSize, retryDelays: Array(100).fill(10) })
      expect(await end).toBeUndefined()
      expect(stored(upload.url ?? '')).toBe(sha256(content))
    }
  }
  try {
    await Promise.all(Array.from({ length: 4 }, client))
  } finally {
    await proxy.close()
  }
  report('uploads by tus-js-client through the fault proxy', { uploads: CLIENT_UPLOADS, wrong: 0, ...proxy.drawn })
})

const BODY = randomBytes(400 * KIB)
const PART = BODY.subarray(0, 300 * KIB)

it('hands an upload over from one process to another within 250 ms', async () => {
  const times: number[] = []
  for (let round = 0; round < HAND_OVERS; round++) {
    const [holder, other] = await pinTwo()
    const path = await other.create(BODY.length)
    await holder.begin(path, 0, BODY.length, PART)
    const began = performance.now()
    const { status, headers } = await other.ask('HEAD', path)
    times.push(performance.now() - began)
    expect(status).toBe(200)
    await holder.connection.closed
    const offset = Number(headers['upload-offset'])
    expect(offset).toBeLessThanOrEqual(PART.length)
    expect(await other.patch(path, offset, BODY.subarray(offset))).toBe(204)
    expect(stored(path)).toBe(sha256(BODY))
    other.destroy()
  }
  const figures = timesOf(times)
  report('hand-over between processes', { rounds: HAND_OVERS, ...figures })
  expect(figures.quarterMs).toBeLessThan(250)
})

it('frees the upload of a worker that is killed within 250 ms, for who comes then and for who waits', async () => {
  const times: Record<'comes' | 'waits', number[]> = { comes: [], waits: [] }
  for (let round = 0; round < DEATHS; round++) {
    await cluster.whole()
    const [holder, other] = await pinTwo()
    const busy = await pinTo(other.pid)
    const path = await other.create(BODY.length)
    await holder.begin(path, 0, BODY.length, PART)
    const waits = round % 2 === 1
    let waiting: ReturnType<Pinned['ask']> | undefined
    if (waits) {
      // A stopped process does not let go when it is asked.
      process.kill(holder.pid, 'SIGSTOP')
      waiting = other.ask('HEAD', path)
      // By the time that the same process has answered this, it has begun with that.
      await busy.ask('HEAD', '/files/none')
    }
    const began = cluster.kill(holder.pid)
    const { status, headers } = await (waiting ?? other.ask('HEAD', path))
    times[waits ? 'waits' : 'comes'].push(performance.now() - began)
    expect(status).toBe(200)
    const offset = Number(headers['upload-offset'])
    expect(await other.patch(path, offset, BODY.subarray(offset))).toBe(204)
    expect(stored(path)).toBe(sha256(BODY))
    for (const pinned of [other, busy]) pinned.destroy()
  }
  for (const [who, ms] of Object.entries(times)) {
    const figures = timesOf(ms)
    report(`the holder is killed, and somebody ${who}`, { deaths: ms.length, ...figures })
    expect(figures.quarterMs).toBeLessThan(250)
  }
})

/** A connection to a process. */
async function pinTo(pid: number): Promise<Pinned> {
  for (;;) {
    const pinned = await cluster.pin()
    if (pinned.pid === pid) return pinned
    pinned.destroy()
  }
}

it.each([
  ['hangs', 'SIGSTOP'],
  ['is killed where its socket tells nobody', 'SIGKILL'],
] as const)('frees the upload of a process that %s after the lease', async (_what, signal) => {
  // Whoever waited for anything but the lease would wait for so long.
  const claimWaitMs = 60_000
  const options = form({ leaseMs: 500, claimWaitMs }, { claimWaitMs })
  const leaseMs = form(500, 10_000)
  const times: number[] = []
  for (let round = 0; round < LEASES; round++) {
    const folder = tempFolder()
    const [holder, other] = [await startProbed(folder, options), await startProbed(folder, options)]
    try {
      const { path } = await stall(holder, { length: BODY.length, part: PART })
      const began = performance.now()
      if (signal === 'SIGSTOP') holder.child.kill('SIGSTOP')
      else {
        await holder.end('SIGKILL')
        const sockets = join(folder, '.resumable-upload/processes')
        for (const name of readdirSync(sockets)) rmSync(join(sockets, name))
      }
      const offset = await offsetOf(other.port, path)
      times.push(performance.now() - began)
      expect(offset).toBeLessThanOrEqual(PART.length)
      expect((await patch(other.port, path, offset, BODY.subarray(offset))).status).toBe(204)
      expect(stored(path, folder)).toBe(sha256(BODY))
    } finally {
      for (const server of [holder, other]) await server.end('SIGKILL')
    }
  }
  report(`after the lease (${signal})`, { rounds: LEASES, leaseMs, ...timesOf(times) })
  expect(Math.min(...times)).toBeLessThan(leaseMs + 10_000)
})

function prefixed(prefix: string, counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [prefix + name, count]))
}
