// Tidying up beside those who are still at work, in this process or another one: it takes nothing away from them.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CombinedStorage } from '../../src/storage/combined-storage.js'
import { FileBlobs } from '../../src/storage/files/file-blobs.js'
import { MemoryRecords } from '../../src/storage/memory/memory-records.js'
import { BatchedRecords } from '../../src/storage/sqlite/batched-records.js'
import { SQLiteRecords } from '../../src/storage/sqlite/sqlite-records.js'
import { bytes, manualClock, newUpload, Subject } from '../../src/testing/subject.js'
import { type Deferred, deferred } from '../core/support.js'
import { tempFolder } from './support/temp-folder.js'

const LEASE_MS = 60_000

const opened: CombinedStorage[] = []

afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close()
})

/** Two processes that share a directory. */
function twoProcesses() {
  const directory = tempFolder()
  const clock = manualClock()
  const start = () => {
    const records = new SQLiteRecords({ path: join(directory, 'u.sqlite'), now: clock.now, boot: 'one' })
    const blobs = new FileBlobs({ directory: join(directory, 'files'), partsDirectory: join(directory, 'parts') })
    const batched = new BatchedRecords(records)
    const storage = new CombinedStorage(batched, blobs, clock.now)
    opened.push(storage)
    return { records: batched, blobs, storage, subject: new Subject(storage, { clock, leaseMs: LEASE_MS }) }
  }
  return {
    clock,
    one: start(),
    other: start(),
    file: (name: string) => join(directory, 'files', name),
    part: (blob: string) => join(directory, 'parts', blob),
    parts: () => readdirSync(join(directory, 'parts')).sort(),
  }
}

/** Syncs of the log wait until `gate` opens; `begun` says that one does. */
function slowSync(records: BatchedRecords): { begun: Deferred<void>; gate: Deferred<void> } {
  const [begun, gate] = [deferred(), deferred()]
  const sync = records.sync.bind(records)
  jest.spyOn(records, 'sync').mockImplementation(async () => {
    begun.resolve()
    await gate.promise
    await sync()
  })
  return { begun, gate }
}

async function tidyUp(storage: CombinedStorage): Promise<void> {
  while ((await storage.vacuum(20)).more);
}

const PARTIAL = { concat: { header: 'partial', partials: undefined } }

async function finished(subject: Subject, name: string, content = bytes(100)): Promise<string> {
  const { id } = await subject.create({ length: content.length, name })
  await subject.append(id, content, { complete: true, durable: true })
  return id
}

/** A removal of the file `a` whose record is buried, and waits to reach the disk. */
async function removalUnderWay() {
  const { one, other, file } = twoProcesses()
  const id = await finished(one.subject, 'a')
  const { fence } = await one.subject.claim(id)
  const { begun, gate } = slowSync(one.records)
  const removal = one.storage.remove(id, fence, { durable: true })
  await begun.promise
  return { one, other, file, id, fence, gate, removal }
}

