// Concatenation on a disk: which files there are when, and what a kill in the middle leaves behind.
import { existsSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { TusServer } from '../../src/index.js'
import { openDatabase } from '../../src/storage/sqlite/driver.js'
import { SQLiteJournal } from '../../src/storage/sqlite/journal.js'
import { SQLiteStorage } from '../../src/storage/sqlite/sqlite-storage.js'
import { bytes } from '../../src/testing/subject.js'
import { built, runUntilKilled } from './support/run-node.js'
import { tempFolder } from './support/temp-folder.js'

const [ONE, TWO] = [bytes(300_000, 1), bytes(400_000, 2)]
const CHUNK = { 'Tus-Resumable': '1.0.0', 'Content-Type': 'application/offset+octet-stream' }

let open: TusServer | undefined

afterEach(() => open?.close({ timeoutMs: 0 }))

function server(directory: string, options: Partial<ConstructorParameters<typeof TusServer>[0]> = {}) {
  const clock = { aheadMs: 0 }
  const storage = new SQLiteStorage({ directory, now: () => Date.now() + clock.aheadMs })
  const tus = new TusServer({ storage, ...options })
  open = tus
  return {
    tus,
    storage,
    clock,
    async partial(content: Buffer): Promise<string> {
      const headers = { ...CHUNK, 'Upload-Length': `${content.length}`, 'Upload-Concat': 'partial' }
      return String((await tus.handleRequest('POST', '/files', headers, content)).headers.Location)
    },
    final: (paths: readonly string[]) =>
      tus.handleRequest('POST', '/files', { 'Tus-Resumable': '1.0.0', 'Upload-Concat': `final;${paths.join(' ')}` }),
    parts: () => readdirSync(join(directory, '.resumable-upload/parts')),
    files: () => readdirSync(directory).filter((name) => name !== '.resumable-upload'),
  }
}

it('partial uploads never are files of the directory; the final one is, whole, and nothing else is left', async () => {
  const { partial, final, files, parts, tus } = server(tempFolder())
  const paths = [await partial(ONE), await partial(TWO)]
  expect(files()).toEqual([])
  const id = String((await final(paths)).headers.Location).slice('/files/'.length)
  await tus.cleanUp()
  expect(files()).toEqual([id])
  expect(parts()).toEqual([])
})

it('a commit that finds the database busy in the middle is tried again as a whole', async () => {
  const { tus } = server(tempFolder())
  const headers = { ...CHUNK, 'Upload-Length': '5' }
  const path = String((await tus.handleRequest('POST', '/files', headers, undefined)).headers.Location)
  const add = jest.spyOn(SQLiteJournal.prototype, 'add').mockImplementationOnce(() => {
    throw Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' })
  })
  const answer = await tus.handleRequest('PATCH', path, { ...CHUNK, 'Upload-Offset': '0' }, Buffer.alloc(5))
  expect([answer.status, answer.headers['Upload-Offset']]).toEqual([204, '5'])
  expect(add).toHaveBeenCalledTimes(2)
  add.mockRestore()
})

it('the hook gets the path of the whole file', async () => {
  let seen: Buffer | undefined
  const { partial, final } = server(tempFolder(), {
    onUploadComplete: ({ path }) => {
      seen = readFileSync(String(path))
    },
  })
  expect((await final([await partial(TWO), await partial(ONE)])).status).toBe(201)
  expect(seen?.equals(Buffer.concat([TWO, ONE]))).toBe(true)
})

it('a hook that has moved the file and then failed is called again', async () => {
  const directory = tempFolder()
  const attempts: Array<[number, boolean]> = []
  const { partial, final, tus, storage, clock } = server(directory, {
    onUploadComplete: ({ path, attempt }) => {
      attempts.push([attempt, existsSync(String(path))])
      if (attempt > 1) return
      renameSync(String(path), `${directory}/moved`)
      throw new Error('after the move')
    },
    logger: { warn: () => {}, error: () => {} },
  })
  const answer = await final([await partial(ONE)])
  expect(answer.status).toBe(500)
  const id = String(answer.headers.Location).slice('/files/'.length)
  clock.aheadMs += 1000
  await tus.cleanUp()
  expect(attempts).toEqual([
    [1, true],
    [2, false],
  ])
  expect((await storage.get(id))?.completion?.settled).toBe(true)
})

it('tens of thousands of final uploads that wait do not hold up the event loop when it is looked for those that are ready', async () => {
  const directory = tempFolder()
  const { storage, partial, final } = server(directory)
  const database = openDatabase(join(directory, '.resumable-upload/uploads.sqlite'))
  database.exec(`PRAGMA busy_timeout = 5000;
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 3200)
      INSERT INTO uploads (id, created_at, concat) SELECT 'part-' || n, 0, '{"header":"partial"}' FROM number;
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 20000)
      INSERT INTO uploads (id, created_at, concat, waits_for) SELECT 'final-' || n, 0, '{"header":"final"}', 2 FROM number;
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number LIMIT 20000)
      INSERT INTO waiting (final, partial) SELECT 'final-' || n, 'part-' || (n % 1600 * 2 + place)
      FROM number CROSS JOIN (SELECT 0 AS place UNION SELECT 1);`)
  database.close()
  const searchMs: number[] = []
  for (let round = 0; round < 21; round++) {
    const beganMs = performance.now()
    expect(await storage.readyFinals(20)).toEqual([])
    searchMs.push(performance.now() - beganMs)
  }
  searchMs.sort((one, other) => one - other)
  // It took some 20 ms while it walked over all that wait.
  expect(searchMs[10]).toBeLessThan(2)
  const answer = await final([await partial(ONE)])
  expect(answer.status).toBe(201)
})

describe('a kill', () => {
  it.each([
    ['before anything is copied', "stopBefore(fs, 'openSync', '.flat')"],
    ['while it is copied', "stopAfter(fs, 'openSync', '.flat')"],
    ['before the file gets its name', "stopBefore(fs, 'linkSync', '.flat')"],
    ['after the file got its name', "stopAfter(fs, 'linkSync', '.flat')"],
    ['while a partial upload is removed', "stopBefore(promises, 'unlink', 'parts')"],
  ])('%s leaves a final upload that is whole, and that the next process completes', async (_title, stopAt) => {
    const directory = tempFolder()
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
      const { TusServer, SQLiteStorage } = require(${JSON.stringify(built('index.js'))})
      const { bytes } = require(${JSON.stringify(built('testing/subject.js'))})
      const tus = new TusServer({ storage: new SQLiteStorage({ directory: ${JSON.stringify(directory)} }), generateId })
      let ids = ['one', 'two', 'final']
      function generateId() { return ids.shift() }
      const chunk = { 'Tus-Resumable': '1.0.0', 'Content-Type': 'application/offset+octet-stream' }
      const partial = (content) =>
        tus.handleRequest('POST', '/files', { ...chunk, 'Upload-Length': String(content.length), 'Upload-Concat': 'partial' }, content)
      ;(async () => {
        await partial(bytes(300000, 1))
        await partial(bytes(400000, 2))
        await tus.handleRequest('POST', '/files', { 'Tus-Resumable': '1.0.0', 'Upload-Concat': 'final;/files/one two one' })
        await tus.cleanUp()
      })()`,
      'HERE',
    )
    const whole = Buffer.concat([ONE, TWO, ONE])
    const { tus, storage, files, parts } = server(directory, { downloads: true })
    const head = await tus.handleRequest('HEAD', '/files/final', { 'Tus-Resumable': '1.0.0' })
    // No client is told before the file has its name.
    expect(head).toMatchObject({ status: 200, headers: { 'Upload-Offset': `${whole.length}` } })
    expect(readFileSync(join(directory, 'final')).equals(whole)).toBe(true)
    const read: Uint8Array[] = []
    for await (const chunk of storage.read('final', 0, whole.length)) read.push(chunk)
    expect(Buffer.concat(read).equals(whole)).toBe(true)
    // The dead one's try runs out; nobody waits for it here.
    const worker = (await storage.get('final'))?.completion?.worker
    const taken = await storage.takeCompletion('final', { owner: 'test', ttlMs: 0, dead: worker })
    if (taken) await storage.settleCompletion('final', taken.attempt, { retryAfterMs: 0, step: 'copy' })
    await tus.cleanUp()
    expect(files()).toEqual(['final'])
    expect(readFileSync(join(directory, 'final')).equals(whole)).toBe(true)
    expect(parts()).toEqual([])
    expect(existsSync(join(directory, '.resumable-upload'))).toBe(true)
  })
})
