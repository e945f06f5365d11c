// What many requests ask of the database at the same time is done in common transactions, and none of them suffers from
// another.
import { join } from 'node:path'
import { Batch } from '../../src/storage/sqlite/batch.js'
import { type Database, openDatabase } from '../../src/storage/sqlite/driver.js'
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
  writes = new Writes(database, () => {})
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

describe('while another process has the database', () => {
  beforeEach(() => {
    database.exec('PRAGMA busy_timeout = 0')
    other.exec('BEGIN IMMEDIATE')
  })

  it('writes wait, in their order, and hold up nobody', async () => {
    const order: number[] = []
    const jobs = [1, 2, 3].map((number) => batch.write(insert(number)).then(() => order.push(number)))
    const turns = jest.fn()
    for (let turn = 0; turn < 50; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      turns()
      // Reads wait for nobody.
      expect(await batch.read(() => seen(database))).toBe(0)
    }
    jobs.push(batch.write(insert(4)).then(() => order.push(4)))
    expect(order).toEqual([])
    other.exec('COMMIT')
    await Promise.all(jobs)
    expect(turns).toHaveBeenCalledTimes(50)
    expect(order).toEqual([1, 2, 3, 4])
  })

  it('each for so long, and then fails without having been tried', async () => {
    batch = new Batch(writes, { patienceMs: 100 })
    const run = jest.fn()
    const jobs = Array.from({ length: 150 }, () => batch.write(run))
    const outcomes = Promise.allSettled(jobs)
    await new Promise((resolve) => setTimeout(resolve, 60))
    const later = batch.write(insert(1))
    expect((await outcomes).map(({ status }) => status)).toEqual(jobs.map(() => 'rejected'))
    expect(run).not.toHaveBeenCalled()
    other.exec('ROLLBACK')
    expect(await later).toBe(1)
  })

  it('what waits is done before it closes', async () => {
    const job = batch.write(insert(1))
    const closed = jest.fn()
    const closing = batch.close().then(closed)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(closed).not.toHaveBeenCalled()
    other.exec('COMMIT')
    expect(await job).toBe(1)
    await closing
  })
})

describe('on a full disk', () => {
  const full = (): Error => Object.assign(new Error('database or disk is full'), { code: 'SQLITE_FULL' })
  let space: number
  let makeRoom: jest.Mock<Promise<void>, []>

  beforeEach(() => {
    space = 0
    makeRoom = jest.fn(async () => {})
    batch = new Batch(writes, { makeRoom })
  })

  function insertWithin(number: number): () => number {
    return () => {
      if (space-- <= 0) throw full()
      return insert(number)()
    }
  }

  it('room is made once for all that wait, and it is tried again', async () => {
    makeRoom.mockImplementation(async () => {
      space = 100
    })
    const jobs = [1, 2, 3].map((number) => batch.write(insertWithin(number)))
    jobs.push(batch.alone(insertWithin(4)))
    expect(await Promise.all(jobs)).toEqual([1, 2, 3, 4])
    expect(makeRoom).toHaveBeenCalledTimes(1)
    expect(seen(other)).toBe(4)
  })

  it.each(['there is none', 'making it fails'])(
    'if %s, what needs some fails, and other things do not',
    async (why) => {
      if (why !== 'there is none') makeRoom.mockRejectedValue(new Error('EIO'))
      const jobs = [batch.write(insertWithin(1)), batch.write(insert(2)), batch.alone(insertWithin(3))]
      const outcomes = await Promise.allSettled(jobs)
      expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'rejected'])
      expect(outcomes[0]).toMatchObject({ reason: { code: 'SQLITE_FULL' } })
      expect(makeRoom).toHaveBeenCalledTimes(1)
    },
  )
})

it('a job that wants to be alone shares its transaction with no other', async () => {
  const transaction = jest.spyOn(writes, 'transaction')
  const counts: number[] = []
  const count = (): number => counts.push(seen(other))
  const jobs = [batch.write(insert(1)), batch.write(insert(2)), batch.alone(count), batch.write(insert(3))]
  await Promise.all(jobs)
  expect(counts).toEqual([2])
  // The last one is a statement of its own.
  expect(transaction).toHaveBeenCalledTimes(2)
})
