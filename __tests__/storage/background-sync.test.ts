// The sync in the background of a long upload: whatever else happens to the upload meanwhile, nothing is lost by it.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CombinedStorage } from '../../src/storage/combined-storage.js'
import { FileBlobs } from '../../src/storage/files/file-blobs.js'
import { SQLiteRecords } from '../../src/storage/sqlite/sqlite-records.js'
import { bytes, Subject } from '../../src/testing/subject.js'
import { deferred, idle } from '../core/support.js'
import { tempFolder } from './support/temp-folder.js'

const MIB = 1024 * 1024
/** As much as is synced in the background, and some more. */
const [MOST, REST] = [bytes(64 * MIB, 1), bytes(1000, 2)]

/** A storage whose syncs of blobs by name wait, as on a busy disk. */
function withSlowSync() {
  const directory = tempFolder()
  const [begun, gate] = [deferred(), deferred()]
  const failure: { error?: Error } = {}
  class SlowBlobs extends FileBlobs {
    override async sync(blob: string): Promise<void> {
      begun.resolve()
      await gate.promise
      if (failure.error) throw failure.error
      await super.sync(blob)
    }
  }
  const blobs = new SlowBlobs({ directory, partsDirectory: join(directory, 'parts') })
  const records = new SQLiteRecords({ path: join(directory, 'u.sqlite'), now: Date.now, boot: 'one' })
  const fallBack = jest.spyOn(records, 'fallBack').mockImplementation((...args) => {
    // A loop that never ends would take the whole test run with it.
    if (fallBack.mock.calls.length > 10) throw new Error('it never ends')
    return SQLiteRecords.prototype.fallBack.apply(records, args)
  })
  const storage = new CombinedStorage(records, blobs)
  const subject = new Subject(storage, { clock: { now: Date.now, advance: () => {} }, leaseMs: 60_000 })
  opened.push(storage)
  return { directory, storage, subject, blobs, records, fallBack, begun, gate, failure }
}

const opened: CombinedStorage[] = []

afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close()
})

it('comes too late for an upload that was completed meanwhile, and changes nothing', async () => {
  const { directory, subject, begun, gate, fallBack } = withSlowSync()
  const { id, name } = await subject.create({ length: MOST.length + REST.length })
  const stage = await subject.open(id)
  await stage.write(MOST)
  await stage.commit({ syncSoon: true })
  await begun.promise
  await stage.write(REST)
  expect(await stage.commit({ complete: true, durable: true, release: true, syncSoon: true })).toBe('ok')
  gate.resolve()
  await stage.close()
  await idle()
  expect(fallBack).not.toHaveBeenCalled()
  expect(await subject.get(id)).toMatchObject({ complete: true, offset: MOST.length + REST.length })
  expect(readFileSync(join(directory, name)).length).toBe(MOST.length + REST.length)
})

it('finds the blob gone while the upload is being completed, and does not take it back', async () => {
  const { directory, subject, blobs, begun, gate, fallBack } = withSlowSync()
  const { id, name } = await subject.create({ length: MOST.length + REST.length })
  const stage = await subject.open(id)
  await stage.write(MOST)
  await stage.commit({ syncSoon: true })
  await begun.promise
  const syncPlaced = blobs.syncPlaced.bind(blobs)
  // The file has its name, the claim is still held: now the sync in the background goes on.
  jest.spyOn(blobs, 'syncPlaced').mockImplementation(async (placed) => {
    gate.resolve()
    await idle()
    await syncPlaced(placed)
  })
  await stage.write(REST)
  expect(await stage.commit({ complete: true, durable: true, release: true })).toBe('ok')
  await stage.close()
  expect(fallBack).not.toHaveBeenCalled()
  expect(await subject.get(id)).toMatchObject({ complete: true, offset: MOST.length + REST.length })
  expect(existsSync(join(directory, name))).toBe(true)
})

it('finds that another claim has completed the upload, and lets it be', async () => {
  const { subject, begun, gate, fallBack } = withSlowSync()
  const { id } = await subject.create({ length: MOST.length + REST.length })
  await subject.append(id, MOST, { syncSoon: true })
  await begun.promise
  await subject.append(id, REST, { complete: true, durable: true })
  gate.resolve()
  await idle()
  expect(fallBack).not.toHaveBeenCalled()
  await subject.assertBytes(id, MOST, REST)
})

it('leaves an upload alone that has the id of one that was removed', async () => {
  const { subject, storage, begun, gate, failure, fallBack } = withSlowSync()
  const { id } = await subject.create({ createdAtMs: 1 })
  await subject.append(id, MOST, { syncSoon: true })
  await begun.promise
  const { fence } = await subject.claim(id)
  expect(await storage.remove(id, fence)).toBe('removed')
  await subject.create({ id, name: id, createdAtMs: 2 })
  await subject.append(id, REST)
  failure.error = new Error('EIO')
  gate.resolve()
  await idle()
  expect(fallBack).not.toHaveBeenCalled()
  await subject.assertBytes(id, REST)
})

it('that fails takes an unfinished upload back to what was synced, and it goes on in another file', async () => {
  const { directory, subject, begun, gate, failure } = withSlowSync()
  const { id } = await subject.create()
  await subject.append(id, REST, { durable: true })
  const stage = await subject.open(id)
  await stage.write(MOST)
  await stage.commit({ syncSoon: true })
  await begun.promise
  failure.error = new Error('EIO')
  gate.resolve()
  await idle()
  expect((await subject.get(id)).offset).toBe(REST.length)
  await expect(stage.write(REST)).rejects.toThrow('may be lost')
  await stage.close()
  await subject.release(id, stage.fence)
  await subject.append(id, bytes(500, 3))
  await subject.assertBytes(id, REST, bytes(500, 3))
  expect(existsSync(join(directory, 'parts', `${id}.${stage.fence}.again`))).toBe(true)
})

it('that fails does not change the pieces of whoever goes on from what was synced', async () => {
  const { subject, records, begun, gate, failure, fallBack } = withSlowSync()
  const { id } = await subject.create()
  await subject.append(id, MOST, { syncSoon: true })
  await begun.promise
  // Another one has taken it back, and somebody goes on from there.
  const before = records.get(id)
  if (before === undefined) throw new Error('it is gone')
  expect(records.fallBack(before, 0, [{ start: 0, blob: `${id}.again` }])).toBe(true)
  fallBack.mockClear()
  const stage = await subject.open(id)
  await stage.write(REST)
  failure.error = new Error('EIO')
  gate.resolve()
  await idle()
  expect(fallBack).not.toHaveBeenCalled()
  expect(await stage.commit()).toBe('ok')
  await stage.close()
  await subject.assertBytes(id, REST)
})
