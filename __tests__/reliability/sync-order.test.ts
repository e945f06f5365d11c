// What is synced before which answer, as strace sees it; what becomes of a sync that fails; and who waits for a slow one.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type DetailedError, Upload } from 'tus-js-client'
import { bytes } from '../../src/testing/subject.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { waitUntil } from '../support/example.js'
import { createUpload, offsetOf, sendChunk } from '../support/requests.js'
import { type ServerProcess, startServer } from '../support/server-process.js'
import { checkpointOf, timesStartedOver } from '../support/write-ahead-log.js'
import { form, report } from './form.js'
import { readTrace, startTraced, type TraceEvent } from './trace.js'

/** More than is kept with the record. */
const CONTENT = bytes(40_000)
const SMALL = bytes(3000, 1)
const WAL = '.resumable-upload/uploads.sqlite-wal'
const PARTS = '.resumable-upload/parts'
const SLOW_MS = 300
/** Makes the log grow fast. */
const METADATA = { 'Upload-Metadata': `name ${Buffer.alloc(5000, 'x').toString('base64')}` }

jest.setTimeout(60_000)

let server: ServerProcess | undefined
let tampering: ChildProcess | undefined

afterEach(async () => {
  await heal()
  await server?.end('SIGKILL')
  server = undefined
})

const idOf = (url: string): string => url.slice(url.lastIndexOf('/') + 1)

describe('the order of things', () => {
  /** What happened between the answers to a POST, a PATCH in the middle, and the PATCH that completes the upload. */
  async function traced(
    durability: string,
    content = CONTENT,
  ): Promise<{ id: string; middle: TraceEvent[]; last: TraceEvent[] }> {
    const directory = join(tempFolder(), 'uploads')
    const log = join(tempFolder(), 'trace')
    server = await startTraced(directory, { durability }, { log })
    const url = await createUpload(server.url, content.length)
    expect((await sendChunk(url, 0, content.subarray(0, 1000))).status).toBe(204)
    expect((await sendChunk(url, 1000, content.subarray(1000))).status).toBe(204)
    await server.end('SIGKILL')
    const events = readTrace([log], directory)
    const [created, first, last] = events.filter(({ kind }) => kind === 'answer').map(({ begin }) => begin)
    const between = (from = 0, to = 0): TraceEvent[] => events.filter(({ begin }) => begin > from && begin <= to)
    return { id: idOf(url), middle: between(created, first), last: between(first, last) }
  }

  const syncs = (events: readonly TraceEvent[]): TraceEvent[] => events.filter(({ kind }) => kind === 'sync')

  /** The one event of a kind and a path. */
  function find(events: readonly TraceEvent[], kind: TraceEvent['kind'], path?: string): TraceEvent {
    const found = events.filter((event) => event.kind === kind && (event.kind === 'answer' || event.path === path))
    if (found.length !== 1) throw new Error(`${kind} of ${path}: ${found.length} instead of one`)
    return found[0] as TraceEvent
  }

  /** The writes of records that a sync of the log covers, by what the log got since the one before. */
  const lastWrite = (events: readonly TraceEvent[], path: string, before: number): TraceEvent =>
    events.filter((event) => event.kind === 'write' && event.path === path && event.end < before).at(-1) as TraceEvent

  function expectOrder(...events: readonly TraceEvent[]): void {
    for (const [index, event] of events.entries()) {
      const next = events[index + 1]
      if (next !== undefined) expect([event, event.end < next.begin]).toEqual([event, true])
    }
  }

  /** Bytes and their name, then the record, then the answer. */
  function expectCommitted(id: string, events: readonly TraceEvent[]): void {
    const part = `${PARTS}/${id}`
    const [bytesSync, nameSync, logSync] = [part, PARTS, WAL].map((path) => find(events, 'sync', path)) as [
      TraceEvent,
      TraceEvent,
      TraceEvent,
    ]
    const record = lastWrite(events, WAL, logSync.begin)
    const answer = find(events, 'answer')
    expectOrder(lastWrite(events, part, bytesSync.begin), bytesSync, record, logSync, answer)
    expectOrder(nameSync, record)
  }

  /** … and the finished name after the record. */
  function expectCompleted(id: string, events: readonly TraceEvent[]): void {
    expectCommitted(id, events)
    const link = find(events, 'link', `${PARTS}/${id}`)
    const nameSync = find(events, 'sync', '')
    expectOrder(find(events, 'sync', WAL), link, nameSync, find(events, 'answer'))
    // The name of before goes last: at no moment is the file without a name that is on the disk.
    expectOrder(nameSync, find(events, 'unlink', `${PARTS}/${id}`), find(events, 'answer'))
  }

  it("'completed': bytes, name and record are synced before the answer that completes an upload, and no other", async () => {
    const { id, middle, last } = await traced('completed')
    expect(syncs(middle)).toEqual([])
    expectCompleted(id, last)
  })

  it("'completed': of a small upload the record, which has its bytes, is synced, and nothing else", async () => {
    const { id, middle, last } = await traced('completed', SMALL)
    expect(syncs(middle)).toEqual([])
    const logSync = find(last, 'sync', WAL)
    // Besides that only the name of the log, once for each process.
    const others = syncs(last).filter(({ begin }) => begin !== logSync.begin)
    expect(others).toEqual([find(last, 'sync', '.resumable-upload')])
    const wal = last.flatMap((event) => (event.kind === 'write' && event.path === WAL ? [event] : []))
    const covered = Buffer.concat(wal.filter(({ end }) => end < logSync.begin).map(({ data }) => data))
    // Pages hold a little less than 4 KiB of one row: the rest of these bytes goes to another one.
    expect(covered.includes(SMALL.subarray(0, 100))).toBe(true)
    expect(covered.includes(SMALL.subarray(-100))).toBe(true)
    expectOrder(logSync, find(last, 'link', `${PARTS}/${id}`), find(last, 'answer'))
  })

  it("'committed': bytes, name and record are synced before each answer", async () => {
    const { id, middle, last } = await traced('committed')
    expectCommitted(id, middle)
    expectCompleted(id, last)
  })

  it("'none': nothing is synced", async () => {
    const { id, middle, last } = await traced('none')
    expect(syncs([...middle, ...last])).toEqual([])
    find(last, 'link', `${PARTS}/${id}`)
  })
})

