// The database below a SQLiteStorage: versions, drivers, several processes.
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Checkpointer } from '../../src/storage/sqlite/checkpointer.js'
import { hasDriver, openDatabase, SQLITE_DRIVERS } from '../../src/storage/sqlite/driver.js'
import { LIST_SQL } from '../../src/storage/sqlite/listing.js'
import { SCHEMA_VERSION } from '../../src/storage/sqlite/schema.js'
import { SQLiteStorage } from '../../src/storage/sqlite/sqlite-storage.js'
import { bytes, manualClock, newUpload, Subject } from '../../src/testing/subject.js'
import { built, runNode, runTogether } from './support/run-node.js'
import { tempFolder } from './support/temp-folder.js'

const STATE = '.resumable-upload'

/** Version 1, as it was published. Never changed, whatever becomes of the schema. */
const VERSION_1 = `
  CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    name TEXT,
    length INTEGER,
    offset INTEGER NOT NULL DEFAULT 0,
    metadata TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    complete INTEGER NOT NULL DEFAULT 0,
    buried INTEGER NOT NULL DEFAULT 0,
    fence INTEGER NOT NULL DEFAULT 0,
    owner TEXT,
    lease_until INTEGER NOT NULL DEFAULT 0,
    pieces TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX uploads_by_name ON uploads (name) WHERE name IS NOT NULL;
  CREATE INDEX uploads_buried ON uploads (id) WHERE buried = 1;
  PRAGMA user_version = 1;
  INSERT INTO uploads (id, length, offset, metadata, created_at) VALUES ('plain', 30, 10, 'a YQ==', 1700000000000);
  INSERT INTO uploads (id, name, length, offset, created_at, expires_at, complete, fence)
    VALUES ('done', 'photo.jpg', 5, 5, 1700000000001, 1800000000000, 1, 7);
  INSERT INTO uploads (id, offset, created_at, fence, owner, lease_until, pieces)
    VALUES ('scattered', 8, 1700000000002, 3, 'former', 1700000009999,
      '[{"start":0,"blob":"scattered"},{"start":5,"blob":"scattered.3"}]');
  INSERT INTO uploads (id, created_at, buried) VALUES ('removed', 1700000000003, 1);`

/** The last version whose final uploads do not know for how many partial ones they wait. */
const BEFORE_COUNTS = 8

/** A directory with a database of which only the SQL is known. */
function directoryWith(sql: string): string {
  const directory = tempFolder()
  mkdirSync(join(directory, STATE, 'parts'), { recursive: true })
  const database = openDatabase(join(directory, STATE, 'uploads.sqlite'))
  database.exec('PRAGMA journal_mode = WAL')
  database.exec(sql)
  database.close()
  return directory
}

