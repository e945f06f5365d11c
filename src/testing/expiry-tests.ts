// The contract of expiry: what has expired is found, what was removed is remembered, one at a time does the work.

import assert from 'node:assert/strict'
import type { ExpiredRequest } from '../storage/storage.js'
import { bytes, type Subject, type Suite } from './subject.js'

/** Compares data that may come from another realm, as under Jest, where arrays are not of one class. */
function assertSame(actual: unknown, expected: unknown): void {
  assert.equal(JSON.stringify(actual), JSON.stringify(expected))
}

const NONE = { unfinishedSinceMs: undefined, finishedSinceMs: undefined, limit: 10 }

async function expired({ storage }: Subject, request: Partial<ExpiredRequest>): Promise<readonly string[] | undefined> {
  return storage.expired?.({ ...NONE, ...request })
}

/** Declares the tests of expiry, tombstones, leases and what the application keeps. */
export function testExpiry({ test, has }: Suite): void {
  test('attributes of the application are kept as they are', async (subject) => {
    const attributes = { owner: 'ann', tags: ['a', 'ä'], nested: { deep: [1, null, true] } }
    const { id } = await subject.create({ attributes })
    assertSame((await subject.get(id)).attributes, attributes)
    await subject.append(id, bytes(subject.unit))
    assertSame((await subject.get(id)).attributes, attributes)
    assert.equal((await subject.get((await subject.create()).id)).attributes, undefined)
  })

  test('attributes of the application are a copy, of what was given and each time that they are read', async (subject) => {
    const attributes = { owner: 'ann', nested: { tags: ['a'] } }
    const before = JSON.stringify(attributes)
    const { id } = await subject.create({ attributes })
    attributes.owner = 'bob'
    attributes.nested.tags.push('b')
    const read = (await subject.get(id)).attributes as typeof attributes
    assert.equal(JSON.stringify(read), before)
    read.owner = 'eve'
    read.nested.tags.push('c')
    assert.equal(JSON.stringify((await subject.get(id)).attributes), before)
    const claimed = (await subject.claim(id)).upload.attributes as typeof attributes
    claimed.nested.tags.push('d')
    assert.equal(JSON.stringify((await subject.get(id)).attributes), before)
  })

  if (has('expired')) {
    test('uploads whose time is over are found, the oldest first, and no others', async (subject) => {
      const [late, early, middle] = [
        await subject.create({ createdAtMs: 3000 }),
        await subject.create({ createdAtMs: 1000 }),
        await subject.create({ createdAtMs: 2000 }),
      ]
      assertSame(await expired(subject, { unfinishedSinceMs: 999 }), [])
      assertSame(await expired(subject, { unfinishedSinceMs: 2000 }), [early.id, middle.id])
      assertSame(await expired(subject, { unfinishedSinceMs: 9999, limit: 2 }), [early.id, middle.id])
      assertSame(await expired(subject, { unfinishedSinceMs: 9999 }), [early.id, middle.id, late.id])
      assertSame(await expired(subject, { finishedSinceMs: 9999 }), [])
      assertSame(await expired(subject, {}), [])
    })

    test('finished and unfinished ones have times of their own', async (subject) => {
      const finished: string[] = []
      for (const activeAtMs of [3000, 4000]) {
        const { id } = await subject.create({ length: subject.unit, createdAtMs: activeAtMs - 2000 })
        await subject.append(id, bytes(subject.unit), { complete: true, activeAtMs })
        finished.push(id)
      }
      const { id } = await subject.create({ createdAtMs: 5000 })
      assertSame(await expired(subject, { unfinishedSinceMs: 9999 }), [id])
      assertSame(await expired(subject, { finishedSinceMs: 2999 }), [])
      assertSame(await expired(subject, { finishedSinceMs: 3000 }), finished.slice(0, 1))
      assertSame(await expired(subject, { finishedSinceMs: 9999 }), finished)
      assertSame(await expired(subject, { finishedSinceMs: 9999, unfinishedSinceMs: 9999 }), [id, ...finished])
      assertSame(await expired(subject, { finishedSinceMs: 9999, unfinishedSinceMs: 9999, limit: 1 }), [id])
    })
  }

  if (has('expired', 'claim')) {
    test('an upload that was removed is not found any more', async (subject) => {
      const { id } = await subject.create({ createdAtMs: 1000 })
      const { fence } = await subject.claim(id)
      assert.equal(await subject.storage.remove(id, fence), 'removed')
      assertSame(await expired(subject, { unfinishedSinceMs: 9999 }), [])
    })

    test('one that is claimed is not found, and hides no other', async (subject) => {
      const held = await subject.create({ createdAtMs: 1000 })
      const free = await subject.create({ createdAtMs: 2000 })
      await subject.claim(held.id)
      assertSame(await expired(subject, { unfinishedSinceMs: 9999, limit: 1 }), [free.id])
      await subject.expire()
      assertSame(await expired(subject, { unfinishedSinceMs: 9999 }), [held.id, free.id])
    })
  }

  if (has('release', 'claim')) {
    test('a claim that is given back says when something last came, if something did', async (subject) => {
      const { id } = await subject.create({ createdAtMs: 1000 })
      const first = await subject.claim(id)
      await subject.storage.release?.(id, first.fence)
      assert.equal((await subject.get(id)).activeAtMs, 1000)
      const second = await subject.claim(id)
      await subject.storage.release?.(id, first.fence, 2000)
      assert.equal((await subject.get(id)).activeAtMs, 1000)
      await subject.storage.release?.(id, second.fence, 3000)
      const { activeAtMs, holder } = await subject.get(id)
      assertSame([activeAtMs, holder], [3000, undefined])
    })
  }

  if (has('expired', 'claim', 'takeCompletion', 'settleCompletion')) {
    test('a finished upload is not found before it is settled, and its time begins then', async (subject) => {
      const { storage, leaseMs: ttlMs } = subject
      const { id } = await subject.create({ length: subject.unit, createdAtMs: 1000 })
      const completion = { owner: undefined, ttlMs: 0 }
      await subject.append(id, bytes(subject.unit), { complete: true, activeAtMs: 2000, completion })
      assertSame(await expired(subject, { unfinishedSinceMs: 9999, finishedSinceMs: 9999 }), [])
      const failed = await storage.takeCompletion?.(id, { owner: 'A', ttlMs })
      assertSame(await expired(subject, { finishedSinceMs: 9999 }), [])
      await storage.settleCompletion?.(id, failed?.attempt ?? 0, { retryAfterMs: 0, step: 'hook' })
      assertSame(await expired(subject, { finishedSinceMs: 9999 }), [])
      const taken = await storage.takeCompletion?.(id, { owner: 'A', ttlMs })
      await storage.settleCompletion?.(id, taken?.attempt ?? 0, { result: undefined, activeAtMs: 8000 })
      assert.equal((await subject.get(id)).activeAtMs, 8000)
      assertSame(await expired(subject, { finishedSinceMs: 7999 }), [])
      assertSame(await expired(subject, { finishedSinceMs: 9999 }), [id])
    })
  }

  if (has('tombstone', 'claim')) {
    test('a tombstone stands for its time', async (subject) => {
      const { id } = await subject.create()
      const { fence } = await subject.claim(id)
      const untilMs = subject.clock.now() + subject.leaseMs
      assert.equal(await subject.storage.tombstone?.(id), undefined)
      assert.equal(await subject.storage.remove(id, fence, { tombstone: { status: 410, untilMs } }), 'removed')
      assert.equal(await subject.storage.get(id), undefined)
      assertSame(await subject.storage.tombstone?.(id), { status: 410, untilMs })
      await subject.expire()
      assert.equal(await subject.storage.tombstone?.(id), undefined)
    })

    test('a removal that is refused leaves none', async (subject) => {
      const { id } = await subject.create()
      const former = await subject.claim(id)
      await subject.release(id, former.fence)
      const { fence } = await subject.claim(id)
      const untilMs = subject.clock.now() + subject.leaseMs
      assert.equal(await subject.storage.remove(id, former.fence, { tombstone: { status: 410, untilMs } }), 'fenced')
      assert.equal(await subject.storage.remove(id, fence), 'removed')
      assert.equal(await subject.storage.tombstone?.(id), undefined)
    })

    test('without one nothing is remembered', async (subject) => {
      const { id } = await subject.create()
      const { fence } = await subject.claim(id)
      assert.equal(await subject.storage.remove(id, fence), 'removed')
      assert.equal(await subject.storage.tombstone?.(id), undefined)
    })
  }

  if (has('lease')) {
    test('one at a time has a lease, may prolong it, and loses it when it runs out', async (subject) => {
      const lease = async (owner: string, name = 'work') =>
        subject.storage.lease?.(name, { owner, ttlMs: subject.leaseMs })
      assert.equal(await lease('A'), true)
      assert.equal(await lease('B'), false)
      assert.equal(await lease('A'), true)
      assert.equal(await lease('B', 'other work'), true)
      await subject.expire()
      assert.equal(await lease('B'), true)
      assert.equal(await lease('A'), false)
    })

    test('a lease that has more left than any is asked for is over: the clock was set back', async (subject) => {
      const { storage, leaseMs } = subject
      assert.equal(await storage.lease?.('work', { owner: 'A', ttlMs: leaseMs * 100 }), true)
      assert.equal(await storage.lease?.('work', { owner: 'B', ttlMs: leaseMs }), true)
      assert.equal(await storage.lease?.('work', { owner: 'A', ttlMs: leaseMs }), false)
    })
  }
}
