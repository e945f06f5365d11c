// Where the bytes of a SQLiteStorage are at each moment.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { FileBlobs } from '../../src/storage/files/file-blobs.js'
import { openDatabase } from '../../src/storage/sqlite/driver.js'
import { assertSameBytes, bytes, newUpload } from '../../src/testing/subject.js'
import { openStorage } from './support/open-storage.js'
import { tempFolder } from './support/temp-folder.js'

const MIB = 1024 * 1024

describe('SQLiteStorage: files', () => {
  it('creating an upload touches no file, nor does opening a stage', async () => {
    const { subject, finished, parts } = openStorage()
    const { id } = await subject.create({ length: 10 })
    const stage = await subject.open(id)
    await stage.write(new Uint8Array(0))
    await stage.discard()
    await stage.commit()
    await stage.close()
    expect([finished(), parts()]).toEqual([[], []])
  })

  it('unfinished bytes are never in the directory; the finished file is, with exactly its bytes', async () => {
    const { directory, storage, subject, finished } = openStorage()
    const { id } = await subject.create({ length: 3000 })
    const stage = await subject.open(id)
    for (let part = 0; part < 3; part++) {
      await stage.write(bytes(1000, part))
      expect(finished()).toEqual([])
      await stage.commit({ complete: part === 2 })
      expect(finished()).toEqual(part === 2 ? [id] : [])
    }
    await stage.close()
    const whole = Buffer.concat([0, 1, 2].map((part) => bytes(1000, part)))
    expect(readFileSync(join(directory, id))).toEqual(whole)
    expect(storage.pathOf({ name: id })).toBe(join(directory, id))
  })

  it('a finished file bears the name of the upload, in a subfolder if it says so', async () => {
    const { directory, subject, parts } = openStorage()
    const { id } = await subject.create({ length: 5, name: 'users/7/photo.jpg' })
    await subject.append(id, bytes(5), { complete: true, durable: true })
    expect(readFileSync(join(directory, 'users/7/photo.jpg'))).toEqual(bytes(5))
    expect(parts()).toEqual([])
    await subject.assertBytes(id, bytes(5))
    await subject.storage.remove(id, (await subject.claim(id)).fence)
    expect(existsSync(join(directory, 'users/7/photo.jpg'))).toBe(false)
  })

  it.each(['../x', '..', '.', '', '/etc/x', 'a/../b', './a', 'a/', 'a//b', 'a\0b', '.resumable-upload/parts/x'])(
    'the name %j is refused',
    async (name) => {
      const { storage, finished } = openStorage()
      expect(await storage.create(newUpload(0, { name }))).toMatchObject({ refused: 'bad-name' })
      expect(finished()).toEqual([])
    },
  )

  it('a file that is there already is not overwritten', async () => {
    const { directory, storage } = openStorage()
    writeFileSync(join(directory, 'theirs'), 'not ours')
    expect(await storage.create(newUpload(0, { name: 'theirs' }))).toBe('exists')
    expect(readFileSync(join(directory, 'theirs'), 'utf8')).toBe('not ours')
  })

  it('pieces in several files become one file, and nothing else is left', async () => {
    const { directory, subject, parts } = openStorage()
    const { id } = await subject.create({ length: 900_000 })
    for (let part = 0; part < 3; part++) {
      const stage = await subject.open(id, `owner-${part}`)
      await stage.write(bytes(300_000, part))
      if (part === 2) expect(parts()).toHaveLength(3)
      await stage.commit({ complete: part === 2, durable: true })
      await stage.close()
      await subject.expire()
    }
    assertSameBytes(readFileSync(join(directory, id)), Buffer.concat([0, 1, 2].map((part) => bytes(300_000, part))))
    expect(parts()).toEqual([])
  })

  it('what lies behind the offset, from a process that was killed, is cut off', async () => {
    const { directory, subject, part } = openStorage()
    const { id } = await subject.create({ length: 20 })
    await subject.append(id, bytes(10, 1))
    writeFileSync(part(id), bytes(1000, 9), { flag: 'a' })
    await subject.append(id, bytes(10, 2), { complete: true })
    expect(readFileSync(join(directory, id))).toEqual(Buffer.concat([bytes(10, 1), bytes(10, 2)]))
  })

  it('bytes that should be there and are not are an error, never a hole', async () => {
    for (const missing of ['some', 'all']) {
      const { subject, part } = openStorage()
      const { id } = await subject.create({ length: 20 })
      await subject.append(id, bytes(10))
      if (missing === 'some') truncateSync(part(id), 9)
      else rmSync(part(id))
      await expect(subject.read(id)).rejects.toMatchObject({
        code: missing === 'some' ? 'ERR_BYTES_MISSING' : 'ERR_BYTES_GONE',
      })
      const stage = await subject.open(id)
      await stage.write(bytes(10))
      expect(await stage.commit()).toBe('lost')
      await stage.close()
      await subject.release(id, stage.fence)
      await subject.assertBytes(id, bytes(10).subarray(0, missing === 'some' ? 9 : 0))
    }
  })

  it('a piece that is too short does not become part of a finished file', async () => {
    const { subject, part, parts, finished } = openStorage()
    const { id } = await subject.create({ length: 20 })
    await subject.append(id, bytes(10))
    await subject.claim(id)
    await subject.expire()
    const stage = await subject.open(id)
    await stage.write(bytes(10))
    truncateSync(part(id), 9)
    expect(await stage.commit({ complete: true })).toBe('lost')
    await stage.close()
    expect([parts().filter((name) => name.endsWith('.flat')), finished()]).toEqual([[], []])
    expect((await subject.get(id)).complete).toBe(false)
  })

  it('a stage that is closed in the middle of a large write waits for it', async () => {
    const { subject, part } = openStorage()
    const { id } = await subject.create()
    const stage = await subject.open(id)
    await stage.write(bytes(1))
    let settled = false
    const writing = stage.write(bytes(16 * MIB)).then(() => {
      settled = true
    })
    await stage.close()
    expect(readFileSync(part(id)).length).toBe(16 * MIB + 1)
    await writing
    expect(settled).toBe(true)
  })

  it('tidying up removes blobs that no record names, and finds its way through many', async () => {
    const { subject, part, parts, storage } = openStorage()
    for (let index = 0; index < 250; index++) writeFileSync(part(`orphan${index}.7.flat`), 'x')
    const { id } = await subject.create({ length: 20 })
    const late = await subject.open(id, 'A')
    await late.write(bytes(10))
    await late.close()
    await subject.expire()
    const stage = await subject.open(id, 'B')
    await stage.write(bytes(10))
    await stage.commit()
    await stage.close()
    let steps = 1
    while ((await storage.vacuum(100)).more) steps++
    expect(steps).toBe(3)
    // The first holder's blob is named by nobody; while B holds the upload, it might be about to name one.
    expect(parts()).toHaveLength(2)
    await subject.release(id, stage.fence)
    while ((await storage.vacuum(100)).more);
    expect(parts()).toEqual([`${id}.${stage.fence}`])
  })

  it('tidying up twice at the same time leaves no folder open', async () => {
    const { part, parts, storage, directory } = openStorage()
    const openFolders = (): string[] =>
      readdirSync('/proc/self/fd').filter((descriptor) => {
        const path = join('/proc/self/fd', descriptor)
        return existsSync(path) && readlinkSync(path) === join(directory, '.resumable-upload/parts')
      })
    for (let index = 0; index < 10; index++) writeFileSync(part(`orphan${index}`), 'x')
    for (let round = 0; round < 3; round++) await Promise.all([storage.vacuum(1), storage.vacuum(1)])
    if (process.platform === 'linux') expect(openFolders()).toHaveLength(1)
    while ((await storage.vacuum(1)).more);
    expect(parts()).toEqual([])
    if (process.platform === 'linux') expect(openFolders()).toEqual([])
  })

  it('a holder of several pieces that lost its claim, and its blob to tidying up, is told that it is fenced', async () => {
    const { subject, parts, storage } = openStorage()
    const { id } = await subject.create({ length: 30 })
    const first = await subject.open(id, 'A')
    await first.write(bytes(10))
    await first.commit()
    await first.close()
    await subject.expire()
    const late = await subject.open(id, 'B')
    await late.write(bytes(20))
    await subject.expire()
    const { fence } = await subject.claim(id, 'C')
    await subject.release(id, fence)
    while ((await storage.vacuum(10)).more);
    expect(parts()).toEqual([id])
    expect(await late.commit({ complete: true })).toBe('fenced')
    await late.close()
    expect(parts()).toEqual([id])
  })

  it('tidying up goes on past what can not be removed, and says why it could not', async () => {
    const { subject, storage, parts, part } = openStorage()
    const { id } = await subject.create({ length: 1, name: 'stuck' })
    await subject.append(id, bytes(1), { complete: true })
    const remove = jest.spyOn(FileBlobs.prototype, 'removePlaced').mockRejectedValue(new Error('EBUSY'))
    const { fence } = await subject.claim(id)
    await expect(Promise.resolve(storage.remove(id, fence))).rejects.toThrow('EBUSY')
    await subject.release(id, fence)
    mkdirSync(part('0-no-file'))
    for (let index = 0; index < 30; index++) writeFileSync(part(`orphan${index}`), 'x')
    const failures: unknown[] = []
    for (let more = true; more; ) {
      const step = await storage.vacuum(10)
      failures.push(...(step.failures ?? []))
      more = step.more
    }
    remove.mockRestore()
    expect(failures).toHaveLength(2)
    expect(parts()).toEqual(['0-no-file'])
  })

  it('tidying up drops all tombstones whose time is over', async () => {
    const { subject, storage, directory } = openStorage()
    for (let index = 0; index < 25; index++) {
      const { id } = await subject.create()
      const { fence } = await subject.claim(id)
      await storage.remove(id, fence, {
        tombstone: { status: 410, untilMs: subject.clock.now() + (index < 24 ? 1 : 60_000) },
      })
    }
    await subject.clock.advance(1)
    while ((await storage.vacuum(10)).more);
    const database = openDatabase(join(directory, '.resumable-upload/uploads.sqlite'))
    expect(database.prepare('SELECT count(*) AS left FROM tombstones').get()).toEqual({ left: 1 })
    database.close()
  })

  it('a name below that of a file is taken, and one that needs new folders is not', async () => {
    const { subject, storage } = openStorage()
    const { id } = await subject.create({ name: 'a', length: 1 })
    await subject.append(id, bytes(1), { complete: true })
    for (const name of ['a/b', 'a/b/c']) {
      const refused = { refused: 'in-the-way', reason: expect.stringMatching(`"${name}".*"a"`) }
      expect(await storage.create(newUpload(0, { name }))).toEqual(refused)
    }
    const other = await subject.create({ name: 'b/c/d', length: 1 })
    await subject.append(other.id, bytes(1), { complete: true })
    expect(await storage.create(newUpload(0, { name: 'b/c/e' }))).toBe('created')
    expect(await storage.create(newUpload(0, { name: 'b/c/d/e' }))).toMatchObject({ refused: 'in-the-way' })
    expect(await storage.create(newUpload(0, { name: 'b/c' }))).toBe('exists')
  })

  it('a finished file that could not get its name is read all the same', async () => {
    const { directory, subject, part } = openStorage()
    const { id } = await subject.create({ length: 10 })
    await subject.append(id, bytes(10), { complete: true })
    renameSync(join(directory, id), part(id))
    await subject.assertBytes(id, bytes(10))
    expect(existsSync(join(directory, id))).toBe(false)
  })

  it('a directory may be reached by a symbolic link', async () => {
    const folder = tempFolder()
    mkdirSync(join(folder, 'real'))
    symlinkSync(join(folder, 'real'), join(folder, 'link'))
    const { subject } = openStorage(join(folder, 'link'))
    const { id } = await subject.create({ length: 1 })
    await subject.append(id, bytes(1), { complete: true })
    expect(readFileSync(join(folder, 'real', id))).toEqual(bytes(1))
  })
})