describe('SQLiteStorage: versions of the schema', () => {
  it('a database of version 1 opens, and keeps its uploads', async () => {
    const directory = directoryWith(VERSION_1)
    const part = (blob: string, content: Buffer): void => writeFileSync(join(directory, STATE, 'parts', blob), content)
    part('plain', bytes(10, 1))
    part('scattered', bytes(5, 2))
    part('scattered.3', bytes(3, 3))
    part('removed', bytes(100))
    writeFileSync(join(directory, 'photo.jpg'), bytes(5, 4))

    const clock = manualClock()
    const storage = new SQLiteStorage({ directory, now: clock.now })
    const subject = new Subject(storage, { clock, leaseMs: 10_000 })
    expect(await storage.get('plain')).toMatchObject({
      ...{ id: 'plain', name: 'plain', length: 30, offset: 10, metadata: 'a YQ==', createdAtMs: 1_700_000_000_000 },
      ...{ complete: false, holder: undefined },
    })
    expect(await storage.get('done')).toMatchObject({
      ...{ name: 'photo.jpg', offset: 5, activeAtMs: expect.any(Number), complete: true },
    })
    expect(await storage.get('scattered')).toMatchObject({
      ...{ length: undefined, holder: { owner: 'former', leaseUntilMs: 1_700_000_009_999 } },
    })
    await subject.assertBytes('done', bytes(5, 4))
    await subject.append('plain', bytes(20, 5), { complete: true })
    await subject.assertBytes('plain', bytes(10, 1), bytes(20, 5))
    await subject.append('scattered', bytes(2, 6), { length: 10, complete: true })
    await subject.assertBytes('scattered', bytes(5, 2), bytes(3, 3), bytes(2, 6))
    expect(await storage.create(newUpload(0, { id: 'removed' }))).toBe('exists')
    await storage.vacuum(100)
    expect(existsSync(join(directory, STATE, 'parts/removed'))).toBe(false)
    expect(await storage.create(newUpload(0, { id: 'removed' }))).toBe('created')
    await storage.close()
  })

  it('a database of which final uploads wait counts what they wait for', async () => {
    const directory = tempFolder()
    const storage = new SQLiteStorage({ directory })
    const subject = new Subject(storage, { clock: manualClock(), leaseMs: 10_000 })
    for (const id of ['one', 'two', 'three']) {
      await subject.create({ id, length: 5, concat: { header: 'partial', partials: undefined } })
    }
    await subject.append('one', bytes(5), { complete: true })
    const concatOf = (...partials: string[]) => ({ concat: { header: 'final', partials } })
    await subject.create({ id: 'ready', ...concatOf('one', 'one') })
    await subject.create({ id: 'waiting', ...concatOf('one', 'two', 'three') })
    await storage.close()
    const database = openDatabase(join(directory, STATE, 'uploads.sqlite'))
    database.exec(
      `DROP INDEX uploads_ready; ALTER TABLE uploads DROP COLUMN waits_for; PRAGMA user_version = ${BEFORE_COUNTS};
       CREATE INDEX uploads_unfinished ON uploads (active_at); CREATE INDEX uploads_finished ON uploads (active_at);`,
    )
    database.close()

    const opened = new SQLiteStorage({ directory })
    const again = new Subject(opened, { clock: manualClock(), leaseMs: 10_000 })
    expect(await opened.readyFinals(10)).toEqual(['ready'])
    await again.append('two', bytes(5), { complete: true })
    expect(await opened.readyFinals(10)).toEqual(['ready'])
    await again.append('three', bytes(5), { complete: true })
    expect(await opened.readyFinals(10)).toEqual(['ready', 'waiting'])
    await opened.close()
  })

  it('a database of version 0 gets the newest version', async () => {
    const directory = tempFolder()
    await new SQLiteStorage({ directory }).close()
    const database = openDatabase(join(directory, STATE, 'uploads.sqlite'))
    expect(database.prepare('PRAGMA user_version').get()).toEqual({ user_version: SCHEMA_VERSION })
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
    database.close()
  })

  it('a database of a later version is refused, and left as it is', () => {
    const directory = directoryWith(`CREATE TABLE theirs (a); PRAGMA user_version = ${SCHEMA_VERSION + 1}`)
    expect(() => new SQLiteStorage({ directory })).toThrow(
      `has version ${SCHEMA_VERSION + 1}, this package knows up to ${SCHEMA_VERSION}: it was written by a later version`,
    )
    const database = openDatabase(join(directory, STATE, 'uploads.sqlite'))
    expect(database.prepare('SELECT name FROM sqlite_schema').all()).toEqual([{ name: 'theirs' }])
    database.close()
  })
})

