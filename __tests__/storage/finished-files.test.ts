// Finished files and the names they get: nothing of others is replaced or removed, and the upload is kept meanwhile.
import { pbkdf2 as pbkdf2Callback } from 'node:crypto'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { whyBadName } from '../../src/storage/file-names.js'
import { FileBlobs } from '../../src/storage/files/file-blobs.js'
import { FinishedFiles } from '../../src/storage/files/finished-files.js'
import { MemoryStorage } from '../../src/storage/memory/memory-storage.js'
import { SQLiteRecords } from '../../src/storage/sqlite/sqlite-records.js'
import type { CommitResult } from '../../src/storage/storage.js'
import { bytes, manualClock, newUpload, Subject } from '../../src/testing/subject.js'
import type { NewUpload } from '../../src/upload.js'
import { openStorage } from './support/open-storage.js'
import { tempFolder } from './support/temp-folder.js'

const pbkdf2 = promisify(pbkdf2Callback)

const PUBLISH = { durable: true, retryAfterMs: 1000 }

async function remove({ storage, ...rest }: { storage: Subject['storage']; subject: Subject }, id: string) {
  const { fence } = await rest.subject.claim(id)
  return storage.remove(id, fence)
}

/** Uploads a file. @returns what the last commit said */
async function finish(subject: Subject, id: string, content = bytes(5)): Promise<CommitResult> {
  const stage = await subject.open(id)
  await stage.write(content)
  const result = await stage.commit({ complete: true, release: true, durable: true })
  await stage.close()
  return result
}

async function finished(subject: Subject, upload: Partial<NewUpload>, content = bytes(5)): Promise<string> {
  const { id } = await subject.create({ length: content.length, ...upload })
  expect(await finish(subject, id, content)).toBe('ok')
  return id
}

describe('a name that something else has by now', () => {
  const OBSTACLES = [
    ['a file', 'a/b', (path: string) => writeFileSync(path, 'theirs')],
    ['a folder', 'a/b', (path: string) => mkdirSync(path)],
  ] as const

  it.each(OBSTACLES)('%s stays, and the upload is kept and published once it is gone', async (_what, name, occupy) => {
    const { subject, storage, directory, parts } = openStorage()
    const { id } = await subject.create({ length: 5, name })
    mkdirSync(join(directory, 'a'))
    occupy(join(directory, name))
    const [before] = readdirSync(join(directory, 'a'), { withFileTypes: true })
    expect(await finish(subject, id)).toBe('unpublished')
    expect(await subject.get(id)).toMatchObject({ complete: true, published: false })
    await expect(storage.publish(id, PUBLISH)).rejects.toThrow(join(directory, name))
    expect(readdirSync(join(directory, 'a'), { withFileTypes: true })).toEqual([before])
    expect([await storage.unpublished(10), parts()]).toEqual([[], [id]])
    await subject.assertBytes(id, bytes(5))
    rmSync(join(directory, name), { recursive: true })
    await subject.clock.advance(1000)
    expect(await storage.unpublished(10)).toEqual([id])
    expect(await storage.publish(id, PUBLISH)).toBe(true)
    expect([readFileSync(join(directory, name)), parts()]).toEqual([bytes(5), []])
    expect((await subject.get(id)).published).toBe(true)
  })

  it('a file in the place of a folder stays, too', async () => {
    const { subject, storage, directory } = openStorage()
    const { id } = await subject.create({ length: 5, name: 'a/b/c' })
    writeFileSync(join(directory, 'a'), 'theirs')
    expect(await finish(subject, id)).toBe('unpublished')
    await expect(storage.publish(id, PUBLISH)).rejects.toMatchObject({ code: 'EEXIST' })
    expect(readFileSync(join(directory, 'a'), 'utf8')).toBe('theirs')
    // Nothing of it is left when it is removed, and nothing of others is touched.
    expect(await remove({ storage, subject }, id)).toBe('removed')
    expect(readFileSync(join(directory, 'a'), 'utf8')).toBe('theirs')
  })
})