/** Has strace tamper with the syncs of the running server; with those of one path, if it is given. */
async function tamper(how: string, path?: string, log = '/dev/null'): Promise<void> {
  const { pid } = server as ServerProcess
  const where = path === undefined ? [] : ['-P', path]
  const options = ['-f', '-qq', '-o', log, '-e', 'trace=fsync,fdatasync', '-e', `inject=fsync,fdatasync:${how}`]
  const strace = spawn('strace', [...options, ...where, '-p', String(pid)], { stdio: 'ignore' })
  tampering = strace
  const threads = `/proc/${pid}/task`
  const traced = `TracerPid:\t${strace.pid}\n`
  await waitUntil(() =>
    readdirSync(threads).every((id) => readFileSync(`${threads}/${id}/status`, 'utf8').includes(traced)),
  )
}

async function heal(): Promise<void> {
  if (tampering === undefined) return
  const exit = once(tampering, 'exit')
  tampering.kill('SIGINT')
  await exit
  tampering = undefined
}

const [WHERE, DURABILITIES] = [
  { 'the bytes': (id: string) => `${PARTS}/${id}`, 'their name': () => PARTS, 'the record': () => WAL },
  ['completed', 'committed'],
] as const
const FAILURES = DURABILITIES.flatMap((durability) =>
  Object.entries(WHERE).map(([what, path]) => [what, durability, path] as const),
)