describe('SQLiteStorage: drivers', () => {
  const open = (driver = ''): string =>
    `require(${JSON.stringify(built('storage/sqlite/driver.js'))}).openDatabase(':memory:', ${driver})`

  /** Runs where Node has no `node:sqlite`, and with another `better-sqlite3`, or an error in its place. */
  function withBetter({ code, version = '12.0.0', node = '20.x || 22.x' }: Package, body: string): string {
    return `
      const Module = require('node:module')
      process.getBuiltinModule = (name) => (name === 'node:module' ? Module : undefined)
      const load = Module._load
      const replaced = {
        'better-sqlite3': () => { ${code} },
        'better-sqlite3/package.json': () => (${JSON.stringify({ version, engines: { node } })}),
      }
      Module._load = (name, ...rest) => (name in replaced ? replaced[name]() : load(name, ...rest))
      const missing = (code, message) => { throw Object.assign(new Error(message), { code }) }
      try { ${body} } catch (error) { console.log(error.message); console.log(String(error.cause?.message)) }`
  }
  interface Package {
    readonly code: string
    readonly version?: string
    readonly node?: string
  }
  const killer = { code: "process.kill(process.pid, 'SIGSEGV')" }

  it('one that this Node has is found', () => {
    expect(SQLITE_DRIVERS.filter(hasDriver)).not.toEqual([])
    expect(hasDriver('node:sqlite')).toBe(process.getBuiltinModule('node:sqlite') !== undefined)
  })

  it('without any, the error says what to install', async () => {
    const run = await runNode(
      withBetter({ code: `missing('MODULE_NOT_FOUND', "Cannot find module 'better-sqlite3'")` }, open()),
    )
    expect(run.stdout).toBe(
      'SQLiteStorage: no SQLite driver. Node 22.13 and later bring their own; ' +
        `for Node ${process.versions.node} run: npm install better-sqlite3@12\nCannot find module 'better-sqlite3'\n`,
    )
  })

  it('one that was installed without its native half: the error says so', async () => {
    const broken = "return function () { throw new Error('Could not locate the bindings file.') }"
    const run = await runNode(withBetter({ code: broken }, open()))
    expect(run.stdout).toBe(
      `SQLiteStorage: better-sqlite3 is installed, but does not load in Node ${process.versions.node}. ` +
        'Run: npm rebuild better-sqlite3\nCould not locate the bindings file.\n',
    )
  })

  it('node:sqlite, asked for where Node has none: the error says since when it has', async () => {
    const run = await runNode(withBetter({ code: 'return {}' }, open("'node:sqlite'")))
    expect(run.stdout).toContain('has no node:sqlite (22.13 and later do)')
  })

  it.each(['>=99', '^98.1.0 || >=99', '99.x || 100.x'])(
    'a better-sqlite3 for Node %s only is not loaded, since that may end the process: the error names what is needed',
    async (node) => {
      const { stdout } = await runNode(withBetter({ ...killer, version: '13.0.1', node }, open()))
      const first = node.includes('98') ? 98 : 99
      expect(stdout).toBe(
        `SQLiteStorage: better-sqlite3 13.0.1 needs Node ${first} or later, this is Node ${process.versions.node}. ` +
          'Run: npm install better-sqlite3@12; Node 22.13 and later need none\n' +
          `better-sqlite3 13.0.1 needs Node ${first} or later, this is Node ${process.versions.node}\n`,
      )
    },
  )

  it('an old better-sqlite3 is not loaded: the error says which one to install', async () => {
    const { stdout } = await runNode(withBetter({ ...killer, version: '10.1.0' }, open()))
    expect(stdout).toContain(
      'SQLiteStorage: better-sqlite3 10.1.0 is older than 11. Run: npm install better-sqlite3@12',
    )
  })

  it.each(['', '*', '>=18', '<25', '20 || >=22'])('a better-sqlite3 for Node "%s" is loaded', async (node) => {
    const code = 'return class { close() {} constructor(path) { console.log(path) } }'
    const { stdout } = await runNode(withBetter({ code, version: '11.10.0', node }, open()))
    expect(stdout).toBe(':memory:\n:memory:\n')
  })

  it('says nothing on stderr', async () => {
    expect(await runNode(`${open()}; console.log('open')`)).toEqual({
      ...{ code: 0, signal: null, stdout: 'open\n', stderr: '' },
    })
  })
})