describe('names beside each other', () => {
  it.each([
    ['SQLiteStorage', () => openStorage().subject],
    [
      'MemoryStorage',
      () => {
        const clock = manualClock()
        return new Subject(new MemoryStorage({ now: clock.now }), { clock, leaseMs: 1000 })
      },
    ],
  ])('%s refuses one above or below that of an upload that is unfinished, and names both', async (_name, start) => {
    const subject = start()
    await subject.create({ name: 'a/b' })
    for (const name of ['a', 'a/b/c']) {
      const refused = { refused: 'in-the-way', reason: expect.stringMatching(`"${name}".*"a/b"`) }
      expect(await subject.storage.create(newUpload(0, { name }))).toEqual(refused)
    }
    expect(await subject.storage.create(newUpload(0, { id: 'a' }))).toMatchObject({ refused: 'in-the-way' })
    for (const name of ['a/c', 'a/bc', 'ab', 'a-b']) await subject.create({ name })
    expect(await subject.storage.create(newUpload(0, { name: 'a/b' }))).toBe('exists')
  })

  it('refuses names and ids that a file system which ignores case takes for the same', async () => {
    const records = new SQLiteRecords({
      path: join(tempFolder(), 'r.sqlite'),
      now: Date.now,
      boot: 'one',
      foldsNames: true,
    })
    const create = (upload: Partial<NewUpload>) => records.create(newUpload(0, upload))
    expect(create({ id: 'Abc', name: 'Users/\u00e9.txt' })).toBe('created')
    for (const name of ['users/\u00c9.TXT', 'USERS/e\u0301.txt'])
      expect(create({ name })).toMatchObject({ refused: 'in-the-way' })
    for (const name of ['USERS', 'users/\u00e9.txt/x'])
      expect(create({ name })).toMatchObject({ refused: 'in-the-way' })
    // The id is the name of the unfinished file.
    expect(create({ id: 'aBC', name: 'other' })).toBe('exists')
    expect(create({ name: 'users/e.txt' })).toBe('created')
    await records.close()
  })

  it.each([
    ...[
      '.resumable-upload',
      '.Resumable-Upload/x',
      '.resumable-upload./x',
      '.resumable-upload /x',
      '.re\u017fumable-upload/x',
    ],
    ...[
      '.resumable\u200c-upload/x',
      'RESUMA~1/x',
      're12ab~2',
      'CON',
      'aux.txt',
      'x/com1',
      'NUL .txt',
      'lpt\u00b9',
      'CONOUT$',
    ],
    ...[
      'a.',
      'a ',
      'b/c. ',
      'a./b',
      '\ud800',
      'x\udc00y',
      'a:b',
      'a\\b',
      'a\nb',
      '',
      '/',
      'a/',
      '../a',
      `${'x/'.repeat(1100)}x`,
    ],
  ])('no file is named %j', (name) => {
    expect(whyBadName(name)).toBeDefined()
  })

  it.each([
    'a',
    '.a',
    'a.b',
    'console.txt',
    'com10',
    'a b',
    '\u{1f600}',
    'resume~1.pdf',
    'x/.resumable-upload',
    '\u00e9',
  ])('a file may be named %j', (name) => {
    expect(whyBadName(name)).toBeUndefined()
  })
})