describe('beside a removal', () => {
  it('it is left to whoever does it, as long as that one lives', async () => {
    const { one, other, file, id, fence, gate, removal } = await removalUnderWay()
    await other.subject.clock.advance(LEASE_MS - 1)
    // Renewed as all claims are, although nobody sees the upload any more.
    expect(await one.storage.renew(id, fence, LEASE_MS)).toBe(true)
    await other.subject.clock.advance(LEASE_MS - 1)
    await tidyUp(other.storage)
    expect(existsSync(file('a'))).toBe(true)
    gate.resolve()
    expect(await removal).toBe('removed')
    expect(existsSync(file('a'))).toBe(false)
    expect(await other.storage.create(newUpload(0, { id, name: 'a' }))).toBe('created')
  })

  it('it is finished as soon as whoever did it has given up', async () => {
    const { one, other, file } = twoProcesses()
    const id = await finished(one.subject, 'a')
    const { fence } = await one.subject.claim(id)
    jest.spyOn(one.blobs, 'removePlaced').mockRejectedValueOnce(new Error('EIO'))
    await expect(one.storage.remove(id, fence, { durable: true })).rejects.toThrow('EIO')
    await one.storage.release(id, fence)
    await tidyUp(other.storage)
    expect(existsSync(file('a'))).toBe(false)
    expect(await other.storage.create(newUpload(0, { id, name: 'a' }))).toBe('created')
  })

  it('those that can not be finished hide no others, and are said once', async () => {
    const { one, file } = twoProcesses()
    const [stuck, last] = [Array.from({ length: 25 }, (_, index) => `stuck-${10 + index}`), 'very-last']
    for (const id of [...stuck, last]) {
      await one.subject.create({ id, length: 5, name: `name-of-${id}` })
      await one.subject.append(id, bytes(5), { complete: true })
      const { fence } = await one.subject.claim(id)
      // As after a kill.
      await one.records.bury(id, fence, {})
    }
    await one.subject.expire()
    const removePlaced = one.blobs.removePlaced.bind(one.blobs)
    const tried: string[] = []
    jest.spyOn(one.blobs, 'removePlaced').mockImplementation(async (removed, durable) => {
      tried.push(removed.name)
      if (removed.name.includes('stuck')) throw new Error(`EACCES ${removed.name}`)
      await removePlaced(removed, durable)
    })
    const failures: unknown[] = []
    for (let pass = 0; pass < 4; pass++) failures.push(...((await one.storage.vacuum(20)).failures ?? []))
    expect(existsSync(file(`name-of-${last}`))).toBe(false)
    expect(failures.map(String).sort()).toEqual(stuck.map((id) => `Error: EACCES name-of-${id}`))
    // None is left out for good.
    expect(tried.length).toBe(80)
    expect(tried.filter((name) => name === `name-of-${stuck[24]}`).length).toBeGreaterThan(1)
  })

  it('the file of a new upload stays that has the name of one which another process has removed meanwhile', async () => {
    const { one, other, file } = twoProcesses()
    for (const name of ['a', 'b']) {
      const id = await finished(one.subject, name)
      const { fence } = await one.subject.claim(id)
      // As after a kill.
      await one.records.bury(id, fence, {})
    }
    await one.subject.expire()
    const [reached, gate] = [deferred(), deferred()]
    const removePlaced = one.blobs.removePlaced.bind(one.blobs)
    jest.spyOn(one.blobs, 'removePlaced').mockImplementation(async (...args) => {
      reached.resolve()
      await gate.promise
      await removePlaced(...args)
    })
    const tidying = one.storage.vacuum(20)
    await reached.promise
    await tidyUp(other.storage)
    const id = await finished(other.subject, 'b', bytes(200, 2))
    gate.resolve()
    await tidying
    expect(readFileSync(file('b')).equals(bytes(200, 2))).toBe(true)
    await other.subject.assertBytes(id, bytes(200, 2))
  })

  it.each(['done', 'not done'])('that took longer than its claim lasts, and was %s by the vacuum', async (what) => {
    const { one, other, file, gate, removal } = await removalUnderWay()
    await one.subject.expire()
    if (what === 'done') {
      await tidyUp(other.storage)
      await finished(other.subject, 'a', bytes(200, 2))
    }
    gate.resolve()
    expect(await removal).toBe('removed')
    expect(existsSync(file('a'))).toBe(what === 'done')
  })

  it('the claim of a removed upload can be renewed in memory as well', () => {
    const records = new MemoryRecords(() => 0)
    records.create(newUpload(0, { id: 'id' }))
    const claimed = records.claim('id', { owner: 'A', ttlMs: 1 })
    const fence = claimed && 'fence' in claimed ? claimed.fence : 0
    const upload = records.bury('id', fence, {})
    expect(records.renew('id', fence, 1)).toBe(true)
    if (typeof upload !== 'string') records.forget(upload)
    expect(records.renew('id', fence, 1)).toBe(false)
  })
})

