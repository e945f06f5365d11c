// The contract of lists: page by page, each upload once.

import assert from 'node:assert/strict'
import type { Storage } from '../storage/storage.js'
import { bytes, type Subject, type Suite } from './subject.js'

/** Declares the tests of lists. */
export function testLists({ test, has }: Suite): void {
  if (!has('list')) return

  test('a list has every upload once, whatever the size of its pages', async (subject) => {
    const ids = await create(subject, 7)
    for (const limit of [1, 2, 3, 7, 100]) assert.deepEqual((await idsOf(subject.storage, limit)).sort(), ids)
  })

  test('a storage without uploads has one page, an empty one', async ({ storage }) => {
    const page = await storage.list?.({ limit: 10 })
    assert.deepEqual([page?.uploads.length, page?.cursor], [0, undefined])
  })

  test('no page has more than its limit', async (subject) => {
    await create(subject, 5)
    assert.ok((await subject.storage.list?.({ limit: 2 }))?.uploads.length === 2)
  })

  test('a list tells of uploads what their records say', async (subject) => {
    const { id } = await subject.create({ length: subject.unit * 2, metadata: 'a Yg==', attributes: { of: 'ann' } })
    await subject.append(id, bytes(subject.unit))
    const page = await subject.storage.list?.({ limit: 10 })
    assert.equal(JSON.stringify(page?.uploads), JSON.stringify([await subject.get(id)]))
  })

  test('the order stays while uploads come and go: those that are there all the time come once', async (subject) => {
    const ids = await create(subject, 6)
    const order = await idsOf(subject.storage, 100)
    const [gone, goneSoon] = [order[0] as string, order[4] as string]
    const first = await subject.storage.list?.({ limit: 2 })
    await remove(subject, gone)
    await remove(subject, goneSoon)
    const born = await create(subject, 3)
    const others = await idsOf(subject.storage, 2, first?.cursor)
    const seen = [...(first?.uploads.map(({ id }) => id) ?? []), ...others]
    assert.equal(new Set(seen).size, seen.length)
    assert.ok(!others.includes(goneSoon))
    for (const id of ids) if (id !== gone && id !== goneSoon) assert.ok(seen.includes(id), `${id} is missing`)
    for (const id of seen) assert.ok(ids.includes(id) || born.includes(id))
  })

  test('complete uploads and the others are listed by themselves', async (subject) => {
    const ids = await create(subject, 5)
    const done = [ids[1], ids[3]].map(String)
    for (const id of done) await subject.append(id, bytes(10), { complete: true })
    const left = ids.filter((id) => !done.includes(id))
    for (const limit of [1, 2, 10]) {
      assert.deepEqual((await idsOf(subject.storage, limit, undefined, true)).sort(), done)
      assert.deepEqual((await idsOf(subject.storage, limit, undefined, false)).sort(), left)
    }
  })

  test('listing takes no claim and changes nothing', async (subject) => {
    const { id } = await subject.create()
    await subject.claim(id, 'A')
    const before = await subject.get(id)
    await subject.clock.advance(1)
    await subject.storage.list?.({ limit: 10 })
    assert.deepEqual(await subject.get(id), before)
  })
}

async function create(subject: Subject, count: number): Promise<string[]> {
  const ids: string[] = []
  for (let made = 0; made < count; made++) ids.push((await subject.create()).id)
  return ids.sort()
}

async function remove(subject: Subject, id: string): Promise<void> {
  const { fence } = await subject.claim(id)
  assert.equal(await subject.storage.remove(id, fence, {}), 'removed')
}

async function idsOf(storage: Storage, limit: number, from?: string, complete?: boolean): Promise<string[]> {
  const ids: string[] = []
  let cursor = from
  do {
    const page = await storage.list?.({ cursor, limit, complete })
    assert.ok(page && page.uploads.length <= limit)
    ids.push(...page.uploads.map(({ id }) => id))
    cursor = page.cursor
  } while (cursor !== undefined)
  return ids
}
