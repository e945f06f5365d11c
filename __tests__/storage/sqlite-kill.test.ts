// A process is killed in the middle of something, as `kill -9` does it; the next one finds what it needs.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SQLiteStorage } from '../../src/storage/sqlite/sqlite-storage.js'
import { assertSameBytes, bytes, manualClock, newUpload, Subject } from '../../src/testing/subject.js'
import { built, runUntilKilled } from './support/run-node.js'
import { tempFolder } from './support/temp-folder.js'

const [FIRST, SECOND, THIRD] = [bytes(300_000, 1), bytes(400_000, 2), bytes(200_000, 3)]
const LEASE_MS = 600_000
const PUBLISH = { durable: true, retryAfterMs: 1000 }
const LENGTH = FIRST.length + SECOND.length + THIRD.length

/**
 * Runs a process that has the storage of a directory to itself, and kills it.
 * @param stopAt - what it is to stop at: an expression that wraps functions of `fs` with `stopBefore` or `stopAfter`
 * @param body - what it does, with `storage`, `open`, and the three runs of bytes
 */
async function killed(directory: string, stopAt: string, body: string): Promise<void> {
  await runUntilKilled(
    `
    const fs = require('node:fs')
    const promises = require('node:fs/promises')
    const here = () => {
      fs.writeSync(1, 'HERE')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    }
    const concerns = (path, args) => args.some((arg) => typeof arg === 'string' && arg.includes(path))
    const stopBefore = (object, name, path) => {
      const real = object[name]
      object[name] = (...args) => (concerns(path, args) ? here() : real(...args))
    }
    const stopAfter = (object, name, path) => {
      const real = object[name]
      object[name] = (...args) => { const result = real(...args); if (concerns(path, args)) here(); return result }
    }
    ${stopAt}
    const { SQLiteStorage } = require(${JSON.stringify(built('storage/sqlite/sqlite-storage.js'))})
    const { bytes } = require(${JSON.stringify(built('testing/subject.js'))})
    const [FIRST, SECOND, THIRD] = [bytes(300000, 1), bytes(400000, 2), bytes(200000, 3)]
    const storage = new SQLiteStorage({ directory: ${JSON.stringify(directory)} })
    const open = async (owner = 'A', ttlMs = ${LEASE_MS}) => {
      const { upload, fence } = await storage.claim('id', { owner, ttlMs })
      return { fence, stage: await storage.openStage('id', fence, upload.offset) }
    }
    ;(async () => {
      ${body}
    })()`,
    'HERE',
  )
}

async function prepared(): Promise<string> {
  const directory = tempFolder()
  const storage = new SQLiteStorage({ directory })
  await storage.create(newUpload(Date.now(), { id: 'id', name: 'the-file', length: LENGTH }))
  await storage.close()
  return directory
}

interface Reopened {
  readonly storage: SQLiteStorage
  readonly subject: Subject
  readonly file: string
  parts(): string[]
}

let open: SQLiteStorage | undefined

function reopen(directory: string): Reopened {
  const clock = manualClock()
  open = new SQLiteStorage({ directory, now: clock.now })
  return {
    storage: open,
    subject: new Subject(open, { clock, leaseMs: LEASE_MS }),
    file: join(directory, 'the-file'),
    parts: () => readdirSync(join(directory, '.resumable-upload/parts')),
  }
}

/** Goes on with an upload whose last holder is dead. */
async function goOn({ subject }: Reopened, ...rest: readonly Buffer[]): Promise<void> {
  const stage = await subject.open('id', 'B', { dead: 'A' })
  for (const run of rest) await stage.write(run)
  expect(await stage.commit({ complete: true, release: true })).toBe('ok')
  await stage.close()
}

/** Tidies up once the claims of the killed process have run out. */
async function vacuum({ storage, subject }: Reopened): Promise<void> {
  await subject.expire()
  while ((await storage.vacuum(100)).more);
}

afterEach(async () => {
  await open?.close()
  open = undefined
})

const WHOLE = Buffer.concat([FIRST, SECOND, THIRD])