describe('does not come before the disk', () => {
  it.each(['a file', 'a partial upload'])('%s goes once its burial is there', async (what) => {
    const { one, other, file, parts } = twoProcesses()
    const { id } = await one.subject.create({ length: 100, name: 'a', ...(what !== 'a file' && PARTIAL) })
    await one.subject.append(id, bytes(100), { complete: true, durable: true })
    const isThere = (): boolean => existsSync(file('a')) || parts().length > 0
    const { fence } = await one.subject.claim(id)
    await one.records.bury(id, fence, {})
    await one.subject.expire()
    const { begun, gate } = slowSync(other.records)
    const tidying = other.storage.vacuum(20)
    await begun.promise
    expect(isThere()).toBe(true)
    gate.resolve()
    expect(await tidying).toEqual({ more: false })
    expect(isThere()).toBe(false)
  })

  it('nor beside the removal of a partial upload that waits for the disk itself', async () => {
    const { one, other, parts } = twoProcesses()
    const { id } = await one.subject.create({ length: 100, ...PARTIAL })
    await one.subject.append(id, bytes(100), { complete: true, durable: true })
    const { fence } = await one.subject.claim(id)
    const [removing, tidying] = [slowSync(one.records), slowSync(other.records)]
    const removal = one.storage.remove(id, fence, { durable: true })
    await removing.begun.promise
    const step = other.storage.vacuum(20)
    await tidying.begun.promise
    expect(parts()).toEqual([id])
    tidying.gate.resolve()
    await step
    removing.gate.resolve()
    expect(await removal).toBe('removed')
    expect(parts()).toEqual([])
  })

  it('and keeps what it was about to remove, if a new upload has the id once it has been there', async () => {
    const { one, other, part, parts } = twoProcesses()
    writeFileSync(part('id'), 'left')
    const { begun, gate } = slowSync(other.records)
    const step = other.storage.vacuum(20)
    await begun.promise
    await one.subject.create({ id: 'id', length: 200 })
    await one.subject.append('id', bytes(100), { durable: true })
    gate.resolve()
    await step
    expect(parts()).toEqual(['id'])
    await one.subject.assertBytes('id', bytes(100))
  })

  it('and removes nothing if the disk fails, but says so', async () => {
    const { one, other, file } = twoProcesses()
    const id = await finished(one.subject, 'a')
    const { fence } = await one.subject.claim(id)
    await one.records.bury(id, fence, {})
    await one.subject.expire()
    jest.spyOn(other.records, 'sync').mockRejectedValueOnce(new Error('EIO'))
    expect(await other.storage.vacuum(20)).toEqual({ more: false, failures: [new Error('EIO')] })
    expect(existsSync(file('a'))).toBe(true)
    await tidyUp(other.storage)
    expect(existsSync(file('a'))).toBe(false)
  })
})

describe('of several blobs of one upload', () => {
  it('removes all that are left, in one pass and under one claim', async () => {
    const { one, other, part, parts } = twoProcesses()
    const { id } = await one.subject.create({ length: 200 })
    await one.subject.append(id, bytes(100))
    for (const left of ['3.flat', '5.flat', '7', '9']) writeFileSync(part(`${id}.${left}`), 'left')
    const claim = jest.spyOn(other.records, 'claim')
    const sync = jest.spyOn(other.records, 'sync')
    expect(await other.storage.vacuum(20)).toEqual({ more: false })
    expect(parts()).toEqual([id])
    expect([claim.mock.calls.length, sync.mock.calls.length]).toEqual([1, 1])
  })

  it('goes on past one that can not be removed', async () => {
    const { one, other, part, parts } = twoProcesses()
    const { id } = await one.subject.create({ length: 200 })
    mkdirSync(part(`${id}.3`))
    for (const left of ['2', '4']) writeFileSync(part(`${id}.${left}`), 'left')
    expect((await other.storage.vacuum(20)).failures).toHaveLength(1)
    expect(parts()).toEqual([`${id}.3`])
  })

  it('gives the claim back if the disk fails', async () => {
    const { one, other, part, parts } = twoProcesses()
    const { id } = await one.subject.create({ length: 200 })
    writeFileSync(part(`${id}.3`), 'left')
    jest.spyOn(other.records, 'sync').mockRejectedValueOnce(new Error('EIO'))
    expect((await other.storage.vacuum(20)).failures).toEqual([new Error('EIO')])
    expect((await one.subject.get(id)).holder).toBeUndefined()
    await tidyUp(other.storage)
    expect(parts()).toEqual([])
  })
})

