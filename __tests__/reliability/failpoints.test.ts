// The server stops dead at a named point of its work and gets SIGKILL there, while a real client uploads. It is started
// again, the client goes on, and nothing is lost and nothing is left over.
import { SCHEMA_VERSION } from '../../src/storage/sqlite/schema.js'
import { downgrade } from './disk-state.js'
import { form, report } from './form.js'
import { KillSite, unlessItHangs } from './kill-site.js'
import { EXPIRATION, verdict } from './kill-verdict.js'
import { type Random, seededRandom } from './random.js'
import { KINDS, type Kind, startClient, type UploadClient } from './upload-clients.js'

const KILLS = form(1, 20)
/** Draws sizes, kinds and at which time that it is reached a point stops the server. */
const SEED = Number(process.env.RELIABILITY_SEED ?? form(4, Date.now() % 1_000_000))

const OPTIONS = { segmentBytes: 64 * 1024, expiration: EXPIRATION }
/** The versions of the schema that a server is started on. */
const MIGRATED = Array.from({ length: SCHEMA_VERSION - 1 }, (_, index) => index + 1)
const POOL_BYTES = 200 * 1024
const DAY_MS = 24 * 60 * 60_000

/** A point, and how a client comes to it. */
interface Point {
  readonly name: string
  readonly kinds?: readonly Kind[]
  /** At which time that the server comes there it is stopped: the first and the last that may be drawn; always 1 unless given. */
  readonly hits?: readonly [least: number, most: number]
  /** Larger segments are written by the thread pool. */
  readonly segmentBytes?: number
}

const ALONE = KINDS.filter((kind) => kind !== 'parallel')
const STREAMED: readonly Kind[] = ['whole', 'parallel']
const IN_CHUNKS: readonly Kind[] = ['chunks', 'checksums', 'deferred', 'with creation']

const PLAIN: readonly Point[] = [
  { name: 'creation: before the record' },
  { name: 'creation: after the record' },
  { name: 'creation: before the answer' },
  { name: 'first byte: claimed' },
  { name: 'first byte: blob made' },
  { name: 'first byte: half of the first write' },
  { name: 'mid-segment: half of a later write', hits: [2, 4] },
  { name: 'between stage and commit', hits: [1, 4] },
  ...[
    { name: 'first byte: half of the first write' },
    { name: 'mid-segment: half of a later write', hits: [2, 3] as const },
    { name: 'between stage and commit', hits: [1, 3] as const },
  ].map((point) => ({ ...point, kinds: ['whole'] as const, segmentBytes: POOL_BYTES })),
  { name: 'between a commit and the rest of the body', kinds: STREAMED, hits: [1, 3] },
  { name: 'last commit: before' },
  { name: 'last commit: after' },
  { name: 'last commit: after', kinds: ['parallel'] },
  { name: 'last commit: the file has its name', kinds: ALONE },
  { name: 'last commit: its name is on the disk', kinds: ALONE },
  { name: 'last commit: it has lost its first name', kinds: ALONE },
  { name: 'last commit: it is marked as published', kinds: ALONE },
  { name: 'between commit and answer' },
  { name: 'between commit and answer', kinds: IN_CHUNKS, hits: [1, 3] },
  ...[
    { name: 'assembly: half of the creation', hits: [1, 2] as const },
    { name: 'assembly: before it' },
    { name: 'assembly: in the middle of it' },
    { name: 'assembly: after it' },
    { name: 'flattening a final upload: blob made' },
    { name: 'flattening a final upload: half of a write', hits: [1, 2] as const },
    { name: 'flattening a final upload: copied' },
    { name: 'flattening a final upload: half of its record' },
    { name: 'flattening a final upload: recorded' },
    { name: 'flattening a final upload: placed' },
    { name: 'flattening a final upload: a partial one buried', hits: [1, 2] as const },
    { name: 'flattening a final upload: a blob of a partial one', hits: [1, 2] as const },
  ].map((point) => ({ ...point, kinds: ['parallel'] as const })),
  { name: 'completion hook: before its work' },
  { name: 'completion hook: after its work' },
  { name: 'completion hook: returned' },
  { name: 'completion hook: settled' },
]

let site: KillSite
let random: Random

function begin(kinds: readonly Kind[] = KINDS, onChunk?: (client: UploadClient) => void): UploadClient {
  const size = random.integer(300_000, 900_000)
  const { endpoint } = site
  const kind = random.pick(kinds)
  const client = startClient({ kind, endpoint, random, size, ...(onChunk && { onChunk }) })
  site.clients.set(client.name, client)
  return client
}

/** Starts clients until the server is stopped at a point on behalf of one of them; returns that one. */
async function stopAt({ name, kinds = KINDS, hits = [1, 1] }: Point): Promise<UploadClient> {
  for (;;) {
    const hit = random.integer(...hits)
    await site.arm({ name, hit })
    const client = begin(kinds)
    const stopped = site.stopped().then(() => true)
    const came = await unlessItHangs(
      Promise.race([stopped, client.end.then(() => false)]),
      () => `${client.name} neither came to “${name}” nor to its end`,
    )
    if (came) return client
    // It has not come there so often. The next one may, and the first time each of them does.
    await site.disarm()
  }
}

