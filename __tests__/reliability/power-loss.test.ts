// Power losses. A real server's every write and sync is recorded, SQLite's own included; a disk is made of what was synced
// at some moment (and, by chance, of some of the rest), and a server starts on it in another run of the system.
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { SQLiteStorage, TusServer, tusListener } from '../../src/index.js'
import type { Durability } from '../../src/options.js'
import { canMount, smallDisk } from '../storage/support/small-disk.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { ask, sendChunk } from '../support/requests.js'
import type { ServerProcess } from '../support/server-process.js'
import { form, LONG, report } from './form.js'
import { type Random, seededRandom } from './random.js'
import { RecordedDisk, type Survival } from './recorded-disk.js'
import { readTrace, startTraced, type TraceEvent } from './trace.js'
import { isPromisedWhole, type Promised, TracedClient, type TracedUpload } from './traced-uploads.js'

/** Up to so many bytes are kept with the record. */
const JOURNALED_BYTES = 32 * 1024
const HOUR_MS = 3_600_000
/** How many moments are tried in which power is lost, besides those right before each answer. */
const MOMENTS = form(20, 200)
/** How often chance decides on what survives, at each of them. */
const DRAWS = form(1, 2)
/** So many uploads that a checkpoint comes; in the long form alone. */
const CHURN = form(0, 1100)
const FAILING_ROUNDS = form(1, 4)
const DATABASE = '.resumable-upload/uploads.sqlite'

const SURVIVALS = [
  ['nothing that was not synced', 'nothing'],
  ['by chance some of what was not synced, with holes and torn writes,', 'some'],
  ['everything, as after a kill,', 'all'],
] as const

jest.setTimeout(form(60_000, 600_000))

const running = new Set<ServerProcess>()

afterEach(async () => {
  for (const server of running) await server.end('SIGKILL')
  running.clear()
})

interface Recording {
  readonly events: readonly TraceEvent[]
  readonly uploads: readonly TracedUpload[]
}

/** Lets a client upload to servers of one directory, and reads what they did. */
async function record(
  durability: Durability,
  upload: (
    client: TracedClient,
    start: (inject?: string) => Promise<ServerProcess>,
    directory: string,
  ) => Promise<void>,
): Promise<Recording> {
  const directory = join(tempFolder(), 'uploads')
  const logs: string[] = []
  const client = new TracedClient()
  await upload(
    client,
    async (inject) => {
      const log = join(tempFolder(), 'trace')
      logs.push(log)
      const options = { durability, segmentBytes: 8192, leaseMs: 1000 }
      const server = await startTraced(directory, options, inject === undefined ? { log } : { log, inject })
      running.add(server)
      return server
    },
    directory,
  )
  // No part of the recording: they could not know that this is the end.
  for (const server of running) await server.end('SIGKILL')
  return { events: readTrace(logs, directory), uploads: client.uploads }
}

/** Everything that there is to one server, and after a restart to two of them. */
function everything(durability: Durability): Promise<Recording> {
  return record(durability, async (client, start, directory) => {
    const first = await start()
    const { url } = first
    await Promise.all([
      client.single(url, 10_000),
      client.single(url, 50_000),
      client.withUpload(url, 5_000),
      client.inParts(url, 15_000),
      client.broken(url, 60_000),
      client.deferred(url, 9_000),
      client.removed(url, 6_000),
      client.concatenated(url, 8_000, 'after'),
      client.concatenated(url, 7_000, 'before'),
    ])
    await first.end('SIGTERM')
    const [second, third] = [await start(), await start()]
    await client.takenOver(second, third, directory, 40_000)
    await client.single(third.url, 3_000)
    // So that a checkpoint comes.
    await client.churn(third.url, CHURN)
    await client.concatenated(third.url, 5_000, 'after')
  })
}

/** A server whose syncs fail time and again, in every one of its threads. */
function failing(durability: Durability): Promise<Recording> {
  return record(durability, async (client, start) => {
    // The first one makes the database, and is left in peace.
    const first = await start()
    await client.single(first.url, 1_000)
    await first.end('SIGTERM')
    let [uploads, failures] = [0, 0]
    for (let round = 0; round < FAILING_ROUNDS; round++) {
      const server = await start('fsync,fdatasync:error=EIO:when=3+3')
      for (let count = 0; count < 4; count++) {
        // Small ones are synced with their records alone, larger ones with their files and folders.
        failures += await client.stubborn(server.url, count % 2 === 0 ? 40_000 : 3_000)
        uploads++
      }
      await server.end('SIGTERM')
    }
    report(`syncs that fail under '${durability}'`, { uploads, 'requests answered by 500': failures })
    expect(failures).toBeGreaterThan(0)
  })
}