describe('removing a finished upload', () => {
  it.each([
    ['moved away and replaced', (path: string) => renameSync(path, `${path}.moved`)],
    ['removed and replaced', (path: string) => rmSync(path)],
  ])('a file that was %s stays', async (_how, takeAway) => {
    const { subject, storage, directory } = openStorage()
    const id = await finished(subject, { name: 'report.pdf' })
    const path = join(directory, 'report.pdf')
    takeAway(path)
    // As long as the one before: its size tells nothing.
    writeFileSync(path, 'other')
    await expect(subject.read(id)).rejects.toMatchObject({ code: 'ERR_BYTES_GONE' })
    expect(await remove({ storage, subject }, id)).toBe('removed')
    expect(readFileSync(path, 'utf8')).toBe('other')
  })

  it('a file that was changed in place goes', async () => {
    const { subject, storage, directory } = openStorage()
    const id = await finished(subject, { name: 'log.txt' })
    appendFileSync(join(directory, 'log.txt'), 'more')
    expect(await remove({ storage, subject }, id)).toBe('removed')
    expect(existsSync(join(directory, 'log.txt'))).toBe(false)
  })

  it('in a directory that comes from a backup its file goes, too', async () => {
    const { subject, directory } = openStorage()
    const id = await finished(subject, { name: 'a/file' })
    const copy = join(tempFolder(), 'copy')
    cpSync(directory, copy, { recursive: true, filter: (path) => !path.includes('processes') })
    const restored = openStorage(copy)
    await restored.subject.assertBytes(id, bytes(5))
    expect(await remove(restored, id)).toBe('removed')
    expect(restored.finished()).toEqual([])
  })

  it('after a backup came back into the same directory, finished and unfinished files are known', async () => {
    const { subject, storage, directory, finished: files, part } = openStorage()
    const id = await finished(subject, { name: 'file' })
    const other = await subject.create({ length: 10 })
    await subject.append(other.id, bytes(5))
    await storage.close()
    jest.spyOn(storage, 'close').mockResolvedValue()
    for (const path of [join(directory, 'file'), part(other.id), join(directory, '.resumable-upload/uploads.sqlite')]) {
      replace(path, readFileSync(path))
    }
    const restored = openStorage(directory)
    await restored.subject.assertBytes(id, bytes(5))
    await restored.subject.append(other.id, bytes(5), { complete: true })
    await restored.subject.assertBytes(other.id, bytes(5), bytes(5))
    for (const each of [id, other.id]) expect(await remove(restored, each)).toBe('removed')
    expect(files()).toEqual([])
  })

  const itOnTwoFileSystems =
    existsSync('/dev/shm') && statSync('/dev/shm').dev !== statSync(tmpdir()).dev ? it : it.skip

  itOnTwoFileSystems(
    'a file whose folder was moved to another file system, with a link in its place, goes',
    async () => {
      const { subject, directory } = openStorage()
      const id = await finished(subject, { name: 'a/file' })
      const elsewhere = mkdtempSync('/dev/shm/finished-')
      const copy = join(tempFolder(), 'copy')
      cpSync(directory, copy, { recursive: true, filter: (path) => !path.includes('processes') })
      renameSync(join(copy, 'a'), join(copy, 'b'))
      cpSync(join(copy, 'b'), elsewhere, { recursive: true })
      symlinkSync(elsewhere, join(copy, 'a'))
      const restored = openStorage(copy)
      expect(await remove(restored, id)).toBe('removed')
      expect(existsSync(join(elsewhere, 'file'))).toBe(false)
      rmSync(elsewhere, { recursive: true })
    },
  )

  it('folders that are empty without it go, and no others', async () => {
    const { subject, storage, directory, finished: files } = openStorage()
    const first = await finished(subject, { name: 'a/b/c/one' })
    const second = await finished(subject, { name: 'a/two' })
    writeFileSync(join(directory, 'a/b/theirs'), '')
    expect(await remove({ storage, subject }, first)).toBe('removed')
    expect(files().sort()).toEqual(['a', 'a/b', 'a/b/theirs', 'a/two'])
    rmSync(join(directory, 'a/b'), { recursive: true })
    expect(await remove({ storage, subject }, second)).toBe('removed')
    expect(files()).toEqual([])
    // The next one makes them again.
    await finished(subject, { name: 'a/b/c/one' })
    expect(existsSync(join(directory, 'a/b/c/one'))).toBe(true)
  })
})