describe('a sync that fails', () => {
  it.each([...FAILURES, ['the finished name', 'completed', () => ''] as const])(
    "of %s, under '%s': an error, no completed upload, an offset that goes back, and a right file in the end",
    async (_what, durability, pathOf) => {
      const directory = join(tempFolder(), 'uploads')
      server = await startServer(directory, { durability })
      const url = await createUpload(server.url, CONTENT.length)
      const file = join(directory, idOf(url))
      expect((await sendChunk(url, 0, CONTENT.subarray(0, 1000))).status).toBe(204)
      await tamper('error=EIO', join(directory, pathOf(idOf(url))))
      const failed = await sendChunk(url, 1000, CONTENT.subarray(1000))
      expect([failed.status, failed.body]).toEqual([500, 'Internal server error\n'])
      // What was synced before stands: under 'completed' nothing was.
      const offset = await offsetOf(url)
      expect(offset).toBe(durability === 'committed' ? 1000 : 0)
      expect(existsSync(file)).toBe(false)
      await heal()
      expect((await sendChunk(url, offset ?? -1, CONTENT.subarray(offset))).status).toBe(204)
      expect(readFileSync(file).equals(CONTENT)).toBe(true)
    },
  )

  it('of the record of a small upload: an error, no completed upload, and a right file in the end', async () => {
    const directory = join(tempFolder(), 'uploads')
    server = await startServer(directory)
    const url = await createUpload(server.url, SMALL.length)
    await tamper('error=EIO', join(directory, WAL))
    expect((await sendChunk(url, 0, SMALL)).status).toBe(500)
    expect(await offsetOf(url)).toBe(0)
    expect(existsSync(join(directory, idOf(url)))).toBe(false)
    await heal()
    expect((await sendChunk(url, 0, SMALL)).status).toBe(204)
    expect(readFileSync(join(directory, idOf(url))).equals(SMALL)).toBe(true)
  })

  it("under 'committed', in the middle of an upload: an error, and what was synced before stands", async () => {
    const directory = join(tempFolder(), 'uploads')
    server = await startServer(directory, { durability: 'committed' })
    const url = await createUpload(server.url, CONTENT.length)
    expect((await sendChunk(url, 0, CONTENT.subarray(0, 1000))).status).toBe(204)
    await tamper('error=EIO')
    expect((await sendChunk(url, 1000, CONTENT.subarray(1000, 2000))).status).toBe(500)
    expect(await offsetOf(url)).toBe(1000)
  })

  it('tus-js-client goes on by itself once the disk works again', async () => {
    const directory = join(tempFolder(), 'uploads')
    server = await startServer(directory)
    await tamper('error=EIO')
    const failures: number[] = []
    const url = await new Promise<string | null>((resolve, reject) => {
      const upload = new Upload(CONTENT, {
        endpoint: server?.url ?? '',
        retryDelays: [0, 0, 0, 0, 0],
        onShouldRetry: (error) => {
          failures.push((error as DetailedError).originalResponse?.getStatus() ?? 0)
          void heal()
          return true
        },
        onError: reject,
        onSuccess: () => resolve(upload.url),
      })
      upload.start()
    })
    expect(failures[0]).toBe(500)
    expect(readFileSync(join(directory, idOf(url ?? ''))).equals(CONTENT)).toBe(true)
  })
})

