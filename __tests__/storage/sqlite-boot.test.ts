// What processes held before the system was started the last time is free, wherever the clock stands.
import { SQLiteStorage } from '../../src/storage/sqlite/sqlite-storage.js'
import { Subject } from '../../src/testing/subject.js'
import { tempFolder } from './support/temp-folder.js'

const HOUR_MS = 3_600_000

let directory: string
let now: number
let open: SQLiteStorage[]

beforeEach(() => {
  directory = tempFolder()
  now = 100 * HOUR_MS
  open = []
})

afterEach(async () => {
  for (const storage of open) await storage.close()
})

function start(boot: string): { storage: SQLiteStorage; subject: Subject } {
  const storage = new SQLiteStorage({ directory, boot, now: () => now })
  open.push(storage)
  return { storage, subject: new Subject(storage, { clock: { now: () => now, advance: () => {} }, leaseMs: HOUR_MS }) }
}

/** As a power loss leaves them: an upload that is held, a hook under way, and the right to sweep. */
async function leave(boot: string): Promise<{ held: string; due: string }> {
  const { storage, subject } = start(boot)
  const [held, due] = [await subject.create({ length: 3 }), await subject.create({ length: 3 })]
  const completion = { owner: 'A', ttlMs: HOUR_MS }
  await subject.append(due.id, Buffer.from('abc'), { complete: true, completion })
  await subject.claim(held.id)
  await storage.lease('sweep', { owner: 'A', ttlMs: HOUR_MS })
  return { held: held.id, due: due.id }
}

it('claims, tries of hooks and the lease of the sweeper are free in another run of the system', async () => {
  const { held, due } = await leave('one')
  now -= HOUR_MS
  const { storage, subject } = start('two')
  await subject.claim(held, 'B')
  expect(await storage.dueCompletions({ step: 'hook', maxBytes: 1000, limit: 10 })).toEqual([due])
  expect((await storage.takeCompletion(due, { owner: 'B', ttlMs: HOUR_MS }))?.attempt).toBe(2)
  expect(await storage.lease('sweep', { owner: 'B', ttlMs: 10 * HOUR_MS })).toBe(true)
})

it('they are not in the same one', async () => {
  const { held } = await leave('one')
  const { storage } = start('one')
  expect(await storage.claim(held, { owner: 'B', ttlMs: HOUR_MS })).toMatchObject({ heldBy: { owner: 'A' } })
  expect(await storage.dueCompletions({ step: 'hook', maxBytes: 1000, limit: 10 })).toEqual([])
  expect(await storage.lease('sweep', { owner: 'B', ttlMs: HOUR_MS })).toBe(false)
})

it('what a process holds is not taken from it by the next one that starts in the same run', async () => {
  const { held } = await leave('one')
  await start('two').subject.claim(held, 'B')
  const { storage } = start('two')
  expect(await storage.claim(held, { owner: 'C', ttlMs: HOUR_MS })).toMatchObject({ heldBy: { owner: 'B' } })
})

it('a run of the system whose name is a guess ends nothing', async () => {
  const { held } = await leave('one')
  const { storage } = start('started 12345')
  expect(await storage.claim(held, { owner: 'B', ttlMs: HOUR_MS })).toMatchObject({ heldBy: { owner: 'A' } })
})

it('bytes of a holder that was not gone after all reach nothing', async () => {
  const first = start('one')
  const { id } = await first.subject.create({ length: 3 })
  const late = await first.subject.open(id)
  await late.write(Buffer.from('x'))
  const { subject } = start('two')
  await subject.append(id, Buffer.from('abc'), { complete: true })
  await late.write(Buffer.from('yz'))
  expect(await late.commit({ complete: true })).not.toBe('ok')
  await late.close()
  await subject.assertBytes(id, Buffer.from('abc'))
})