describe('an upload that may replace the file of its name', () => {
  it('does so in one step once it is whole; the upload before stays finished, without a file', async () => {
    const { subject, storage, directory, parts } = openStorage()
    const path = join(directory, 'avatar.png')
    const old = await finished(subject, { name: 'avatar.png' }, bytes(9, 1))
    expect(await storage.create(newUpload(0, { name: 'avatar.png' }))).toBe('exists')
    const { id } = await subject.create({ name: 'avatar.png', overwrite: true, length: 5 })
    expect(readFileSync(path)).toEqual(bytes(9, 1))
    expect(await finish(subject, id, bytes(5, 2))).toBe('ok')
    expect([readFileSync(path), parts()]).toEqual([bytes(5, 2), []])
    expect(await subject.get(old)).toMatchObject({ complete: true, published: true })
    await expect(subject.read(old)).rejects.toMatchObject({ code: 'ERR_BYTES_GONE' })
    await subject.assertBytes(id, bytes(5, 2))
    expect(await remove({ storage, subject }, old)).toBe('removed')
    expect(readFileSync(path)).toEqual(bytes(5, 2))
    expect(await remove({ storage, subject }, id)).toBe('removed')
    expect(existsSync(path)).toBe(false)
  })

  it('keeps its file although that of the upload before is removed at the same moment', async () => {
    const { subject, storage, directory } = openStorage()
    const path = join(directory, 'avatar.png')
    const old = await finished(subject, { name: 'avatar.png' }, bytes(9, 1))
    const { fence } = await subject.claim(old)
    // Large writes, syncs and hashes of the application may keep all threads busy.
    const busy = Array.from({ length: 8 }, () => pbkdf2('', '', 400_000, 64, 'sha512'))
    const taken = jest.spyOn(FinishedFiles.prototype, 'remove')
    const removal = storage.remove(old, fence)
    while (taken.mock.calls.length === 0) await new Promise((resolve) => setImmediate(resolve))
    writeFileSync(`${path}.new`, 'newer')
    renameSync(`${path}.new`, path)
    expect(await removal).toBe('removed')
    await Promise.all(busy)
    expect(readFileSync(path, 'utf8')).toBe('newer')
    taken.mockRestore()
  })

  it('keeps its file after a move to another disk, although the one before was as large', async () => {
    const { subject, directory } = openStorage()
    const old = await subject.create({ name: 'avatar.png', length: 5 })
    await subject.append(old.id, bytes(5), { complete: true, activeAtMs: 1 })
    const { id } = await subject.create({ name: 'avatar.png', overwrite: true, length: 5 })
    await subject.append(id, bytes(5), { complete: true, activeAtMs: 2 })
    const copy = join(tempFolder(), 'copy')
    cpSync(directory, copy, { recursive: true, filter: (path) => !path.includes('processes') })
    for (const again of [false, true]) {
      const moved = again ? join(tempFolder(), 'again') : copy
      if (again) cpSync(copy, moved, { recursive: true, filter: (path) => !path.includes('processes') })
      const opened = openStorage(moved)
      await expect(opened.subject.read(old.id)).rejects.toMatchObject({ code: 'ERR_BYTES_GONE' })
      await opened.subject.assertBytes(id, bytes(5))
      if (!again) continue
      expect(await remove(opened, old.id)).toBe('removed')
      expect(readFileSync(join(moved, 'avatar.png'))).toEqual(bytes(5))
      expect(await remove(opened, id)).toBe('removed')
      expect(opened.finished()).toEqual([])
    }
  })

  it('has its bytes on the disk by a sync of its own: a power loss must not bring the file before back', async () => {
    const { subject, directory } = openStorage()
    await finished(subject, { name: 'x' })
    const { id } = await subject.create({ name: 'x', overwrite: true, length: 5 })
    const sync = jest.spyOn(FileBlobs.prototype, 'syncPlaced')
    expect(await finish(subject, id, bytes(5, 2))).toBe('ok')
    expect(sync.mock.calls).toEqual([['x']])
    expect(readFileSync(join(directory, 'x'))).toEqual(bytes(5, 2))
    sync.mockRestore()
  })

  it('takes back its own file only, where its sync failed', async () => {
    const directory = tempFolder()
    const blobs = new FileBlobs({ directory, partsDirectory: join(directory, 'parts') })
    const writer = blobs.open('blob', 0)
    await writer.write([bytes(5, 1)])
    await writer.close()
    const file = { name: 'x', identity: writer.identity, size: 5, overwrite: true }
    expect(blobs.place('blob', file)).toBe(true)
    blobs.settlePlaced('blob')
    replace(join(directory, 'x'), 'newer')
    await blobs.takeBack(file, 'blob')
    expect(readFileSync(join(directory, 'x'), 'utf8')).toBe('newer')
  })

  it('replaces a file of the application, and no folder', async () => {
    const { subject, storage, directory } = openStorage()
    writeFileSync(join(directory, 'theirs'), 'theirs')
    await finished(subject, { name: 'theirs', overwrite: true })
    expect(readFileSync(join(directory, 'theirs'))).toEqual(bytes(5))
    mkdirSync(join(directory, 'folder'))
    expect(await storage.create(newUpload(0, { name: 'folder', overwrite: true }))).toBe('exists')
  })

  it.each(['SQLiteStorage', 'MemoryStorage'])(
    '%s: several may be under way, the last to finish counts; one that must not replace any has its name to itself',
    async (kind) => {
      const clock = manualClock()
      const memory = new Subject(new MemoryStorage({ now: clock.now }), { clock, leaseMs: 1000 })
      const subject = kind === 'MemoryStorage' ? memory : openStorage().subject
      const one = await subject.create({ name: 'x', overwrite: true, length: 5 })
      const two = await subject.create({ name: 'x', overwrite: true, length: 5 })
      expect(await subject.storage.create(newUpload(0, { name: 'x' }))).toBe('exists')
      await finish(subject, two.id, bytes(5, 2))
      await finish(subject, one.id, bytes(5, 1))
      await subject.assertBytes(one.id, bytes(5, 1))
      await expect(subject.read(two.id)).rejects.toMatchObject({ code: 'ERR_BYTES_GONE' })
      await subject.create({ name: 'y', length: 5 })
      expect(await subject.storage.create(newUpload(0, { name: 'y', overwrite: true }))).toBe('exists')
    },
  )
})

