// A disk that is really full, under a real server: what is refused, what goes on, and how it is resumed.
import { existsSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type DetailedError, Upload, type UploadOptions } from 'tus-js-client'
import { bytes } from '../../src/testing/subject.js'
import { growDisk, smallDisk } from '../storage/support/small-disk.js'
import { waitUntil } from '../support/example.js'
import { ask, createUpload, offsetOf, sendChunk } from '../support/requests.js'
import { type ServerProcess, startServer } from '../support/server-process.js'
import { form, report } from './form.js'
import { seededRandom } from './random.js'

const KIB = 1024
const MIB = 1024 * KIB
const DISK = 8 * MIB
const BIG = bytes(12 * MIB, 1)

jest.setTimeout(form(60_000, 300_000))

let server: ServerProcess | undefined
let disk: string
let directory: string

async function start(options: object = {}): Promise<string> {
  server = await startServer(directory, options)
  return server.url
}

beforeEach(() => {
  disk = smallDisk(DISK)
  directory = join(disk, 'uploads')
})

afterEach(async () => {
  // It is the one that was started: nothing has ended it.
  expect(server?.child.exitCode).toBe(null)
  await server?.end('SIGKILL')
})

const idOf = (url: string): string => url.slice(url.lastIndexOf('/') + 1)
const stored = (url: string): Buffer => readFileSync(join(directory, idOf(url)))
const free = (): number => statfsSync(disk).bavail * statfsSync(disk).bsize
const filler = (): string => join(disk, 'filler')

