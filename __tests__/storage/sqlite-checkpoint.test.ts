// The write-ahead log is moved into the database, and started over, by a worker: nobody else has to sync it.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { Batch } from '../../src/storage/sqlite/batch.js'
import { Checkpointer, type CheckpointOutcome } from '../../src/storage/sqlite/checkpointer.js'
import { type Database, openDatabase } from '../../src/storage/sqlite/driver.js'
import { prepareDatabase, SCHEMA_VERSION } from '../../src/storage/sqlite/schema.js'
import { Writes } from '../../src/storage/sqlite/writes.js'
import { waitUntil } from '../support/example.js'
import { timesStartedOver } from '../support/write-ahead-log.js'
import { built, runNode } from './support/run-node.js'
import { tempFolder } from './support/temp-folder.js'

let path: string
let database: Database
let checkpointer: Checkpointer
let outcomes: CheckpointOutcome[]
const others: Database[] = []

beforeEach(() => {
  path = join(tempFolder(), 'any.sqlite')
  outcomes = []
  database = openAnother()
  checkpointer = checkpointerWith({})
})

afterEach(async () => {
  for (const other of others.splice(0)) other.close()
  await checkpointer.close()
})

function openAnother(): Database {
  const another = openDatabase(path)
  prepareDatabase(another)
  others.push(another)
  return another
}

function checkpointerWith(options: { readonly maxLogPages?: number }): Checkpointer {
  return new Checkpointer({
    path,
    driver: undefined,
    onDone: (outcome) => outcomes.push(outcome),
    onFailure: () => outcomes.push('failed'),
    ...options,
  })
}

let written = 0
function write(by = database): void {
  by.exec(`INSERT INTO tombstones (id, status, until) VALUES ('${++written}', 410, 0)`)
}

const restarts = (): number => timesStartedOver(`${path}-wal`)

/** Somebody else keeps the database as long as a checkpoint waits for it, and writes nothing. */
async function runWhileItIsKept(): Promise<void> {
  const keeper = openAnother()
  write()
  keeper.exec('BEGIN IMMEDIATE')
  await checkpointer.run()
  keeper.exec('COMMIT')
}

it('when all is moved the worker starts the log over, and not the next write', async () => {
  for (let round = 1; round <= 3; round++) {
    const before = restarts()
    write()
    await checkpointer.run()
    expect(restarts()).toBe(before + 1)
    for (const by of [database, openAnother(), database]) write(by)
    expect(restarts()).toBe(before + 1)
  }
  expect(outcomes).toEqual(['done', 'done', 'done'])
})

it('a database that is opened has a log whose head is written, also after all others have closed it', async () => {
  write()
  for (const other of others.splice(0)) other.close()
  database = openAnother()
  const before = statSync(`${path}-wal`).size
  expect(before).toBeGreaterThan(32)
  const begun = restarts()
  write()
  expect(restarts()).toBe(begun)
  expect(statSync(`${path}-wal`).size).toBeGreaterThan(before)
})

it('as long as somebody reads what was there before, it goes on as it is', async () => {
  const before = restarts()
  const reader = openAnother()
  write()
  reader.exec('BEGIN')
  reader.prepare('SELECT count(*) FROM tombstones').get()
  write()
  await checkpointer.run()
  write()
  expect(restarts()).toBe(before)
  reader.exec('COMMIT')
  await checkpointer.run()
  expect(restarts()).toBe(before + 1)
})

it('one who keeps the database and then writes nothing is waited for: nobody else starts the log over', async () => {
  const before = restarts()
  await runWhileItIsKept()
  expect(outcomes).toEqual(['done'])
  write()
  expect(restarts()).toBe(before)
  await checkpointer.run()
  expect(restarts()).toBe(before + 1)
})

it('… and if nobody writes after that, the worker starts it over by itself', async () => {
  const before = restarts()
  await runWhileItIsKept()
  await waitUntil(() => restarts() === before + 1)
  write()
  expect(restarts()).toBe(before + 1)
})

it('the version that a later package has given the database meanwhile stays', async () => {
  database.exec(`PRAGMA user_version = ${SCHEMA_VERSION + 1}`)
  await checkpointer.run()
  expect(restarts()).toBeGreaterThan(0)
  expect(database.prepare('PRAGMA user_version').get()).toEqual({ user_version: SCHEMA_VERSION + 1 })
})

it('a worker that can not be started takes nothing back, and is tried again', async () => {
  const { stdout, stderr } = await runNode(`
    const threads = require('node:worker_threads')
    const { Worker } = threads
    let failures = 0
    threads.Worker = class extends Worker {
      constructor(...args) {
        if (failures++ === 0) throw Object.assign(new Error('no thread'), { code: 'ERR_WORKER_INIT_FAILED' })
        super(...args)
      }
    }
    const { SQLiteStorage } = require(${JSON.stringify(built('storage/sqlite/sqlite-storage.js'))})
    const storage = new SQLiteStorage({ directory: ${JSON.stringify(tempFolder())} })
    ;(async () => {
      const results = new Set()
      for (let index = 0; index < 2100; index++) results.add(await storage.create({ id: 'id' + index, name: 'id' + index, createdAtMs: 0 }))
      await storage.close()
      console.log([...results].join(), failures)
    })()`)
  expect({ stdout, stderr }).toEqual({ stdout: 'created 2\n', stderr: '' })
})