describe('an unfinished file that something else has changed', () => {
  it.each([
    ['removed', 0, (part: string) => rmSync(part)],
    ['cut', 3, (part: string) => writeFileSync(part, readFileSync(part).subarray(0, 3))],
    ['replaced by a shorter one', 0, (part: string) => replace(part, 'xy')],
    ['replaced by one as long', 0, (part: string) => replace(part, 'x'.repeat(10))],
    ['replaced by a longer one', 0, (part: string) => replace(part, 'x'.repeat(30))],
  ])('%s: the upload goes on from %i, and no wrong byte is ever part of it', async (_how, kept, spoil) => {
    const { subject, part, directory } = openStorage()
    const { id } = await subject.create({ length: 20 })
    await subject.append(id, bytes(10, 1))
    spoil(part(id))
    const stage = await subject.open(id)
    await stage.write(bytes(10, 2))
    expect(await stage.commit({ complete: true, release: true })).toBe('lost')
    await stage.close()
    await subject.release(id, stage.fence)
    expect((await subject.get(id)).offset).toBe(kept)
    await subject.append(id, bytes(10, 1).subarray(kept))
    await subject.append(id, bytes(10, 2), { complete: true })
    expect(readFileSync(join(directory, id))).toEqual(Buffer.concat([bytes(10, 1), bytes(10, 2)]))
  })

  it('a finished upload whose file is gone stays finished', async () => {
    const { subject, storage, directory } = openStorage()
    const id = await finished(subject, {})
    rmSync(join(directory, id))
    expect(await subject.get(id)).toMatchObject({ complete: true, published: true, offset: 5 })
    expect(await storage.unpublished(10)).toEqual([])
    await storage.vacuum(10)
    expect((await subject.get(id)).complete).toBe(true)
  })
})

function replace(path: string, content: string | Uint8Array): void {
  writeFileSync(`${path}.new`, content)
  renameSync(`${path}.new`, path)
}