describe('beside a completion that waits for the disk', () => {
  const [FIRST, REST] = [bytes(40_000, 1), bytes(10_000, 2)]

  async function completing() {
    const processes = twoProcesses()
    const { one } = processes
    const { id } = await one.subject.create({ length: 50_000, name: 'a' })
    await one.subject.append(id, FIRST, { durable: true })
    const stage = await one.subject.open(id)
    await stage.write(REST)
    const { begun, gate } = slowSync(one.records)
    const commit = stage.commit({ complete: true, durable: true, release: true })
    await begun.promise
    return { ...processes, id, stage, gate, commit }
  }

  const BYSTANDERS = [
    ['the vacuum', (subject: Subject) => tidyUp(subject.storage as CombinedStorage)],
    ['a reader', (subject: Subject, id: string) => subject.assertBytes(id, FIRST, REST)],
  ] as const

  it.each(BYSTANDERS)('%s does not give the file its name', async (_who, act) => {
    const { other, id, stage, gate, commit, file, parts } = await completing()
    await act(other.subject, id)
    expect([existsSync(file('a')), parts()]).toEqual([false, [id]])
    gate.resolve()
    expect(await commit).toBe('ok')
    await stage.close()
    expect([existsSync(file('a')), parts()]).toEqual([true, []])
  })

  it.each(BYSTANDERS)('%s takes nothing away that is needed if the disk fails', async (_who, act) => {
    const { other, id, stage, gate, commit } = await completing()
    await act(other.subject, id)
    gate.reject(new Error('EIO'))
    await expect(commit).rejects.toThrow('EIO')
    await stage.close()
    await other.subject.release(id, stage.fence)
    await other.subject.assertBytes(id, FIRST)
    await other.subject.append(id, REST, { complete: true, durable: true })
    await other.subject.assertBytes(id, FIRST, REST)
  })

  it.each([
    ['the vacuum', ({ storage }: Subject) => (storage as CombinedStorage).vacuum(20)],
    [
      'who publishes late',
      ({ storage }: Subject, id: string) => storage.publish?.(id, { durable: true, retryAfterMs: 1000 }),
    ],
  ])('%s gives the file its name once the claim has run out, but after the record', async (_who, act) => {
    const { one, other, file } = twoProcesses()
    const { id } = await one.subject.create({ length: 50_000, name: 'a' })
    const stage = await one.subject.open(id)
    await stage.write(FIRST, REST)
    // As after a kill.
    const place = jest.spyOn(one.blobs, 'place').mockImplementation(() => {
      throw new Error('EACCES')
    })
    await stage.commit({ complete: true, completion: { owner: undefined, ttlMs: 0 } })
    await stage.close()
    place.mockRestore()
    await one.subject.expire()
    const { begun, gate } = slowSync(other.records)
    const acting = act(other.subject, id)
    await begun.promise
    expect(existsSync(file('a'))).toBe(false)
    gate.resolve()
    await acting
    expect(readFileSync(file('a')).length).toBe(50_000)
  })

  it('a reader finds the file that gets its name just when it is looked for', async () => {
    const { other, id, stage, gate, commit } = await completing()
    const size = other.blobs.size.bind(other.blobs)
    const read = jest.spyOn(other.blobs, 'read')
    jest.spyOn(other.blobs, 'size').mockImplementationOnce((blob) => {
      const found = size(blob)
      other.blobs.place(blob, { name: 'a', identity: undefined, size: 50_000, overwrite: false })
      other.blobs.settlePlaced(blob)
      return found
    })
    await other.subject.assertBytes(id, FIRST, REST)
    expect(read.mock.calls.map(([from]) => from)).toMatchObject([{ blob: id }, { name: 'a' }])
    gate.resolve()
    await commit
    await stage.close()
  })

  it('a reader needs no disk that takes the record', async () => {
    const { one, other, id, stage, gate, commit, file } = await completing()
    await one.subject.expire()
    jest.spyOn(other.records, 'sync').mockRejectedValueOnce(new Error('EIO'))
    await other.subject.assertBytes(id, FIRST, REST)
    expect(existsSync(file('a'))).toBe(false)
    gate.resolve()
    await commit
    await stage.close()
  })

  it('the vacuum names no upload that was removed meanwhile, nor one that has its id', async () => {
    const { one, other, id, stage, gate, commit, file } = await completing()
    gate.resolve()
    await commit
    await stage.close()
    await one.blobs.takeBack({ name: 'a', identity: undefined, size: 50_000, overwrite: false }, id)
    const syncing = slowSync(other.records)
    const step = other.storage.vacuum(20)
    await syncing.begun.promise
    const { fence } = await one.subject.claim(id)
    expect(await one.storage.remove(id, fence)).toBe('removed')
    await one.subject.create({ id, name: 'b', length: 200, createdAtMs: 1 })
    await one.subject.append(id, FIRST.subarray(0, 100))
    syncing.gate.resolve()
    expect(await step).toEqual({ more: false })
    expect(existsSync(file('b'))).toBe(false)
    await one.subject.assertBytes(id, FIRST.subarray(0, 100))
  })
})