async function goOn(client: UploadClient): Promise<void> {
  await unlessItHangs(client.end, () => `${client.name} after the restart\n${site.errors.join('\n')}`)
}

async function prepare(options: object = {}): Promise<void> {
  random = seededRandom(SEED)
  site = await KillSite.start(SEED, true, { ...OPTIONS, ...options })
}

async function conclude(name: string, mayBeginAnew?: ReadonlySet<UploadClient>): Promise<void> {
  const figures = await verdict(site, mayBeginAnew)
  report(`killed at “${name}”`, { kills: KILLS, seed: SEED, ...figures })
}

afterEach(() => site.close())

jest.setTimeout(form(120_000, 900_000))

describe(`killed by SIGKILL at a named point, ${KILLS} times each`, () => {
  it.each(PLAIN.map((point) => [titleOf(point), point] as const))('%s', async (title, point) => {
    await prepare(point.segmentBytes ? { segmentBytes: point.segmentBytes } : {})
    for (let kill = 0; kill < KILLS; kill++) {
      const client = await stopAt(point)
      await site.kill()
      await site.restart()
      await goOn(client)
    }
    await conclude(title)
  })

  it.each([
    { name: 'flattening pieces: blob made', hits: 1 },
    { name: 'flattening pieces: half of a write', hits: 2 },
    { name: 'flattening pieces: copied', hits: 1 },
    { name: 'flattening pieces: committed', hits: 1 },
    { name: 'flattening pieces: before an old one goes', hits: 2 },
  ])('$name', async ({ name, hits }) => {
    await prepare({ leaseMs: 50 })
    for (let kill = 0; kill < KILLS; kill++) {
      const client = await stopAt({ name: 'mid-segment: half of a later write', kinds: ['whole'], hits: [2, 3] })
      const { records } = await site.kill()
      // Whoever goes on after the lease has run out begins a new piece.
      await leasesToRunOut(records)
      await site.restart({ name, hit: random.integer(1, hits) })
      await unlessItHangs(site.stopped(), () => `${client.name} on its way to “${name}”`)
      await site.kill()
      await site.restart()
      await goOn(client)
    }
    await conclude(name)
  })

  it.each([
    'late publication: before it',
    'late publication: the file has its name',
    'late publication: it has lost its first name',
    'late publication: before the mark',
  ])('%s', async (name) => {
    await prepare()
    for (let kill = 0; kill < KILLS; kill++) {
      const first = random.pick(['last commit: after', 'last commit: the file has its name'])
      const client = await stopAt({ name: first, kinds: ALONE })
      await site.kill()
      await site.restart({ name, hit: 1 })
      await unlessItHangs(site.stopped(), () => `${client.name} on its way to “${name}”`)
      await site.kill()
      await site.restart()
      await goOn(client)
    }
    await conclude(name)
  })

  it.each([
    'sweep: before the burial',
    'sweep: in the middle of the burial',
    'sweep: buried',
    'sweep: bytes removed',
    'sweep: forgotten',
  ])('%s', async (name) => {
    await prepare()
    const expired = new Set<UploadClient>()
    for (let kill = 0; kill < KILLS; kill++) {
      const left = await leftByItsClient()
      expired.add(left)
      await site.advance(DAY_MS)
      const bystander = begin(ALONE)
      await site.arm({ name, hit: 1 })
      void site.cleanUp()
      await unlessItHangs(site.stopped(), () => `the clean-up, on its way to “${name}”`)
      await site.kill()
      await site.restart()
      left.resume()
      await goOn(left)
      await goOn(bystander)
    }
    await conclude(name, expired)
  })

  it.each([
    { name: 'migration: begun', from: MIGRATED, committed: false },
    { name: 'migration: between two versions', from: [1, 2], committed: false },
    { name: 'migration: before its commit', from: MIGRATED, committed: false },
    { name: 'migration: after its commit', from: MIGRATED, committed: true },
  ])('$name', async ({ name, from, committed }) => {
    await prepare()
    for (let kill = 0; kill < KILLS; kill++) {
      const client = await stopAt({ name: 'mid-segment: half of a later write', kinds: ALONE, hits: [1, 3] })
      await site.kill()
      const before = random.pick(from)
      downgrade(site.directory, before)
      site.begin({ name, hit: 1 })
      await unlessItHangs(site.stopped(), () => name)
      const { version } = await site.kill()
      expect(version === before).toBe(!committed)
      await site.restart()
      await goOn(client)
    }
    await conclude(name)
  })
})

function titleOf({ name, kinds, segmentBytes }: Point): string {
  const details = [...(kinds ?? ['all']), ...(segmentBytes ? [`segments of ${segmentBytes} bytes`] : [])]
  return `${name} (${details.join(', ')})`
}

/** A client that stops after its first chunk. */
function leftByItsClient(): Promise<UploadClient> {
  return new Promise((resolve) => {
    let left = false
    begin(['chunks'], (client) => {
      if (left) return
      left = true
      void client.abort()
      resolve(client)
    })
  })
}

async function leasesToRunOut(records: readonly { holder: { leaseUntilMs: number } | undefined }[]): Promise<void> {
  const last = Math.max(0, ...records.map(({ holder }) => holder?.leaseUntilMs ?? 0))
  while (Date.now() <= last) await new Promise((next) => setTimeout(next, last - Date.now() + 1))
}
