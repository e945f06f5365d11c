// Blobs that several uploads share: one goes away only once no record on the disk names it, or a power loss would leave a
// record without its bytes.
import { join } from 'node:path'
import { CombinedStorage } from '../../src/storage/combined-storage.js'
import { FileBlobs } from '../../src/storage/files/file-blobs.js'
import type { StoredUpload } from '../../src/storage/parts.js'
import { SQLiteRecords } from '../../src/storage/sqlite/sqlite-records.js'
import { bytes, newUpload, Subject } from '../../src/testing/subject.js'
import { deferred } from '../core/support.js'
import { tempFolder } from './support/temp-folder.js'

const CONTENT = bytes(300_000, 1)
const UPLOADS = ['partial', 'final', 'other']

type Blobs = ReadonlyMap<string, readonly string[]>

let storage: CombinedStorage | undefined

afterEach(() => storage?.close())

/** A finished partial upload and two assembled final ones that have its bytes, and what a power loss would leave now. */
async function sharing() {
  const directory = tempFolder()
  const lost: string[] = []
  const duringSync: Array<() => Promise<unknown>> = []
  let onDisk: Blobs = new Map()
  let newest = 0
  let snapshots = 0
  class WatchedBlobs extends FileBlobs {
    override async remove(blob: string): Promise<void> {
      for (const [id, named] of onDisk) if (named.includes(blob)) lost.push(`${id} without ${blob}`)
      await super.remove(blob)
    }
  }
  class WatchedRecords extends SQLiteRecords {
    override async sync(): Promise<void> {
      const number = ++snapshots
      const found = new Map<string, readonly string[]>()
      for (const id of UPLOADS) found.set(id, blobsOf(this.get(id)))
      await duringSync.shift()?.()
      await super.sync()
      if (number > newest) [newest, onDisk] = [number, found]
    }
  }
  const blobs = new WatchedBlobs({ directory, partsDirectory: join(directory, 'parts') })
  const records = new WatchedRecords({ path: join(directory, 'u.sqlite'), now: Date.now, boot: 'one' })
  const opened = new CombinedStorage(records, blobs)
  storage = opened
  const subject = new Subject(opened, { clock: { now: Date.now, advance: () => {} }, leaseMs: 60_000 })
  await subject.create({ id: 'partial', concat: { header: 'partial', partials: undefined } })
  await subject.append('partial', CONTENT, { complete: true, length: CONTENT.length, durable: true })
  for (const id of ['final', 'other']) {
    const concat = { header: 'final;/partial', partials: ['partial'] }
    expect(await opened.create(newUpload(Date.now(), { id, concat }))).toBe('created')
    expect(await opened.assemble(id, { activeAtMs: 0, durable: true })).toBe('ok')
  }
  const flatten = async (id: string): Promise<void> => {
    const taken = await opened.takeCompletion(id, { owner: 'A', ttlMs: 60_000 })
    expect(await opened.flatten(id, taken?.attempt ?? 0, true)).toBe(true)
  }
  const [shared] = blobsOf(records.get('partial')) as [string]
  return {
    subject,
    lost,
    isThere: async () => (await blobs.size(shared)) > 0,
    flatten,
    /** In the middle of the next sync a final upload stops naming the blob, and its own sync takes until `settle`. */
    flattenDuringSync(id: string): { settle(): Promise<void> } {
      const [reached, gate] = [deferred(), deferred()]
      let flattening: Promise<void> | undefined
      duringSync.push(
        () => {
          flattening = flatten(id)
          return reached.promise
        },
        () => {
          reached.resolve()
          return gate.promise
        },
      )
      return {
        settle: async () => {
          gate.resolve()
          await flattening
        },
      }
    },
    async remove(): Promise<void> {
      const { fence } = await subject.claim('partial')
      expect(await opened.remove('partial', fence, { durable: true })).toBe('removed')
    },
    async tidyUp(): Promise<void> {
      while ((await opened.vacuum(20)).more);
    },
    bury: async () => records.bury('partial', (await subject.claim('partial', 'A', { ttlMs: -1 })).fence, {}),
  }
}

function blobsOf(upload: StoredUpload | undefined): readonly string[] {
  return upload?.pieces.map(({ blob }) => blob) ?? []
}

it.each<[string, (site: Awaited<ReturnType<typeof sharing>>) => Promise<unknown>]>([
  ['a removal', ({ remove }) => remove()],
  ['the vacuum that ends a removal', ({ tidyUp }) => tidyUp()],
  ['another final upload', ({ flatten }) => flatten('other')],
])('%s leaves it to the final upload that stops naming it in the middle of a sync', async (what, takeAway) => {
  const site = await sharing()
  const { subject, lost, flatten, flattenDuringSync, remove, bury, isThere } = site
  if (what === 'another final upload') await remove()
  else await flatten('other')
  if (what.startsWith('the vacuum')) expect(await bury()).toMatchObject({ id: 'partial' })
  const { settle } = flattenDuringSync('final')
  await takeAway(site)
  await settle()
  expect([lost, await isThere()]).toEqual([[], false])
  for (const id of ['final', 'other']) await subject.assertBytes(id, CONTENT)
})

it('a final upload that is removed leaves it to another one that names it, and the last one takes it away', async () => {
  const { subject, lost, flatten, remove, isThere } = await sharing()
  await remove()
  const { fence } = await subject.claim('final')
  expect(await subject.storage.remove('final', fence, { durable: true })).toBe('removed')
  expect(await isThere()).toBe(true)
  await subject.assertBytes('other', CONTENT)
  await flatten('other')
  expect([lost, await isThere()]).toEqual([[], false])
})
