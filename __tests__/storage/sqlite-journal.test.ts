// Small finished uploads lie in the database until their files are on the disk: a power loss in between costs nothing.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { FileBlobs } from '../../src/storage/files/file-blobs.js'
import { identityOf } from '../../src/storage/files/file-identity.js'
import { JournalSettler } from '../../src/storage/journal-settler.js'
import type { StoredUpload } from '../../src/storage/parts.js'
import { publishLate } from '../../src/storage/publish.js'
import { openDatabase } from '../../src/storage/sqlite/driver.js'
import type { SQLiteJournal } from '../../src/storage/sqlite/journal.js'
import { SQLiteRecords } from '../../src/storage/sqlite/sqlite-records.js'
import { SQLiteStorage } from '../../src/storage/sqlite/sqlite-storage.js'
import { bytes, Subject } from '../../src/testing/subject.js'
import { onSmallDisk, smallDisk } from './support/small-disk.js'
import { tempFolder } from './support/temp-folder.js'

const KIB = 1024
const MIB = 1024 * KIB
const SMALL = bytes(3000, 1)

let directory: string
let open: SQLiteStorage | undefined

beforeEach(() => {
  directory = tempFolder()
})

afterEach(stop)

async function stop(): Promise<void> {
  await open?.close()
  open = undefined
}

async function start(boot = 'one'): Promise<Subject> {
  await stop()
  open = new SQLiteStorage({ directory, boot })
  return new Subject(open, { clock: { now: Date.now, advance: () => {} }, leaseMs: 60_000 })
}

async function finished(subject: Subject, content: Buffer, name?: string): Promise<{ id: string; file: string }> {
  const upload = await subject.create({ length: content.length, ...(name && { name }) })
  await subject.append(upload.id, content, { complete: true, durable: true })
  return { id: upload.id, file: join(directory, upload.name) }
}

/** The records as another process sees them. */
function recordsOf(boot: string, now: () => number = Date.now): SQLiteRecords {
  return new SQLiteRecords({ path: join(directory, '.resumable-upload/uploads.sqlite'), now, boot })
}

/** The entries that there are, by whoever looks. */
async function entries(): Promise<number> {
  const records = recordsOf('any')
  const { length: count } = await records.journal.entries(0, Number.MAX_SAFE_INTEGER, 1000)
  await records.close()
  return count
}

function parts(): readonly string[] {
  return readdirSync(join(directory, '.resumable-upload/parts'))
}

/** Leaves no space on a small disk, but for what is removed again. */
function fillDisk(): string {
  const filler = join(directory, 'filler')
  expect(() => {
    for (writeFileSync(filler, ''); ; ) writeFileSync(filler, Buffer.alloc(4096), { flag: 'a' })
  }).toThrow('ENOSPC')
  return filler
}