/** Runs a storage whose checkpoint workers are handed to `onWorker(worker, number)`; `main` is its program. */
function runWithWorkers({ onWorker, main }: { onWorker: string; main: string }) {
  return runNode(`
    const threads = require('node:worker_threads')
    const { Worker } = threads
    const workers = []
    threads.Worker = class extends Worker {
      constructor(...args) {
        super(...args)
        workers.push(this)
        ;(${onWorker})(this, workers.length)
      }
    }
    const { SQLiteStorage } = require(${JSON.stringify(built('storage/sqlite/sqlite-storage.js'))})
    const storage = new SQLiteStorage({ directory: ${JSON.stringify(tempFolder())} })
    let made = 0
    async function create(count) {
      for (const end = made + count; made < end; ) {
        const id = 'id' + made++
        if ((await storage.create({ id, name: id, createdAtMs: 0 })) !== 'created') throw new Error(id)
      }
    }
    const timeout = setTimeout(() => { console.log('close() has not settled'); process.exit(1) }, 30_000)
    ;(async () => {
      ${main}
      await storage.close()
      clearTimeout(timeout)
      console.log('closed after', workers.length)
    })()`)
}

it('a worker that ends without an error is followed by another one, and close() settles', async () => {
  const { stdout, stderr } = await runWithWorkers({
    onWorker: '() => {}',
    main: `
      await create(1000)
      await workers[0].terminate()
      await create(1000)`,
  })
  expect({ stdout, stderr }).toEqual({ stdout: 'closed after 2\n', stderr: '' })
})

it('a worker that ends in the middle of a checkpoint keeps nobody waiting', async () => {
  const { stdout, stderr } = await runWithWorkers({
    onWorker: "(worker) => { worker.postMessage = (message) => message === 'checkpoint' && worker.terminate() }",
    main: 'await create(1000)',
  })
  expect({ stdout, stderr }).toEqual({ stdout: 'closed after 1\n', stderr: '' })
})

it('workers that end again and again are given up, with one warning that says what it costs', async () => {
  const { stdout, stderr } = await runWithWorkers({
    onWorker: '(worker) => worker.terminate()',
    main: `
      for (let round = 0; round < 6; round++) {
        const ended = new Promise((resolve) => workers.at(-1)?.threadId > 0 ? workers.at(-1).once('exit', resolve) : resolve())
        await create(1000)
        await ended
        await new Promise((resolve) => setImmediate(resolve))
      }`,
  })
  expect(stdout).toBe('closed after 3\n')
  expect(stderr.match(/RESUMABLE_UPLOAD_NO_CHECKPOINT_WORKER/g)).toHaveLength(1)
  expect(stderr).toMatch(/the main thread does them from now on/i)
})

it('who waits for a checkpoint behind another one keeps the process alive', async () => {
  const { stdout, code } = await runNode(`
    const { Checkpointer } = require(${JSON.stringify(built('storage/sqlite/checkpointer.js'))})
    const { openDatabase } = require(${JSON.stringify(built('storage/sqlite/driver.js'))})
    const { prepareDatabase } = require(${JSON.stringify(built('storage/sqlite/schema.js'))})
    const path = ${JSON.stringify(join(tempFolder(), 'any.sqlite'))}
    prepareDatabase(openDatabase(path))
    const checkpointer = new Checkpointer({ path, driver: undefined, onFailure: () => console.log('failed') })
    for (let write = 0; write < 1000; write++) checkpointer.wrote()
    checkpointer.run().then(() => console.log('settled'))`)
  expect([stdout, code]).toEqual(['settled\n', 0])
})

it.each([1, 3])(
  'under constant load of %s connections the log is started over, too, and nothing is lost',
  async (count) => {
    checkpointer = checkpointerWith({ maxLogPages: 50 })
    let committed = 0
    const batches = Array.from({ length: count }, (_, index) => {
      const by = index === 0 ? database : openAnother()
      by.exec('PRAGMA busy_timeout = 0')
      return { by, batch: new Batch(new Writes(by, () => {})) }
    })
    const before = restarts()
    const loads = batches.map(async ({ by, batch }) => {
      while (restarts() < before + 5) {
        await batch.write(() => write(by))
        committed++
      }
    })
    const checkpoints = (async () => {
      while (restarts() < before + 5) await checkpointer.run()
    })()
    await Promise.all([...loads, checkpoints])
    const { count: rows } = database.prepare('SELECT count(*) AS count FROM tombstones').get() as { count: number }
    expect(rows).toBe(committed)
    expect(outcomes).not.toContain('failed')
  },
)