describe('SQLiteStorage: several processes', () => {
  const loadStorage = `const { SQLiteStorage } = require(${JSON.stringify(built('storage/sqlite/sqlite-storage.js'))})`

  it('may open the same new directory at the same moment', async () => {
    const directory = join(tempFolder(), 'new')
    const script = (name: string): string => `
      const storage = new SQLiteStorage({ directory: ${JSON.stringify(directory)} })
      const create = (id) => storage.create({ id, name: id, length: 1, createdAtMs: 0 })
      Promise.all(Array.from({ length: 50 }, (_, index) => create('${name}-' + index))).then(async (results) => {
        const shared = (await create('shared')) === 'created' ? 'first' : 'not first'
        await storage.close()
        console.log([...new Set(results), shared].join())
      })`
    const runs = await runTogether(loadStorage, ['a', 'b', 'c', 'd'].map(script))
    expect(runs.map(({ stderr }) => stderr)).toEqual(['', '', '', ''])
    expect(runs.map(({ stdout }) => stdout.trim()).sort()).toEqual([
      'created,first',
      'created,not first',
      'created,not first',
      'created,not first',
    ])
    const storage = new SQLiteStorage({ directory })
    for (const name of ['a', 'b', 'c', 'd']) expect(await storage.get(`${name}-49`)).toBeDefined()
    await storage.close()
  })

  it('may take an upload away from each other at any moment: the bytes stay right', async () => {
    const directory = tempFolder()
    const storage = new SQLiteStorage({ directory })
    await storage.create(newUpload(0, { id: 'contended' }))
    // Leases last no time at all, so every claim takes over, also between a write of the holder and its commit.
    const contender = `
      const storage = new SQLiteStorage({ directory: ${JSON.stringify(directory)} })
      const results = { ok: 0, fenced: 0 }
      ;(async () => {
        for (let round = 0; round < 400; round++) {
          const claim = await storage.claim('contended', { owner: String(process.pid), ttlMs: -1000 })
          const stage = await storage.openStage('contended', claim.fence, claim.upload.offset)
          let position = claim.upload.offset
          for (let part = 0; part < 3; part++) {
            await stage.write([Buffer.from([position & 255, (position + 1) & 255, (position + 2) & 255])])
            position += 3
            const result = await stage.commit({ to: position, durable: false })
            results[result]++
            if (result !== 'ok') break
          }
          await stage.close()
        }
        await storage.close()
        console.log(JSON.stringify(results))
      })()`
    const runs = await runTogether(loadStorage, [contender, contender])
    expect(runs.map(({ stderr }) => stderr)).toEqual(['', ''])
    const results = runs.map(({ stdout }) => JSON.parse(stdout) as { ok: number; fenced: number })
    expect(results.reduce((sum, { fenced }) => sum + fenced, 0)).toBeGreaterThan(0)

    const subject = new Subject(storage, { clock: { now: Date.now, advance: () => {} }, leaseMs: 10_000 })
    const length = 3 * results.reduce((sum, { ok }) => sum + ok, 0)
    const expected = Buffer.from(Array.from({ length }, (_, position) => position & 255))
    await subject.assertBytes('contended', expected)
    const { fence } = await subject.claim('contended')
    const stage = await storage.openStage('contended', fence, length)
    expect(await stage.commit({ to: length, length, complete: true, durable: false })).toBe('ok')
    await stage.close()
    await subject.assertBytes('contended', expected)
    await storage.close()
  })
})

describe('SQLiteStorage: the log', () => {
  it('is moved into the database while writing goes on, so that it does not grow for ever', async () => {
    const directory = tempFolder()
    const storage = new SQLiteStorage({ directory })
    const [database, log] = ['uploads.sqlite', 'uploads.sqlite-wal'].map((name) => join(directory, STATE, name)) as [
      string,
      string,
    ]
    const sizes: number[] = []
    for (let index = 0; index < 60_000; index++) {
      storage.create(newUpload(index, { metadata: 'x'.repeat(300) }))
      if (index % 100 !== 0) continue
      // Where nothing is awaited, no answer of the worker arrives.
      await new Promise((resolve) => setImmediate(resolve))
      sizes.push(statSync(log).size)
    }
    const MIB = 1024 * 1024
    expect(statSync(database).size).toBeGreaterThan(5 * MIB)
    expect(Math.max(...sizes)).toBeLessThan(128 * MIB)
    await storage.close()
    expect(existsSync(log)).toBe(false)

    const again = new SQLiteStorage({ directory })
    const count = openDatabase(database)
    expect(count.prepare('SELECT count(*) AS n FROM uploads').get()).toEqual({ n: 60_000 })
    count.close()
    await again.close()
  })

  it('is moved by the writer itself if no worker can be had', async () => {
    const onFailure = jest.fn()
    const path = join(tempFolder(), 'no-such-folder/database')
    const checkpointer = new Checkpointer({ path, driver: undefined, onFailure })
    for (let failure = 0; failure < 3; failure++) {
      expect(onFailure).not.toHaveBeenCalled()
      await checkpointer.run()
    }
    expect(onFailure).toHaveBeenCalledTimes(1)
    expect(checkpointer.run()).toBeUndefined()
    for (let write = 0; write < 5000; write++) checkpointer.wrote()
    await checkpointer.close()
    expect(onFailure).toHaveBeenCalledTimes(1)
  })

  it('the worker keeps no process alive, and ends with the storage', async () => {
    const run = await runNode(`
      const { SQLiteStorage } = require(${JSON.stringify(built('storage/sqlite/sqlite-storage.js'))})
      const write = (storage) => {
        for (let index = 0; index < 2500; index++) storage.create({ id: 'id' + index, name: 'id' + index, createdAtMs: 0 })
      }
      const closed = new SQLiteStorage({ directory: ${JSON.stringify(tempFolder())} })
      write(closed)
      closed.close().then(() => {
        console.log('closed')
        write(new SQLiteStorage({ directory: ${JSON.stringify(tempFolder())} }))
      })`)
    expect(run).toEqual({ code: 0, signal: null, stdout: 'closed\n', stderr: '' })
  })
})