describe('after another start of the system', () => {
  it.each([
    ['is missing', (file: string) => rmSync(file)],
    ['is empty', (file: string) => truncateSync(file, 0)],
    ['has zeros in it', (file: string) => writeFileSync(file, Buffer.alloc(SMALL.length))],
    [
      'still has the name of an unfinished one',
      (file: string, id: string) => {
        renameSync(file, join(directory, '.resumable-upload/parts', id))
        truncateSync(join(directory, '.resumable-upload/parts', id), 1000)
      },
    ],
  ])('a file that %s is whole', async (_what, lose) => {
    const { id, file } = await finished(await start(), SMALL, 'folder/file')
    lose(file, id)
    const second = await start('two')
    expect(readFileSync(file).equals(SMALL)).toBe(true)
    await second.assertBytes(id, SMALL)
    while ((await open?.vacuum(100))?.more);
    expect(readFileSync(file).equals(SMALL)).toBe(true)
    expect(parts()).toEqual([])
  })

  it('an upload of several chunks is whole, and one of none is there', async () => {
    const first = await start()
    const { id, name } = await first.create({ length: 5000 })
    await first.append(id, SMALL)
    await first.append(id, bytes(2000, 2), { complete: true, durable: true })
    const empty = await finished(first, Buffer.alloc(0))
    for (const file of [join(directory, name), empty.file]) rmSync(file)
    await start('two')
    expect(readFileSync(join(directory, name)).equals(Buffer.concat([SMALL, bytes(2000, 2)]))).toBe(true)
    expect(readFileSync(empty.file).length).toBe(0)
  })

  it('one that was put together from several pieces is whole, whatever is left of them', async () => {
    const first = await start()
    const { id, name } = await first.create({ length: 5000 })
    await first.append(id, SMALL)
    const { fence, upload } = await first.claim(id, 'late', { ttlMs: -1 })
    expect(upload.offset).toBe(3000)
    await first.append(id, bytes(2000, 2), { complete: true, durable: true })
    const file = join(directory, name)
    renameSync(file, join(directory, `.resumable-upload/parts/${id}.${fence + 1}.flat`))
    truncateSync(join(directory, `.resumable-upload/parts/${id}.${fence + 1}.flat`), 0)
    const second = await start('two')
    await second.assertBytes(id, SMALL, bytes(2000, 2))
    expect(readFileSync(file).length).toBe(5000)
  })

  it('many files are whole', async () => {
    const first = await start()
    const all = await Promise.all(Array.from({ length: 250 }, (_, seed) => finished(first, bytes(100, seed))))
    for (const { file } of all) rmSync(file)
    await start('two')
    for (const [seed, { file }] of all.entries()) expect(readFileSync(file).equals(bytes(100, seed))).toBe(true)
  })

  it('a third start finds it, too: it stays in the journal until its file is on the disk', async () => {
    const { file } = await finished(await start(), SMALL)
    rmSync(file)
    await start('two')
    rmSync(file)
    await start('three')
    expect(readFileSync(file).equals(SMALL)).toBe(true)
  })

  onSmallDisk('a full disk keeps nobody from starting', async () => {
    directory = smallDisk(4 * MIB)
    const first = await start()
    const placed = await finished(first, bytes(20_000, 1))
    const unplaced = await finished(first, bytes(20_000, 2))
    const both = await finished(first, bytes(20_000, 3))
    const part = (id: string): string => join(directory, '.resumable-upload/parts', id)
    renameSync(unplaced.file, part(unplaced.id))
    writeFileSync(part(both.id), '')
    fillDisk()
    await start('two')
    while ((await open?.vacuum(100))?.more);
    const files = [placed, unplaced, both].map(({ file }) => readFileSync(file))
    expect(files.map((file, at) => file.equals(bytes(20_000, at + 1)))).toEqual([true, true, true])
    expect(parts()).toEqual([])
  })

  it('what can not be made whole keeps nothing else from it, and is left to the next start', async () => {
    const first = await start()
    const all = await Promise.all(Array.from({ length: 120 }, (_, seed) => finished(first, bytes(100, seed))))
    for (const { file } of all) rmSync(file)
    const stuck = all[0]?.file as string
    mkdirSync(stuck)
    await start('two')
    for (const [seed, { file }] of all.entries()) {
      if (file !== stuck) expect(readFileSync(file).equals(bytes(100, seed))).toBe(true)
    }
    rmSync(stuck, { recursive: true })
    await start('two')
    expect(readFileSync(stuck).equals(bytes(100, 0))).toBe(true)
  })

  it('one that a start has made whole, and was killed before it wrote that down, is the file of the upload', async () => {
    const { id, file } = await finished(await start('one'), SMALL)
    writeFileSync(`${file}.restored`, SMALL)
    renameSync(`${file}.restored`, file)
    const subject = await start('two')
    await subject.assertBytes(id, SMALL)
    expect(await open?.get(id)).toMatchObject({ identity: identityOf(lstatSync(file, { bigint: true })) })
    const { fence } = await subject.claim(id)
    expect(await open?.remove(id, fence)).toBe('removed')
    expect(existsSync(file)).toBe(false)
  })

  it('one that was made whole is so again if the power is lost once more, before anything of that has reached the disk', async () => {
    const { id, file } = await finished(await start('one'), SMALL)
    await stop()
    rmSync(file)
    const database = join(directory, '.resumable-upload/uploads.sqlite')
    const before = readFileSync(database)
    for (const boot of ['two', 'three', 'four']) {
      await start(boot)
      await stop()
      writeFileSync(database, before)
      truncateSync(file, 100)
    }
    const subject = await start('five')
    await subject.assertBytes(id, SMALL)
    while ((await open?.vacuum(100))?.more);
    expect(parts()).toEqual([])
    expect(readFileSync(file).equals(SMALL)).toBe(true)
  })

  it('what was removed stays removed, and what has the name of it now is left alone', async () => {
    const first = await start()
    const { id, file } = await finished(first, SMALL, 'the-file')
    const { fence } = await first.claim(id)
    expect(await open?.remove(id, fence)).toBe('removed')
    writeFileSync(file, 'something else')
    await start('two')
    expect(readFileSync(file, 'utf8')).toBe('something else')
  })
})