describe('SQLiteStorage: killed by SIGKILL', () => {
  it('after a write and before its commit: what was committed stands, the rest is sent again', async () => {
    const directory = await prepared()
    await killed(
      directory,
      '',
      `const { stage } = await open()
       await stage.write([FIRST])
       await stage.commit({ to: FIRST.length, durable: false })
       await stage.write([THIRD])
       here()`,
    )
    const reopened = reopen(directory)
    await reopened.subject.assertBytes('id', FIRST)
    expect(existsSync(reopened.file)).toBe(false)
    await vacuum(reopened)
    await goOn(reopened, SECOND, THIRD)
    assertSameBytes(readFileSync(reopened.file), WHOLE)
    expect(reopened.parts()).toEqual([])
  })

  it('in the middle of a large write: the same', async () => {
    const directory = await prepared()
    await killed(
      directory,
      `const { writev } = fs
       fs.writev[require('node:util').promisify.custom] = (fd, buffers, at) => new Promise((resolve) =>
         writev(fd, buffers, at, (_error, bytesWritten) => {
           if (at > 0) fs.writeSync(fd, 'half of something', at + 1000), here()
           resolve({ bytesWritten })
         }))`,
      `const { stage } = await open()
       await stage.write([FIRST])
       await stage.commit({ to: FIRST.length, durable: false })
       await stage.write([SECOND])`,
    )
    const reopened = reopen(directory)
    await reopened.subject.assertBytes('id', FIRST)
    await goOn(reopened, SECOND, THIRD)
    assertSameBytes(readFileSync(reopened.file), WHOLE)
  })

  const COMPLETE = `const { stage } = await open()
    await stage.write([FIRST, SECOND, THIRD])
    await stage.commit({ to: ${LENGTH}, complete: true, durable: true })`

  it.each(['the next to look', 'tidying up'])(
    'after the last commit and before the file has its name: %s publishes it',
    async (who) => {
      const directory = await prepared()
      await killed(directory, `stopBefore(fs, 'linkSync', 'the-file')`, COMPLETE)
      const reopened = reopen(directory)
      expect(existsSync(reopened.file)).toBe(false)
      expect(await reopened.subject.get('id')).toMatchObject({ complete: true, published: false })
      expect(await reopened.storage.unpublished(10)).toEqual([])
      expect(await reopened.storage.publish('id', PUBLISH)).toBe(false)
      // As long as whoever completed it might still live, it is read from where it is.
      await reopened.subject.assertBytes('id', WHOLE)
      expect(existsSync(reopened.file)).toBe(false)
      await reopened.subject.expire()
      expect(await reopened.storage.unpublished(10)).toEqual(['id'])
      if (who === 'tidying up') await vacuum(reopened)
      else expect(await reopened.storage.publish('id', PUBLISH)).toBe(true)
      expect(await reopened.subject.get('id')).toMatchObject({ complete: true, published: true })
      expect(await reopened.storage.unpublished(10)).toEqual([])
      assertSameBytes(readFileSync(reopened.file), WHOLE)
      expect(reopened.parts()).toEqual([])
      await vacuum(reopened)
      await reopened.subject.assertBytes('id', WHOLE)
    },
  )

  it('before the file has its name, and a hook waits: it is not due before the file is published', async () => {
    const directory = await prepared()
    const completion = `, completion: { owner: 'A', ttlMs: 0 }`
    await killed(
      directory,
      `stopBefore(fs, 'linkSync', 'the-file')`,
      COMPLETE.replace(', durable: true', `, durable: false, release: true${completion}`),
    )
    const { storage, subject, file } = reopen(directory)
    const request = { owner: 'B', ttlMs: 1000, dead: 'A' }
    expect(await storage.takeCompletion('id', request)).toBeUndefined()
    await subject.expire()
    expect(await storage.dueCompletions({ step: 'hook', maxBytes: LENGTH, limit: 10 })).toEqual([])
    expect(await storage.publish('id', PUBLISH)).toBe(true)
    expect(await storage.dueCompletions({ step: 'hook', maxBytes: LENGTH, limit: 10 })).toEqual(['id'])
    expect(await storage.takeCompletion('id', request)).toMatchObject({ attempt: 2 })
    assertSameBytes(readFileSync(file), WHOLE)
  })

  it('before the file is placed, and the claim runs out and is taken over: the file is placed all the same', async () => {
    const directory = await prepared()
    await killed(directory, `stopBefore(fs, 'linkSync', 'the-file')`, COMPLETE.replace('open()', "open('A', -1000)"))
    const reopened = reopen(directory)
    const { fence } = await reopened.subject.claim('id', 'C')
    await reopened.subject.release('id', fence)
    await vacuum(reopened)
    assertSameBytes(readFileSync(reopened.file), WHOLE)
    await reopened.subject.assertBytes('id', WHOLE)
  })

  it.each([
    ['after the file has its name', `stopAfter(fs, 'linkSync', 'the-file')`],
    ['after the file has but one name', `stopAfter(fs, 'unlinkSync', 'parts')`],
  ])('%s, and before the record says so: it is published, and no other file is touched', async (_when, stopAt) => {
    const directory = await prepared()
    await killed(directory, stopAt, COMPLETE)
    const reopened = reopen(directory)
    assertSameBytes(readFileSync(reopened.file), WHOLE)
    await reopened.subject.assertBytes('id', WHOLE)
    expect(await reopened.subject.get('id')).toMatchObject({ published: false })
    await reopened.subject.expire()
    expect(await reopened.storage.publish('id', PUBLISH)).toBe(true)
    expect(await reopened.subject.get('id')).toMatchObject({ published: true })
    await vacuum(reopened)
    expect(reopened.parts()).toEqual([])
    await reopened.subject.assertBytes('id', WHOLE)
  })

  const SCATTER = `const first = await open('A', -1000)
    await first.stage.write([FIRST])
    await first.stage.commit({ to: FIRST.length, durable: false })
    const second = await open()
    await second.stage.write([SECOND])
    await second.stage.commit({ to: FIRST.length + SECOND.length, durable: false })
    await second.stage.write([THIRD])
    await second.stage.commit({ to: ${LENGTH}, complete: true, durable: false })`

  it('while pieces are joined: they are joined again', async () => {
    const directory = await prepared()
    await killed(directory, `stopAfter(fs, 'openSync', '.flat')`, SCATTER)
    const reopened = reopen(directory)
    expect(reopened.parts()).toHaveLength(3)
    await reopened.subject.assertBytes('id', FIRST, SECOND)
    await goOn(reopened, THIRD)
    assertSameBytes(readFileSync(reopened.file), WHOLE)
    await vacuum(reopened)
    expect(reopened.parts()).toEqual([])
  })

  it('after pieces were joined and before they are removed: tidying up removes them', async () => {
    const directory = await prepared()
    await killed(directory, `stopBefore(promises, 'unlink', 'parts')`, SCATTER)
    const reopened = reopen(directory)
    expect(reopened.parts()).toHaveLength(2)
    await vacuum(reopened)
    expect(reopened.parts()).toEqual([])
    assertSameBytes(readFileSync(reopened.file), WHOLE)
    await reopened.subject.assertBytes('id', WHOLE)
  })

  it('between the burial of the record and the removal of its bytes: tidying up finishes it', async () => {
    const directory = await prepared()
    await killed(
      directory,
      `stopBefore(promises, 'unlink', 'parts')`,
      `const { fence, stage } = await open()
       await stage.write([FIRST])
       await stage.commit({ to: FIRST.length, durable: false })
       await stage.close()
       await storage.remove('id', fence)`,
    )
    const reopened = reopen(directory)
    expect(await reopened.storage.get('id')).toBeUndefined()
    expect(reopened.parts()).toHaveLength(1)
    expect(await reopened.storage.create(newUpload(0, { id: 'id', name: 'the-file' }))).toBe('exists')
    await vacuum(reopened)
    expect(reopened.parts()).toEqual([])
    expect(await reopened.storage.create(newUpload(0, { id: 'id', name: 'the-file', length: 1 }))).toBe('created')
    await reopened.subject.append('id', bytes(1), { complete: true })
    await reopened.subject.assertBytes('id', bytes(1))
  })

  it.each([
    ['before a finished file that is removed loses its name', `stopBefore(fs, 'renameSync', 'the-file')`],
    ['before its bytes go', `stopBefore(promises, 'unlink', '.removed')`],
    ['between its removal and that of its record', `stopAfter(promises, 'unlink', '.removed')`],
  ])('%s: tidying up finishes it', async (_when, stopAt) => {
    const directory = await prepared()
    await killed(
      directory,
      stopAt,
      `${COMPLETE}
       const { fence } = await storage.claim('id', { owner: 'A', ttlMs: 1, dead: 'A' })
       await storage.remove('id', fence)`,
    )
    const reopened = reopen(directory)
    expect(await reopened.storage.get('id')).toBeUndefined()
    await vacuum(reopened)
    expect([existsSync(reopened.file), reopened.parts()]).toEqual([false, []])
    expect(await reopened.storage.create(newUpload(0, { id: 'id', name: 'the-file' }))).toBe('created')
  })
})