/** Leaves no byte, if nobody else does anything meanwhile. */
function fill(): void {
  for (let size = MIB; size >= 4 * KIB; size /= 2) {
    try {
      for (;;) writeFileSync(filler(), Buffer.alloc(size), { flag: 'a' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }
}

describe('a disk that fills up', () => {
  it('answers 507 with the offset that stands; other uploads go on, and this one when there is space', async () => {
    const endpoint = await start()
    const small = await createUpload(endpoint, 200 * KIB)
    writeFileSync(filler(), Buffer.alloc(400 * KIB))
    const url = await createUpload(endpoint, BIG.length)
    const refused = await sendChunk(url, 0, BIG)
    const offset = Number(refused.headers['upload-offset'])
    expect([refused.status, await offsetOf(url)]).toEqual([507, offset])
    expect(refused.body).toBe('There is no space left for the upload\n')
    // All that fits is kept, but for the write that did not.
    expect(offset).toBeGreaterThan(4 * MIB)

    rmSync(filler())
    const content = bytes(200 * KIB, 2)
    expect((await sendChunk(small, 0, content)).status).toBe(204)
    expect(stored(small).equals(content)).toBe(true)

    expect((await sendChunk(url, offset, BIG.subarray(offset))).status).toBe(507)
    const further = (await offsetOf(url)) ?? -1
    expect(further).toBeGreaterThanOrEqual(offset)
    growDisk(disk, 4 * DISK)
    expect((await sendChunk(url, further, BIG.subarray(further))).status).toBe(204)
    expect(stored(url).equals(BIG)).toBe(true)
  })

  it('with not a byte left, offsets are told, uploads can be removed, and that makes space', async () => {
    const endpoint = await start({ downloads: true })
    const [url, finished] = [await createUpload(endpoint, BIG.length), await createUpload(endpoint, 2 * MIB)]
    const content = bytes(2 * MIB, 3)
    expect((await sendChunk(finished, 0, content)).status).toBe(204)
    expect((await sendChunk(url, 0, BIG.subarray(0, MIB))).status).toBe(204)
    fill()
    expect(free()).toBe(0)
    for (let round = 0; round < 30; round++) {
      const refused = await sendChunk(url, MIB, BIG.subarray(MIB, 2 * MIB))
      expect([refused.status, refused.headers['upload-offset']]).toEqual([507, String(MIB)])
    }
    expect(await offsetOf(url)).toBe(MIB)
    expect(Buffer.from(await (await fetch(finished)).arrayBuffer()).equals(content)).toBe(true)
    const created = await ask('POST', endpoint, { 'Upload-Length': 5, 'Content-Length': 0 })
    expect([201, 507]).toContain(created.status)

    expect((await ask('DELETE', finished)).status).toBe(204)
    expect(existsSync(join(directory, idOf(finished)))).toBe(false)
    expect((await sendChunk(url, MIB, BIG.subarray(MIB, 2 * MIB))).status).toBe(204)
    rmSync(filler())
    growDisk(disk, 4 * DISK)
    expect((await sendChunk(url, 2 * MIB, BIG.subarray(2 * MIB))).status).toBe(204)
    expect(stored(url).equals(BIG)).toBe(true)
  })

  it('tus-js-client tries again by itself, and ends as soon as there is space', async () => {
    const statuses: number[] = []
    const endpoint = await start()
    const { url } = await upload(BIG, {
      endpoint,
      retryDelays: [0, 10, 20, 40],
      onShouldRetry: (error) => {
        statuses.push((error as DetailedError).originalResponse?.getStatus() ?? 0)
        if (statuses.length === 3) growDisk(disk, 4 * DISK)
        return true
      },
    })
    expect(statuses).toEqual([507, 507, 507])
    expect(stored(url).equals(BIG)).toBe(true)
  })

  it('keeps a final upload from becoming one file, not from being there; it becomes one when there is space', async () => {
    const endpoint = await start({ downloads: true })
    const half = bytes(3 * MIB, 4)
    const partials: string[] = []
    for (const part of [half, half]) {
      const headers = { 'Upload-Length': part.length, 'Content-Length': 0, 'Upload-Concat': 'partial' }
      const { headers: made } = await ask('POST', endpoint, headers)
      const url = new URL(made.location ?? '', endpoint)
      expect((await sendChunk(url.href, 0, part)).status).toBe(204)
      partials.push(url.pathname)
    }
    const concat = { 'Upload-Concat': `final;${partials.join(' ')}`, 'Content-Length': 0 }
    const { status, headers } = await ask('POST', endpoint, concat)
    expect(status).toBe(201)
    const url = new URL(headers.location ?? '', endpoint).href
    const whole = Buffer.concat([half, half])
    expect(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(whole)).toBe(true)
    expect(existsSync(join(directory, idOf(url)))).toBe(false)
    growDisk(disk, 4 * DISK)
    await waitUntil(() => existsSync(join(directory, idOf(url))), 30_000)
    expect(stored(url).equals(whole)).toBe(true)
  })

  it('whatever is uploaded while space comes and goes: every finished file is right', async () => {
    const random = seededRandom(1)
    const endpoint = await start()
    const counts = { uploads: 0, 'answers 507': 0 }
    for (let round = 0; round < form(6, 100); round++) {
      const content = bytes(random.integer(1, 3 * MIB), round)
      const { url } = await upload(content, {
        endpoint,
        retryDelays: Array(50).fill(5),
        chunkSize: random.pick([Number.POSITIVE_INFINITY, 300_000]),
        onShouldRetry: (error, attempt) => {
          const status = (error as DetailedError).originalResponse?.getStatus()
          if (status === 507) counts['answers 507']++
          if (attempt > random.integer(0, 3)) rmSync(filler(), { force: true })
          return true
        },
        onProgress: () => {
          if (random.next() < 0.3 && !existsSync(filler())) fill()
        },
      })
      expect(stored(url).equals(content)).toBe(true)
      counts.uploads++
      expect((await ask('DELETE', url)).status).toBe(204)
      rmSync(filler(), { force: true })
    }
    expect(counts['answers 507']).toBeGreaterThan(0)
    report('uploads while the disk is filled up and freed again', counts)
  })
})

describe('minFreeBytes', () => {
  const create = (endpoint: string, headers: Record<string, string | number>): Promise<number> =>
    ask('POST', endpoint, { 'Content-Length': 0, ...headers }).then(({ status }) => status)

  it('refuses what would not leave so much, and nothing else', async () => {
    const endpoint = await start({ minFreeBytes: 2 * MIB })
    const length = free() - 2 * MIB
    expect(await create(endpoint, { 'Upload-Length': length + MIB })).toBe(507)
    expect(await create(endpoint, { 'Upload-Length': length - MIB })).toBe(201)
    expect(await create(endpoint, { 'Upload-Defer-Length': 1 })).toBe(201)
    const url = await createUpload(endpoint, 5 * MIB)
    expect((await sendChunk(url, 0, bytes(5 * MIB))).status).toBe(204)
    fillTo(MIB)
    expect(await create(endpoint, { 'Upload-Defer-Length': 1 })).toBe(507)
    expect(await create(endpoint, { 'Upload-Length': 0 })).toBe(507)
    expect((await ask('DELETE', url)).status).toBe(204)
    expect(await create(endpoint, { 'Upload-Defer-Length': 1 })).toBe(201)
  })

  function fillTo(left: number): void {
    writeFileSync(filler(), Buffer.alloc(free() - left))
  }
})

/** Uploads with tus-js-client. */
function upload(content: Buffer, options: Partial<UploadOptions> & { endpoint: string }): Promise<{ url: string }> {
  return new Promise((resolve, reject) => {
    const one = new Upload(content, {
      ...options,
      onError: reject,
      onSuccess: () => resolve({ url: one.url ?? '' }),
    })
    one.start()
  })
}
