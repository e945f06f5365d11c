// What many requests ask of the database at the same time is done in common transactions, and none of them suffers from
// another.
import { join } from 'node:path'
import { Batch } from '../../src/storage/sqlite/batch.js'
import { type Database, openDatabase } from '../../src/storage/sqlite/driver.js'
import { Reserve } from '../../src/storage/sqlite/reserve.js'
import { Writes } from '../../src/storage/sqlite/writes.js'
import { tempFolder } from './support/temp-folder.js'

let database: Database
let other: Database
let writes: Writes
let batch: Batch

beforeEach(() => {
  const path = join(tempFolder(), 'batch.sqlite')
  database = openDatabase(path)
  database.exec('PRAGMA journal_mode = WAL; CREATE TABLE numbers (number INTEGER PRIMARY KEY) STRICT')
  other = openDatabase(path)
  writes = new Writes(database, new Reserve(join(tempFolder(), 'reserve')), () => {})
  batch = new Batch(writes)
})

afterEach(() => {
  database.close()
  other.close()
})

function insert(number: number): () => number {
  return () => {
    database.prepare('INSERT INTO numbers (number) VALUES (?)').run(number)
    return number
  }
}

function seen(by: Database): number {
  return (by.prepare('SELECT count(*) AS count FROM numbers').get() as { count: number }).count
}

it('is one transaction: another connection sees nothing of it, or all', async () => {
  const during: number[] = []
  const jobs = [1, 2, 3].map((number) =>
    batch.write(() => {
      during.push(seen(other))
      return insert(number)()
    }),
  )
  expect(await Promise.all(jobs)).toEqual([1, 2, 3])
  expect(during).toEqual([0, 0, 0])
  expect(seen(other)).toBe(3)
})

it('settles nothing before it is committed', async () => {
  const counts = [1, 2].map(async (number) => {
    await batch.write(insert(number))
    return seen(other)
  })
  expect(await Promise.all(counts)).toEqual([2, 2])
})

it('a job that fails fails alone, and leaves nothing behind', async () => {
  const first = batch.write(insert(1))
  const failing = batch.write(() =>
    writes.transaction(() => {
      insert(10)()
      insert(1)()
    }),
  )
  const results = await Promise.allSettled([first, failing, batch.write(insert(2))])
  expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(database.prepare('SELECT number FROM numbers ORDER BY number').all()).toMatchObject([
    { number: 1 },
    { number: 2 },
  ])
})

it('lets others write in between when there is a lot to do', async () => {
  other.exec('PRAGMA busy_timeout = 0')
  const done: Promise<unknown>[] = []
  for (let number = 1; number <= 200; number++) done.push(batch.write(insert(number)))
  expect(seen(other)).toBe(0)
  batch.flush()
  await Promise.all(done)
  expect(seen(other)).toBe(200)
})

it('a read sees what was committed before it was asked for, and what was asked to be written before it', async () => {
  other.exec('INSERT INTO numbers (number) VALUES (7)')
  const read = batch.read(() => seen(database))
  const both = batch.read(() => seen(database))
  void batch.write(insert(8))
  expect(await Promise.all([read, both])).toEqual([2, 2])
})

it('waits but once for a database that another process does not let go of, and then all fail', async () => {
  database.exec('PRAGMA busy_timeout = 50')
  const begins = jest.spyOn(writes, 'transaction')
  other.exec('BEGIN IMMEDIATE')
  const run = jest.fn()
  const jobs = Array.from({ length: 150 }, () => batch.write(run))
  const outcomes = await Promise.allSettled(jobs)
  expect(run).not.toHaveBeenCalled()
  other.exec('ROLLBACK')
  expect(outcomes.map(({ status }) => status)).toEqual(jobs.map(() => 'rejected'))
  expect(begins).toHaveBeenCalledTimes(1)
  expect(await batch.write(insert(1))).toBe(1)
})