it('while the system runs on, a file that was moved away stays away', async () => {
  const { file } = await finished(await start(), SMALL)
  rmSync(file)
  await start('one')
  expect(existsSync(file)).toBe(false)
})

describe('bytes of a small upload that was removed', () => {
  /** The files of the storage in which some bytes are. */
  const filesWith = (content: Buffer): readonly string[] =>
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
      .filter((file) => readFileSync(file).includes(content))

  async function remove(subject: Subject, id: string, status?: number): Promise<void> {
    const { fence } = await subject.claim(id)
    const tombstone = status === undefined ? undefined : { status, untilMs: Date.now() + 60_000 }
    expect(await open?.remove(id, fence, { tombstone, durable: true })).toBe('removed')
  }

  it.each([undefined, 410, 422])('are no row of the database any more (tombstone %s)', async (status) => {
    const subject = await start()
    const { id } = await finished(subject, SMALL)
    const other = await finished(subject, bytes(3000, 2))
    await remove(subject, id, status)
    expect(await entries()).toBe(1)
    await remove(subject, other.id)
    expect(await entries()).toBe(0)
  })

  it.each([3000, 30 * KIB])('are in no page of the database any more (%s bytes)', async (size) => {
    const content = bytes(size, 3)
    const subject = await start()
    const { id } = await finished(subject, content)
    await finished(subject, bytes(3000, 4))
    // The first end of the storage moves them from the log into the database, the second one what overwrites them.
    const again = await start()
    expect(filesWith(content.subarray(0, 2000))).toHaveLength(2)
    await remove(again, id)
    await start()
    expect(filesWith(content.subarray(0, 2000))).toEqual([])
  })

  it('are in no page either if the upload was removed after its copy was dropped', async () => {
    const subject = await start()
    const { id } = await finished(subject, SMALL)
    const records = recordsOf('one')
    await records.journal.drop(await records.journal.entries(0, Number.MAX_SAFE_INTEGER, 10))
    await records.close()
    await remove(subject, id)
    await start()
    expect(filesWith(SMALL.subarray(0, 2000))).toEqual([])
  })
})

it('what is larger, partial, or awaited by the application has a sync of its own', async () => {
  const first = await start()
  await finished(first, bytes(33 * KIB))
  const partial = await first.create({ length: 3000, concat: { header: 'partial', partials: undefined } })
  await first.append(partial.id, SMALL, { complete: true, durable: true })
  const { id } = await first.create({ length: 3000 })
  await first.append(id, SMALL, { complete: true, durable: true, completion: { owner: undefined, ttlMs: 0 } })
  await first.append((await first.create({ length: 3000 })).id, SMALL, { complete: true, durable: false })
  expect(await entries()).toBe(0)
  await finished(first, bytes(32 * KIB))
  expect(await entries()).toBe(1)
})

it('a claim that was lost takes nothing out of it', async () => {
  const first = await start()
  const { id } = await first.create({ length: 5000 })
  await first.append(id, SMALL)
  const { upload } = await first.claim(id, 'late', { ttlMs: -1 })
  await first.append(id, bytes(2000, 2), { complete: true, durable: true })
  const records = recordsOf('one')
  expect(records.fallBack(upload as StoredUpload, 0, [{ start: 0, blob: id }])).toBe(false)
  await records.close()
  expect(await entries()).toBe(1)
})

onSmallDisk('a file that can not be made anew is left as it is, and no half of one is in its way', async () => {
  directory = smallDisk(4 * MIB)
  const first = await start()
  const { id, file } = await finished(first, SMALL)
  const blobs = new FileBlobs({ directory, partsDirectory: join(directory, '.resumable-upload/parts') })
  const filler = fillDisk()
  expect(() =>
    blobs.restore(
      { blob: id, name: id, identity: undefined, size: 3000, overwrite: false, published: true },
      SMALL,
      true,
    ),
  ).toThrow('ENOSPC')
  rmSync(filler)
  expect(parts()).toEqual([])
  while ((await open?.vacuum(100))?.more);
  await first.assertBytes(id, SMALL)
  expect(readFileSync(file).equals(SMALL)).toBe(true)
})