it('a slow sync holds up nobody but those who wait for it', async () => {
  const directory = join(tempFolder(), 'uploads')
  server = await startServer(directory)
  const { url } = server
  const other = await createUpload(url, 1_000_000)
  await tamper(`delay_exit=${SLOW_MS * 1000}`)
  const meanwhile: number[] = []
  const completions: number[] = []
  const worsts: number[] = []
  let sent = 0
  for (let round = 0; round < form(4, 30); round++) {
    const mine = await createUpload(url, CONTENT.length)
    const from = performance.now()
    let waiting = true
    const before = meanwhile.length
    const completing = sendChunk(mine, 0, CONTENT).finally(() => {
      waiting = false
      completions.push(performance.now() - from)
    })
    while (waiting) {
      const began = performance.now()
      if (meanwhile.length % 2 === 0) expect(await offsetOf(other)).toBe(sent)
      else {
        expect((await sendChunk(other, sent, CONTENT.subarray(0, 100))).status).toBe(204)
        sent += 100
      }
      if (waiting) meanwhile.push(performance.now() - began)
    }
    expect((await completing).status).toBe(204)
    worsts.push(Math.max(...meanwhile.slice(before)))
  }
  const [answer, completion] = [median(meanwhile), median(completions)]
  report('others while syncs take 300 ms', {
    'requests answered': meanwhile.length,
    'median ms': answer.toFixed(1),
    'worst ms': Math.max(...meanwhile).toFixed(1),
    'completing PATCH, median ms': completion.toFixed(0),
  })
  // Three syncs, one after the other: the bytes, the record, the name.
  expect(completion).toBeGreaterThan(3 * SLOW_MS)
  expect(answer).toBeLessThan(SLOW_MS / 3)
  // A sync on the main thread would make somebody wait as long in every round; a busy machine does not.
  expect(Math.min(...worsts)).toBeLessThan(SLOW_MS)
})

it('no sync is made on the main thread, whatever becomes of the log, and nothing is held up', async () => {
  const directory = join(tempFolder(), 'uploads')
  server = await startServer(directory)
  const { url, pid } = server
  const log = join(tempFolder(), 'syncs')
  const wal = join(directory, WAL)
  const other = await createUpload(url, 1_000_000)
  await tamper(`delay_exit=${SLOW_MS * 1000}`, undefined, log)
  let over = false
  const heads: number[] = []
  const looking = (async () => {
    while (!over) {
      const began = performance.now()
      expect(await offsetOf(other)).toBe(0)
      heads.push(performance.now() - began)
      await delay(2)
    }
  })()
  const creations: number[] = []
  const create = async (): Promise<void> => {
    const began = performance.now()
    await createUpload(url, 100, METADATA)
    creations.push(performance.now() - began)
  }
  // As much as a checkpoint is due after (the server may have written by itself, too), and a pause in which it is done.
  let begun = timesStartedOver(wal)
  for (let creation = 0; creation < 980; creation += 20) await Promise.all(Array.from({ length: 20 }, create))
  const checked = checkpointOf(wal)
  while (checkpointOf(wal) === checked) {
    await create()
    await delay(200)
  }
  await waitUntil(() => timesStartedOver(wal) > begun)
  await create()
  // And no pause, until it has grown to its limit.
  const rounds = form(1, 10)
  for (let round = 0; round < rounds; round++) {
    begun = timesStartedOver(wal)
    const load = async (): Promise<void> => {
      while (timesStartedOver(wal) === begun) await create()
    }
    await Promise.all(Array.from({ length: 16 }, load))
    // A completion has the log synced.
    await sendChunk(await createUpload(url, CONTENT.length), 0, CONTENT)
  }
  over = true
  await looking
  await heal()
  const threads = readFileSync(log, 'latin1')
    .split('\n')
    .filter((line) => /\b(fsync|fdatasync)\(/.test(line))
    .map((line) => Number.parseInt(line, 10))
  report('a log that starts over while syncs take 300 ms', {
    'in a pause': 1,
    'under load': rounds,
    syncs: threads.length,
    'on the main thread': threads.filter((thread) => thread === pid).length,
    'HEADs, worst ms': Math.max(...heads).toFixed(1),
    'POSTs, median ms': median(creations).toFixed(1),
    'POSTs, worst ms': Math.max(...creations).toFixed(0),
  })
  expect(threads.length).toBeGreaterThan(10)
  expect(threads.filter((thread) => thread === pid)).toEqual([])
  expect(median(heads)).toBeLessThan(SLOW_MS / 3)
}, 600_000)

function median(values: readonly number[]): number {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN
}