interface Counts {
  losses: number
  whole: number
  resumed: number
  unknown: number
  'bytes sent again': number
}

/** Starts a server on what is left, looks at every upload, and ends those that are unfinished. */
async function check(directory: string, uploads: readonly TracedUpload[], due: Due, counts: Counts): Promise<void> {
  // Another run of the system, some time later: all leases have run out.
  const now = (): number => Date.now() + HOUR_MS
  for (const upload of uploads) {
    // The file has its name before the answer, whether a server is started again or not; those of small ones are made
    // whole by the next start.
    if (upload.concat !== undefined || !due(upload).includes('complete')) continue
    if (upload.content.length <= JOURNALED_BYTES) continue
    const path = join(directory, upload.id)
    await titled(upload, () =>
      assert(existsSync(path) && readFileSync(path).equals(upload.content), 'the file is not there'),
    )
  }
  const storage = new SQLiteStorage({ directory, boot: 'another', now })
  const problems: unknown[] = []
  const logger = { warn: () => {}, error: (error: unknown) => void problems.push(error) }
  const tus = new TusServer({ storage, now, logger, durability: 'none', downloads: true })
  const server = createServer(tusListener(tus)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/files`
  try {
    for (const upload of uploads) {
      await titled(upload, () => checkOne(upload, `${endpoint}/${upload.id}`, due(upload), counts))
    }
    // What is to be done in the background, and what no record names.
    await tus.cleanUp()
    for (const upload of uploads) await titled(upload, () => checkFile(upload, storage, due(upload)))
    const left = readdirSync(join(directory, '.resumable-upload/parts'))
    for (const blob of left) if (!(await storage.get(blob.split('.')[0] ?? ''))) throw new Error(`${blob} is left`)
    if (problems.length > 0) throw problems[0]
  } catch (error) {
    throw new Error((error as Error).message, { cause: problems[0] ?? error })
  } finally {
    server.close()
    await tus.close({ timeoutMs: 0 })
  }
}

/** Says of a failure which upload it was. */
async function titled({ title, id }: TracedUpload, look: () => Promise<void> | void): Promise<void> {
  try {
    await look()
  } catch (error) {
    throw new Error(`${title} (${id}): ${(error as Error).message}`, { cause: error })
  }
}

async function checkOne(
  { content, concat }: TracedUpload,
  url: string,
  due: readonly Promised[],
  counts: Counts,
): Promise<void> {
  const { status, headers } = await ask('HEAD', url)
  if (due.includes('removed')) return assert(status === 404 || status === 410, `a removed upload is back: ${status}`)
  const promised = Math.max(-1, ...due.map((what) => (typeof what === 'object' ? what.offset : content.length)))
  if (status !== 200) {
    counts.unknown++
    // A partial upload is gone as soon as its final one has a file of its own.
    return assert(promised === -1 || concat === 'partial', `HEAD is answered by ${status}, ${promised} was promised`)
  }
  if (concat === 'final' && headers['upload-offset'] === undefined) {
    assert(promised === -1, 'a final upload is not assembled')
    return
  }
  const offset = Number(headers['upload-offset'])
  assert(offset >= promised, `the offset is ${offset}, ${promised} was promised`)
  assert(offset <= content.length, `the offset is ${offset} of ${content.length}`)
  if (offset < content.length || headers['upload-length'] === undefined) {
    assert(concat !== 'final', 'a final upload with an offset is not whole')
    const rest = { 'Upload-Length': content.length }
    const answer = await sendChunk(url, offset, content.subarray(offset), rest)
    assert(answer.status === 204, `PATCH is answered by ${answer.status}`)
    counts.resumed++
    counts['bytes sent again'] += content.length - offset
  } else {
    counts.whole++
  }
  const answer = await fetch(url)
  // A partial upload is no file that could be downloaded.
  if (concat === 'partial') return void (await answer.body?.cancel())
  const got = Buffer.from(await answer.arrayBuffer())
  assert(answer.status === 200 && got.equals(content), `GET: ${answer.status}, ${difference(got, content)}`)
}

async function checkFile({ id, content, concat }: TracedUpload, storage: SQLiteStorage, due: readonly Promised[]) {
  const path = storage.pathOf({ name: id })
  const upload = await storage.get(id)
  if (upload?.complete && concat === 'partial') {
    const got: Uint8Array[] = []
    for await (const chunk of storage.read(id, 0, content.length)) got.push(Buffer.from(chunk))
    const whole = Buffer.concat(got)
    assert(whole.equals(content), `a partial upload: ${difference(whole, content)}`)
  }
  if (upload?.complete !== true || concat === 'partial') {
    assert(!existsSync(path), 'there is a file of what is no finished upload')
    assert(!due.includes('complete') || due.includes('removed') || concat === 'partial', 'a finished upload is gone')
    return
  }
  const got = existsSync(path) ? readFileSync(path) : Buffer.alloc(0)
  assert(got.equals(content), `the file: ${difference(got, content)}`)
}

function assert(condition: boolean, message: string): void {
  if (!condition) throw new Error(message)
}

function difference(got: Buffer, expected: Buffer): string {
  const at = expected.findIndex((byte, index) => byte !== got[index])
  return `${got.length} of ${expected.length} bytes, which differ from ${at} on (${got[at]} for ${expected[at]})`
}

/** What was promised of an upload until some moment. */
type Due = (upload: TracedUpload) => readonly Promised[]

function promisedAt({ events }: Recording, position: number, durability: Durability): Due {
  const answered = new Map<number, number>()
  for (const event of events) if (event.kind === 'answer') answered.set(event.port, event.begin)
  return ({ promises }) => {
    const due = promises.filter(({ port }) => (answered.get(port) ?? Number.POSITIVE_INFINITY) <= position)
    // What was promised before holds until DELETE is sent, which the trace does not show.
    const removed = promises.findIndex(({ what }) => what === 'removed')
    const standing = removed === -1 || due.length < removed ? due : due.slice(removed)
    return standing.map(({ what }) => what).filter((what) => durability === 'committed' || typeof what === 'string')
  }
}

/** Right before each answer, when everything that it promises must be on the disk; within checkpoints; and any others. */
function moments({ events, uploads }: Recording, random: Random): readonly number[] {
  const ports = new Set(uploads.flatMap(({ promises }) => promises.map(({ port }) => port)))
  const chosen = new Set<number>()
  for (const event of events) {
    if (event.kind === 'answer' && ports.has(event.port)) chosen.add(event.begin)
    else if (event.kind !== 'answer' && event.path === DATABASE && LONG) chosen.add(event.end)
  }
  for (let drawn = 0; drawn < MOMENTS; drawn++) chosen.add(random.pick(events).end)
  return [...chosen].sort((one, other) => one - other)
}

const RECORDINGS = {
  'all kinds of uploads': everything,
  'syncs that fail': failing,
} as const

describe.each(['completed', 'committed'] as const)("durability '%s'", (durability) => {
  describe.each(['all kinds of uploads', 'syncs that fail'] as const)('%s', (name) => {
    let recording: Recording

    beforeAll(async () => {
      recording = await RECORDINGS[name](durability)
      const ports = recording.events.map((event) => event.kind === 'answer' && event.port)
      // Every promise is found in the trace again, and there is enough to lose.
      for (const { promises } of recording.uploads) for (const { port } of promises) expect(ports).toContain(port)
      expect(recording.uploads.filter(isPromisedWhole).length).toBeGreaterThan(4)
    })

    it.each(SURVIVALS.slice(0, form(2, 3)))(
      'power is lost, and %s survives: finished uploads are whole, unfinished ones are resumed and right',
      (_title, survival) => lose(name, recording, durability, survival),
    )
  })
})

async function lose(name: string, recording: Recording, durability: Durability, survival: Survival): Promise<void> {
  const counts: Counts = { losses: 0, whole: 0, resumed: 0, unknown: 0, 'bytes sent again': 0 }
  // In memory, where there is one: the servers that are started on what is left need not wait for a real disk.
  const place = canMount ? smallDisk(256 * 1024 * 1024) : tempFolder()
  const draws = survival === 'some' ? DRAWS : 1
  for (const position of moments(recording, seededRandom(1))) {
    const disk = new RecordedDisk(recording.events, position)
    for (let seed = 1; seed <= draws; seed++) {
      const directory = join(place, `left-${position}-${seed}`)
      mkdirSync(directory)
      disk.restore(directory, survival, seededRandom(position * 1000 + seed))
      try {
        await check(directory, recording.uploads, promisedAt(recording, position, durability), counts)
      } catch (error) {
        throw new Error(`power lost at ${position}, ${survival} survives, seed ${seed}, left in ${directory}`, {
          cause: error,
        })
      }
      rmSync(directory, { recursive: true })
      counts.losses++
    }
  }
  expect(counts.losses).toBeGreaterThan(0)
  report(`power lost under '${durability}', ${name}, ${survival} of the unsynced survives`, {
    ...counts,
    'events recorded': recording.events.length,
  })
}