it('half of a file that a kill has left goes away', async () => {
  const first = await start()
  const { id } = await finished(first, SMALL)
  writeFileSync(join(directory, `.resumable-upload/parts/${id}.restored`), 'half')
  while ((await open?.vacuum(100))?.more);
  expect(parts()).toEqual([])
  await first.assertBytes(id, SMALL)
})

describe('in the background', () => {
  let now: number
  let records: SQLiteRecords
  let blobs: FileBlobs
  let synced: string[]
  let failing: boolean
  /** Happens while the sync of a file is under way. */
  let meanwhile: () => Promise<void>
  let settler: JournalSettler

  /** A settler that is woken by hand, on an upload that the journal has. */
  beforeEach(async () => {
    const { file } = await finished(await start(), SMALL, 'folder/the-file')
    expect(existsSync(file)).toBe(true)
    await open?.close()
    open = undefined
    now = Date.now()
    synced = []
    failing = false
    meanwhile = async () => {}
    records = recordsOf('one', () => now)
    blobs = new FileBlobs({ directory, partsDirectory: join(directory, '.resumable-upload/parts') })
    const { syncFile, syncPlaced } = blobs
    blobs.syncFile = async (name) => {
      await meanwhile()
      if (failing) throw Object.assign(new Error('EIO'), { code: 'EIO' })
      synced.push(`bytes of ${name}`)
      return syncFile.call(blobs, name)
    }
    blobs.syncPlaced = (name) => {
      synced.push(`name of ${name}`)
      return syncPlaced.call(blobs, name)
    }
    settler = new JournalSettler({ journal: records.journal, blobs, now: () => now })
  })

  afterEach(async () => {
    await settler.close()
    await records.close()
  })

  async function afterMs(ms: number): Promise<void> {
    now += ms
    await settler.settle()
  }

  async function left(journal: SQLiteJournal = records.journal): Promise<number> {
    return (await journal.entries(0, Number.MAX_SAFE_INTEGER, 10)).length
  }

  it('bytes and name are synced, then the entry goes', async () => {
    await afterMs(40_000)
    expect(synced).toEqual(['bytes of folder/the-file', 'name of folder/the-file'])
    expect(await left()).toBe(0)
  })

  it('what is new waits', async () => {
    await afterMs(0)
    expect(synced).toEqual([])
    expect(await left()).toBe(1)
  })

  it('a file whose sync fails is made anew, and synced again', async () => {
    failing = true
    truncateSync(join(directory, 'folder/the-file'), 10)
    await expect(afterMs(40_000)).rejects.toThrow('EIO')
    expect(await left()).toBe(1)
    expect(readFileSync(join(directory, 'folder/the-file')).equals(SMALL)).toBe(true)
    failing = false
    await afterMs(40_000)
    expect(await left()).toBe(0)
  })

  it('a file that could not be made whole after a power loss is made so before it is synced', async () => {
    const next = recordsOf('two', () => now)
    rmSync(join(directory, 'folder/the-file'))
    next.journal.recover(() => {
      throw new Error('the disk is full')
    })
    const nextSettler = new JournalSettler({ journal: next.journal, blobs, now: () => now })
    const nextAfterMs = (ms: number): Promise<void> => {
      now += ms
      return nextSettler.settle()
    }
    await nextAfterMs(120_000)
    expect(synced).toEqual([])
    expect(await left()).toBe(1)
    expect(readFileSync(join(directory, 'folder/the-file')).equals(SMALL)).toBe(true)
    await nextAfterMs(40_000)
    expect(synced).toEqual(['bytes of folder/the-file', 'name of folder/the-file'])
    expect(await left()).toBe(0)
    await nextSettler.close()
    await next.close()
  })

  it('a file whose sync fails, and that can not be made anew, is trusted by nobody', async () => {
    failing = true
    const { restore } = blobs
    blobs.restore = () => {
      throw new Error('the disk is full')
    }
    await expect(afterMs(40_000)).rejects.toThrow('the disk is full')
    // What is read is what was written; what is on the disk nobody knows.
    const { ino } = statSync(join(directory, 'folder/the-file'))
    blobs.restore = restore
    failing = false
    const other = recordsOf('one', () => now)
    const otherSettler = new JournalSettler({ journal: other.journal, blobs, now: () => now })
    now += 40_000
    await otherSettler.settle()
    expect(synced).toEqual([])
    expect(statSync(join(directory, 'folder/the-file')).ino).not.toBe(ino)
    await otherSettler.close()
    await other.close()
    await afterMs(40_000)
    expect(synced).toEqual(['bytes of folder/the-file', 'name of folder/the-file'])
    expect(await left()).toBe(0)
  })

  it('nor by who has begun to sync it before a start of the server made it anew', async () => {
    meanwhile = async () => {
      const other = recordsOf('one', () => now)
      const [entry] = await other.journal.entries(0, Number.MAX_SAFE_INTEGER, 10)
      if (entry) await other.journal.distrust(entry)
      other.journal.recover((file, content, anew) => blobs.restore(file, content, anew))
      await other.close()
    }
    await afterMs(40_000)
    expect(await left()).toBe(1)
  })

  it('a file whose name is not synced is made anew', async () => {
    const { syncPlaced } = blobs
    const { ino } = statSync(join(directory, 'folder/the-file'))
    blobs.syncPlaced = () => Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'fsync' }))
    await expect(afterMs(40_000)).rejects.toThrow('EIO')
    expect(statSync(join(directory, 'folder/the-file')).ino).not.toBe(ino)
    blobs.syncPlaced = syncPlaced
    await afterMs(40_000)
    expect(await left()).toBe(0)
  })

  it('a file that can not be opened is left alone, and tried again', async () => {
    const file = join(directory, 'folder/the-file')
    renameSync(file, join(directory, 'aside'))
    symlinkSync('the-file', file)
    await expect(afterMs(40_000)).rejects.toThrow('ELOOP')
    expect(lstatSync(file).isSymbolicLink()).toBe(true)
    expect(await left()).toBe(1)
    rmSync(file)
    renameSync(join(directory, 'aside'), file)
    await afterMs(40_000)
    expect(await left()).toBe(0)
  })

  /** As a kill between the commit and the file's name has left it. */
  async function unplace(): Promise<{ id: string; part: string }> {
    const [entry] = await records.journal.entries(0, Number.MAX_SAFE_INTEGER, 10)
    const id = entry?.id as string
    const part = join(directory, '.resumable-upload/parts', id)
    renameSync(join(directory, 'folder/the-file'), part)
    rmSync(join(directory, 'folder'), { recursive: true })
    const database = openDatabase(join(directory, '.resumable-upload/uploads.sqlite'))
    database.exec('UPDATE uploads SET published = 0, publish_at = 0')
    database.close()
    return { id, part }
  }

  it('a file that never got its name is left to those who publish, and its entry stays until it has it', async () => {
    const { id, part } = await unplace()
    await afterMs(100_000)
    expect([synced, await left()]).toEqual([[], 1])
    expect(await publishLate(records, blobs, id, { durable: true, retryAfterMs: 1000, now: () => now })).toBe(true)
    expect(existsSync(part)).toBe(false)
    synced = []
    await afterMs(40_000)
    expect(synced).toEqual(['bytes of folder/the-file', 'name of folder/the-file'])
    expect(await left()).toBe(0)
    expect(readFileSync(join(directory, 'folder/the-file')).equals(SMALL)).toBe(true)
  })

  it('one that is removed meanwhile gets none, and the blob of another upload with its id stays', async () => {
    const { id, part } = await unplace()
    const sync = records.sync.bind(records)
    const another = async (): Promise<void> => {
      const subject = await start()
      const { fence } = await subject.claim(id)
      expect(await open?.remove(id, fence)).toBe('removed')
      writeFileSync(part, 'of another one')
      await sync()
    }
    jest.spyOn(records, 'sync').mockImplementationOnce(another)
    expect(await publishLate(records, blobs, id, { durable: true, retryAfterMs: 1000, now: () => now })).toBe(false)
    expect(readFileSync(part, 'utf8')).toBe('of another one')
    expect(existsSync(join(directory, 'folder'))).toBe(false)
  })

  it('a file that was moved away is waited for until its new place is on the disk', async () => {
    mkdirSync(join(directory, 'elsewhere'))
    renameSync(join(directory, 'folder/the-file'), join(directory, 'elsewhere/file'))
    await afterMs(40_000)
    expect(await left()).toBe(1)
    await afterMs(60_000)
    expect(await left()).toBe(0)
  })

  it.each([false, true])(
    'an entry with the number of one that was dropped is another one (sync fails: %s)',
    async (fails) => {
      failing = fails
      meanwhile = async () => {
        meanwhile = async () => {}
        const other = recordsOf('one')
        await other.journal.drop(await other.journal.entries(0, Number.MAX_SAFE_INTEGER, 10))
        await other.close()
        await finished(await start(), bytes(200, 2))
      }
      await afterMs(40_000).catch(() => {})
      expect(await left()).toBe(1)
      expect(readFileSync(join(directory, 'folder/the-file')).equals(SMALL)).toBe(true)
    },
  )

  it('a file that is removed during a sync that fails stays away', async () => {
    failing = true
    meanwhile = async () => {
      const subject = await start()
      const [entry] = await records.journal.entries(0, Number.MAX_SAFE_INTEGER, 10)
      const { fence } = await subject.claim(entry?.id as string)
      expect(await open?.remove(entry?.id as string, fence)).toBe('removed')
    }
    await expect(afterMs(40_000)).rejects.toThrow('EIO')
    expect(existsSync(join(directory, 'folder/the-file'))).toBe(false)
    expect(parts()).toEqual([])
  })

  it('a file that was made anew is not dropped for a sync of the one before', async () => {
    meanwhile = async () => {
      const other = recordsOf('one', () => now)
      const [entry] = await other.journal.entries(0, Number.MAX_SAFE_INTEGER, 10)
      if (entry) await other.journal.restore(entry, (file, content) => blobs.restore(file, content, true))
      await other.close()
    }
    await afterMs(40_000)
    expect(await left()).toBe(1)
  })

  it('one that was moved away with its folder goes, too', async () => {
    renameSync(join(directory, 'folder/the-file'), join(directory, 'moved'))
    rmSync(join(directory, 'folder'), { recursive: true })
    await afterMs(40_000)
    expect(await left()).toBe(1)
    await afterMs(60_000)
    expect(await left()).toBe(0)
    await start('two')
    expect(existsSync(join(directory, 'folder'))).toBe(false)
  })

  it('one that can not be settled is in no way of the others', async () => {
    const first = await start()
    for (let seed = 0; seed < 70; seed++) await finished(first, bytes(100, seed))
    const { syncFile } = blobs
    blobs.syncFile = async (name) => {
      if (name === 'folder/the-file') throw Object.assign(new Error('EIO'), { code: 'EIO' })
      return syncFile(name)
    }
    await expect(afterMs(40_000)).rejects.toThrow('EIO')
    expect(await left()).toBe(1)
    blobs.syncFile = syncFile
    await afterMs(40_000)
    expect(await left()).toBe(0)
  })

  it('what can not be settled takes room, and nothing else does', async () => {
    while (settler.take(32 * KIB));
    failing = true
    await expect(afterMs(40_000)).rejects.toThrow('EIO')
    expect(settler.take(32 * KIB)).toBe(true)
  })

  it('an upload that is taken during a round is settled by another one', async () => {
    await settler.close()
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate'], now })
    try {
      settler = new JournalSettler({ journal: records.journal, blobs, now: () => now })
      meanwhile = async () => expect(settler.take(100)).toBe(true)
      await afterMs(40_000)
      expect(await left()).toBe(0)
      // Now it is there.
      await finished(await start(), bytes(100, 2))
      await open?.close()
      open = undefined
      now += 40_000
      const settle = jest.spyOn(settler, 'settle')
      jest.advanceTimersByTime(1000)
      expect(settle).toHaveBeenCalled()
      await settler.settle()
      expect(await left()).toBe(0)
    } finally {
      jest.useRealTimers()
    }
  })

  it('with too much on its way, uploads have syncs of their own', () => {
    let taken = 0
    while (settler.take(32 * KIB)) taken++
    expect(taken).toBeGreaterThan(900)
    expect(taken).toBeLessThan(1025)
  })
})
