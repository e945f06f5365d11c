// The contract of expiry: what has expired is found, what was removed is remembered, one at a time does the work.

import assert from 'node:assert/strict'
import { bytes, type Suite } from './subject.js'

/** Compares data that may come from another realm, as under Jest, where arrays are not of one class. */
function assertSame(actual: unknown, expected: unknown): void {
  assert.equal(JSON.stringify(actual), JSON.stringify(expected))
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

  test('a commit renews the time of expiry, ends it, or leaves it', async (subject) => {
    const { id } = await subject.create({ expiresAtMs: 1000 })
    const stage = await subject.open(id)
    for (const [given, expected] of [
      [2000, 2000],
      [undefined, 2000],
      [null, undefined],
    ] as const) {
      await stage.write(bytes(subject.unit))
      assert.equal(await stage.commit({ expiresAtMs: given }), 'ok')
      assert.equal((await subject.get(id)).expiresAtMs, expected)
    }
    await stage.close()
  })

  if (has('expired')) {
    test('uploads whose time has come are found, the earliest first, and no others', async (subject) => {
      const late = await subject.create({ expiresAtMs: 3000 })
      const early = await subject.create({ expiresAtMs: 1000 })
      const middle = await subject.create({ expiresAtMs: 2000 })
      await subject.create()
      const expired = async (beforeMs: number, limit = 10) => subject.storage.expired?.(beforeMs, limit)
      assertSame(await expired(999), [])
      assertSame(await expired(2000), [early.id, middle.id])
      assertSame(await expired(9999, 2), [early.id, middle.id])
      assertSame(await expired(9999), [early.id, middle.id, late.id])
    })
  }

  if (has('expired', 'claim')) {
    test('an upload that was removed is not found any more', async (subject) => {
      const { id } = await subject.create({ expiresAtMs: 1000 })
      const { fence } = await subject.claim(id)
      assert.equal(await subject.storage.remove(id, fence), 'removed')
      assertSame(await subject.storage.expired?.(9999, 10), [])
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
