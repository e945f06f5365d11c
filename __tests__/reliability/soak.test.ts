// What a server does in the long run: mixed load on a bad network, and figures of it that must stay level.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { openDatabase } from '../../src/storage/sqlite/driver.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { sha256 } from '../support/client-site.js'
import { waitUntil } from '../support/example.js'
import { form, report } from './form.js'
import { EXPIRY_MS } from './soak-client.js'
import { SoakLoad } from './soak-load.js'
import { type Ended, type Measured, type SoakServer, startSoakServer } from './soak-process.js'

const SEED = Number(process.env.SOAK_SEED ?? 20)
/** How long the load lasts until the figures of the start, of the middle and of the end are taken, in milliseconds. */
const LOAD_MS = form([4_000, 8_000, 8_000], [60_000, 270_000, 270_000])
const SWEPT_WITHIN_MS = 3 * EXPIRY_MS
const TIMES = ['start', 'middle', 'end'] as const

interface Figures extends Measured {
  /** Rows of all tables: of uploads, and of what is remembered of others. */
  readonly rows: number
  /** Files of uploads, finished or not. */
  readonly filesOnDisk: number
  /** How many finished uploads were to stay. */
  readonly kept: number
  /** How many uploads were finished so far. */
  readonly finished: number
}

/** Figures, and the records of uploads that should not be there. */
interface Taken extends Figures {
  readonly left: readonly object[]
}

let directory: string
let server: SoakServer
let load: SoakLoad
const taken: Taken[] = []
let ended: Ended

beforeAll(async () => {
  directory = join(tempFolder(), 'uploads')
  server = await startSoakServer(directory, EXPIRY_MS)
  load = new SoakLoad(server.port, SEED)
  for (const [index, ms] of LOAD_MS.entries()) {
    await Promise.race([load.run(ms), server.died])
    taken.push(await figuresOf(index))
  }
  reportLoad()
  ended = await server.end('SIGTERM')
}, 900_000)

afterAll(() => server.end('SIGKILL'))

describe('mixed load on a bad network', () => {
  it('every upload that was finished has the right bytes, and no finished one is missing', () => {
    for (const [story, times] of Object.entries(load.stories)) expect([story, times]).not.toEqual([story, 0])
    const found = Object.fromEntries(filesIn(directory).map((path) => [basename(path), hashOf(path)]))
    expect(found).toEqual(Object.fromEntries(load.kept))
  })

  it('at rest nothing is left of all others: no row, no file, no descriptor', () => {
    for (const { left, kept, rows, filesOnDisk, files } of taken) {
      expect({ left, rows, filesOnDisk, files }).toEqual({ left: [], rows: kept, filesOnDisk: kept, files: 0 })
    }
  })

  it('memory, descriptors and the delay of the event loop are level', () => {
    const [, middle, end] = taken as [Taken, Taken, Taken]
    expect(end.sockets).toBeLessThanOrEqual(middle.sockets)
    // The worker that checks the log in opens a few when it is needed first, which may be late on a slow machine.
    expect(end.descriptors).toBeLessThanOrEqual(middle.descriptors + 8)
    expect(end.objects).toBeLessThanOrEqual(middle.objects + 300)
    expect(end.heapMiB).toBeLessThanOrEqual(middle.heapMiB * 1.2 + 2)
    expect(end.externalMiB).toBeLessThanOrEqual(middle.externalMiB + 2)
    expect(end.rssAtRestMiB).toBeLessThanOrEqual(middle.rssAtRestMiB * 1.2 + 24)
    expect(end.logMiB).toBeLessThanOrEqual(64)
    expect(end.delayP50Ms).toBeLessThanOrEqual(middle.delayP50Ms * 3 + 20)
  })

  it('there is no word on stderr, and SIGTERM ends the process', () => {
    expect(server.stderr()).toBe('')
    expect(ended).toEqual({ code: 0, signal: null })
    const state = join(directory, '.resumable-upload')
    expect(readdirSync(state, { recursive: true }).sort()).toEqual(['parts', 'processes', 'reserve', 'uploads.sqlite'])
  })
})

/** What each story has led to, and what is measured once the server is at rest. */
async function figuresOf(index: number): Promise<Taken> {
  await server.rest()
  for (const id of finishedIds()) if (!load.kept.has(id)) await load.removeUnheard(id)
  const measured = await server.measure()
  const { kept, finished } = load
  // A sweep in the background may still be at the last ones. If something is left for good, the figures tell.
  await waitUntil(() => countRows() === kept.size, SWEPT_WITHIN_MS).catch(() => {})
  const rows = countRows()
  const figures = { ...measured, rows, filesOnDisk: filesIn(directory).length, kept: kept.size, finished }
  report(`soak, ${TIMES[index]}`, rounded(figures))
  const left = query<{ id: string }>('SELECT * FROM uploads').filter(({ id }) => !kept.has(id))
  return { ...figures, left }
}

function reportLoad(): void {
  const { stories, faults, finished, downloads, unheard, givenUp, expired } = load
  const seconds = LOAD_MS.reduce((sum, ms) => sum + ms, 0) / 1000
  report('soak, what clients did', { seconds, ...stories })
  report('soak, what befell connections', faults)
  report('soak, what came of it', { finished, downloads, 'finished unheard': unheard, 'given up': givenUp, expired })
}
function rounded(figures: Figures): Record<string, number> {
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Math.round(value * 10) / 10]))
}

/** Of what is there to stay. Partial uploads that nobody has put together, since the client gave up, are left to expire. */
function finishedIds(): string[] {
  const isFile = `complete = 1 AND (concat IS NULL OR json_extract(concat, '$.partials') IS NOT NULL)`
  return query<{ id: string }>(`SELECT id FROM uploads WHERE ${isFile}`).map(({ id }) => id)
}

function countRows(): number {
  const counts = ['uploads', 'tombstones', 'waiting', 'sharing'].map((table) => `(SELECT count(*) FROM ${table})`)
  return query<{ rows: number }>(`SELECT ${counts.join(' + ')} AS rows`)[0]?.rows ?? 0
}

function query<Row>(sql: string): Row[] {
  const database = openDatabase(join(directory, '.resumable-upload/uploads.sqlite'))
  try {
    return database.prepare(sql).all() as Row[]
  } finally {
    database.close()
  }
}

/** The paths of all files, but for those that are no upload's. */
function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((path) => join(folder, path))
    .filter(
      (path) => !/uploads\.sqlite|processes|\.resumable-upload.reserve/.test(path) && !statSync(path).isDirectory(),
    )
}

function hashOf(path: string): string {
  return sha256(readFileSync(path))
}
