// What is left of uploads when the system was started anew, as after a power loss: never more than was synced.
import { readdirSync, readFileSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { FileWriter } from '../../src/storage/files/file-writer.js'
import { SQLiteRecords } from '../../src/storage/sqlite/sqlite-records.js'
import { SQLiteStorage } from '../../src/storage/sqlite/sqlite-storage.js'
import { bytes, Subject } from '../../src/testing/subject.js'
import { tempFolder } from './support/temp-folder.js'

const MIB = 1024 * 1024
const [ONE, TWO, THREE] = [bytes(3000, 1), bytes(2000, 2), bytes(1000, 3)]

let open: SQLiteStorage | undefined

afterEach(async () => {
  await open?.close()
  open = undefined
})

async function start(directory: string, boot: string): Promise<Subject> {
  await open?.close()
  open = new SQLiteStorage({ directory, boot })
  return new Subject(open, { clock: { now: Date.now, advance: () => {} }, leaseMs: 60_000 })
}

it('bytes that were not synced are not trusted after another start of the system, and are after another process', async () => {
  const directory = tempFolder()
  const first = await start(directory, 'one')
  const { id, name } = await first.create({ length: 6000 })
  await first.append(id, ONE, { durable: true })
  await first.append(id, TWO)
  expect((await (await start(directory, 'one')).get(id)).offset).toBe(5000)
  const second = await start(directory, 'two')
  expect((await second.get(id)).offset).toBe(3000)
  await second.append(id, TWO)
  await second.append(id, THREE, { complete: true })
  await second.assertBytes(id, ONE, TWO, THREE)
  expect(readFileSync(join(directory, name)).length).toBe(6000)
})

it('it is written down by the next claim, so a third start costs nothing more', async () => {
  const directory = tempFolder()
  const first = await start(directory, 'one')
  const { id } = await first.create()
  await first.append(id, ONE)
  const second = await start(directory, 'two')
  expect((await second.claim(id)).upload.offset).toBe(0)
  const third = await start(directory, 'three')
  expect((await third.get(id)).offset).toBe(0)
})

it('a file that is shorter than what was synced counts as it is', async () => {
  const directory = tempFolder()
  const first = await start(directory, 'one')
  const { id } = await first.create()
  await first.append(id, ONE, { durable: true })
  await first.append(id, TWO)
  truncateSync(join(directory, '.resumable-upload/parts', id), 1234)
  const second = await start(directory, 'two')
  await second.append(id, bytes(10, 4))
  await second.assertBytes(id, ONE.subarray(0, 1234), bytes(10, 4))
})

it('a long upload is synced in the background every 64 MiB, in all its pieces', async () => {
  const directory = tempFolder()
  const first = await start(directory, 'one')
  const { id } = await first.create()
  const content = bytes(70 * MIB)
  await first.append(id, content.subarray(0, 10 * MIB), { syncSoon: true })
  // Whose claim ran out goes on in another file.
  const { upload } = await first.claim(id, 'late', { ttlMs: -1 })
  await first.append(id, content.subarray(upload.offset), { syncSoon: true })
  await first.append(id, ONE)
  const second = await start(directory, 'two')
  await second.assertBytes(id, content)
})

it('a finished upload is there after another start of the system', async () => {
  const directory = tempFolder()
  const first = await start(directory, 'one')
  const { id } = await first.create({ length: 3000 })
  await first.append(id, ONE, { complete: true, durable: true })
  await (await start(directory, 'two')).assertBytes(id, ONE)
})

it('a sync of the log that fails once pieces were put together leads back to the pieces, which are on the disk', async () => {
  const directory = tempFolder()
  const parts = join(directory, '.resumable-upload/parts')
  const first = await start(directory, 'one')
  const { id } = await first.create({ length: 6000 })
  await first.append(id, ONE, { durable: true })
  // Whose claim ran out goes on in another file.
  await first.claim(id, 'late', { ttlMs: -1 })
  await first.append(id, TWO, { durable: true })
  const stage = await first.open(id)
  await stage.write(THREE)
  const sync = jest.spyOn(SQLiteRecords.prototype, 'sync').mockRejectedValueOnce(new Error('EIO'))
  await expect(stage.commit({ complete: true, durable: true })).rejects.toThrow('EIO')
  sync.mockRestore()
  await stage.close()
  await first.release(id, stage.fence)
  expect((await first.get(id)).offset).toBe(5000)
  // What it was put together in was synced by nobody.
  for (const name of readdirSync(parts)) if (name.endsWith('.flat')) truncateSync(join(parts, name), 0)
  const second = await start(directory, 'two')
  await second.assertBytes(id, ONE, TWO)
  await second.append(id, THREE, { complete: true, durable: true })
  await second.assertBytes(id, ONE, TWO, THREE)
})

it.each([
  ['open', 'EMFILE', 5000],
  ['fdatasync', 'EIO', 3000],
] as const)(
  'a sync that fails by its %s: what was stored before counts as it should',
  async (syscall, code, stands) => {
    const subject = await start(tempFolder(), 'one')
    const { id } = await subject.create({ length: 6000 })
    await subject.append(id, ONE, { durable: true })
    await subject.append(id, TWO)
    const stage = await subject.open(id)
    await stage.write(THREE)
    const error = Object.assign(new Error(code), { syscall, code })
    const sync = jest.spyOn(FileWriter.prototype, 'sync').mockRejectedValueOnce(error)
    const completion = { owner: 'A', ttlMs: 1000 }
    await expect(stage.commit({ complete: true, durable: true, completion })).rejects.toThrow(code)
    sync.mockRestore()
    await stage.close()
    await subject.release(id, stage.fence)
    expect((await subject.get(id)).offset).toBe(stands)
    const rest = Buffer.concat([ONE, TWO, THREE]).subarray(stands)
    await subject.append(id, rest, { complete: true, durable: true, completion })
    await subject.assertBytes(id, ONE, TWO, THREE)
  },
)

it('what a dead process has completed is on the disk before anybody goes by it', async () => {
  const subject = await start(tempFolder(), 'one')
  const { id } = await subject.create({ length: 3000 })
  const stage = await subject.open(id, 'dead')
  await stage.write(ONE)
  await stage.commit({ complete: true })
  await stage.close()
  const sync = jest.spyOn(SQLiteRecords.prototype, 'sync').mockRejectedValueOnce(new Error('EIO'))
  const request = { owner: 'B', ttlMs: 1000, dead: 'dead' }
  await expect(subject.storage.claim?.(id, request)).rejects.toThrow('EIO')
  expect(await subject.storage.claim?.(id, { ...request, dead: 'B' })).toMatchObject({ upload: { complete: true } })
  expect(sync).toHaveBeenCalledTimes(2)
  sync.mockRestore()
})