it('no statement walks over all uploads', async () => {
  const directory = tempFolder()
  const database = openDatabase(join(directory, 'any.sqlite'))
  const prepare = jest.spyOn(Object.getPrototypeOf(database) as typeof database, 'prepare')
  const storage = new SQLiteStorage({ directory })
  const texts = prepare.mock.calls.map(([sql]) => sql).filter((sql) => /\buploads\b/.test(sql))
  prepare.mockRestore()
  await storage.expired({ unfinishedSinceMs: 0, finishedSinceMs: 0, limit: 1 })
  await storage.close()
  expect(texts.length).toBeGreaterThan(25)
  const tables = openDatabase(join(directory, STATE, 'uploads.sqlite'))
  const plans = texts.flatMap((sql) => {
    const values = sql
      .split('?')
      .slice(1)
      .map(() => 0)
    const steps = tables.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...values) as { detail: string }[]
    return steps.map(({ detail }) => ({ detail, sql }))
  })
  database.close()
  tables.close()
  expect(plans.length).toBeGreaterThan(texts.length / 2)
  // An index that has few of them is no walk over all.
  const few = /USING (COVERING )?INDEX uploads_(buried|due|unpublished|ready)\b/
  const scan = /^SCAN (uploads|final|partial|waiting|sharing)\b/
  // Once in each run of the system, before the first request.
  const atStart = /^UPDATE uploads SET (lease_until = 0|due_at = \? WHERE due_at > \?)/
  const walks = plans.filter(({ detail, sql }) => scan.test(detail) && !few.test(detail) && !atStart.test(sql))
  expect(walks).toEqual([])
  // Nor does the search for final uploads that wait for nothing any more look at those that do.
  const search = plans.filter(({ sql }) => sql.includes('waits_for = 0'))
  expect(search.map(({ detail }) => detail)).toEqual([
    expect.stringMatching(/^SEARCH uploads USING .*INDEX uploads_ready\b/),
  ])
  // A page of the list is a run of the primary key.
  const pages = plans.filter(({ sql }) => Object.values<string>(LIST_SQL).includes(sql))
  expect(pages.map(({ detail }) => detail)).toEqual([
    'SEARCH uploads USING PRIMARY KEY (id>?)',
    'SEARCH uploads USING PRIMARY KEY (id>? AND id<?)',
  ])
  // What is over and what is due lies together, in order: nothing is sorted, and what is kept for ever is not read.
  for (const index of ['uploads_unfinished (created_at<?)', 'uploads_finished (created_at<?)']) {
    const found = plans.filter(({ detail }) => detail === `SEARCH uploads USING INDEX ${index}`)
    expect(found).toHaveLength(1)
    expect(plans.filter(({ sql, detail }) => sql === found[0]?.sql && /TEMP B-TREE/.test(detail))).toEqual([])
  }
  const due = plans.filter(({ detail }) =>
    detail.startsWith('SEARCH uploads USING INDEX uploads_due (step=? AND due_at'),
  )
  expect(due).toHaveLength(1)
  expect(plans.filter(({ sql, detail }) => sql === due[0]?.sql && /TEMP B-TREE/.test(detail))).toEqual([])
})

it('only the first search for expired uploads makes an index for it', async () => {
  const directory = tempFolder()
  const storage = new SQLiteStorage({ directory })
  const tables = openDatabase(join(directory, STATE, 'uploads.sqlite'))
  const indexes = () =>
    (tables.prepare("SELECT name FROM sqlite_schema WHERE type = 'index'").all() as { name: string }[])
      .map(({ name }) => name)
      .filter((name) => /finished/.test(name))
  await storage.create(newUpload(1))
  expect(indexes()).toEqual([])
  expect(
    await storage.expired({ unfinishedSinceMs: Number.MAX_SAFE_INTEGER, finishedSinceMs: undefined, limit: 10 }),
  ).toHaveLength(1)
  expect(indexes()).toEqual(['uploads_unfinished'])
  await storage.expired({ unfinishedSinceMs: 0, finishedSinceMs: 0, limit: 10 })
  expect(indexes()).toEqual(['uploads_unfinished', 'uploads_finished'])
  tables.close()
  await storage.close()
})
