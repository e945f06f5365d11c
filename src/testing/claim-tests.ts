// The contract of claims: one holder at a time, for a limited time, with numbers that grow.

import assert from 'node:assert/strict'
import { bytes, type Suite } from './subject.js'

/** Declares the tests of claims. */
export function testClaims({ test, has }: Suite): void {
  if (!has('claim')) return

  test('an unknown upload has no claim', async ({ storage, leaseMs }) => {
    assert.equal(await storage.claim?.('unknown', { owner: 'A', ttlMs: leaseMs }), undefined)
  })

  test('a claim comes with the record', async (subject) => {
    const { id } = await subject.create({ length: 10 })
    const { upload } = await subject.claim(id)
    assert.deepEqual([upload.id, upload.length, upload.offset, upload.complete], [id, 10, 0, false])
  })

  test('a claim excludes others, who learn who holds it and until when', async (subject) => {
    const { id } = await subject.create()
    await subject.claim(id, 'A')
    const holder = { owner: 'A', leaseUntilMs: subject.clock.now() + subject.leaseMs }
    const refused = await subject.storage.claim?.(id, { owner: 'B', ttlMs: subject.leaseMs })
    assert.ok(refused && 'heldBy' in refused)
    assert.equal(refused.heldBy.owner, 'A')
    // A storage may go by a clock of its own.
    assert.ok(Math.abs(refused.heldBy.leaseUntilMs - holder.leaseUntilMs) < subject.leaseMs)
    assert.deepEqual((await subject.get(id)).holder, refused.heldBy)
  })

  test('a claim excludes its own holder, too', async (subject) => {
    const { id } = await subject.create()
    await subject.claim(id, 'A')
    const refused = await subject.storage.claim?.(id, { owner: 'A', ttlMs: subject.leaseMs })
    assert.ok(refused && 'heldBy' in refused)
  })

  test('who has only something to write gets no claim of a complete upload that is free', async (subject) => {
    const { storage, leaseMs: ttlMs } = subject
    const { id } = await subject.create({ length: subject.unit })
    const request = { owner: 'A', ttlMs, unfinished: true }
    const first = await storage.claim?.(id, request)
    assert.ok(first && 'fence' in first)
    await subject.release(id, first.fence)
    await subject.append(id, bytes(subject.unit), { complete: true })
    const none = await storage.claim?.(id, request)
    assert.ok(none && 'complete' in none)
    assert.deepEqual([none.complete.id, none.complete.offset, none.complete.holder], [id, subject.unit, undefined])
    assert.equal((await subject.get(id)).holder, undefined)
    const { fence } = await subject.claim(id)
    assert.ok(fence > first.fence)
    const held = await storage.claim?.(id, { ...request, owner: 'B' })
    assert.ok(held && 'heldBy' in held)
    await subject.expire()
    const after = await storage.claim?.(id, { ...request, owner: 'B' })
    assert.ok(after && 'fence' in after, 'what its holder has left behind is taken over')
  })

  test('claims of different uploads do not disturb each other', async (subject) => {
    const [first, second] = [await subject.create(), await subject.create()]
    await subject.claim(first.id, 'A')
    await subject.claim(second.id, 'A')
  })

  test('of many that claim at once, one gets it', async (subject) => {
    const { id } = await subject.create()
    assert.equal(await winnersOf(subject, id), 1)
  })

  test('of many that claim at once what ran out, one gets it', async (subject) => {
    const { id } = await subject.create()
    await subject.claim(id, 'former')
    await subject.expire()
    assert.equal(await winnersOf(subject, id), 1)
  })

  test('the fence grows with every claim', async (subject) => {
    const { id } = await subject.create()
    let last = 0
    for (let round = 0; round < 4; round++) {
      const { fence } = await subject.claim(id, 'A')
      assert.ok(fence > last, `${fence} is not larger than ${last}`)
      await subject.expire()
      const takenOver = await subject.claim(id, 'B')
      assert.ok(takenOver.fence > fence)
      const ofTheDead = await subject.claim(id, 'A', { dead: 'B' })
      assert.ok(ofTheDead.fence > takenOver.fence)
      last = ofTheDead.fence
      await subject.release(id, last)
    }
  })

  test('a claim that ran out can be taken over', async (subject) => {
    const { id } = await subject.create()
    await subject.claim(id, 'A')
    await subject.expire()
    await subject.claim(id, 'B')
    assert.equal((await subject.get(id)).holder?.owner, 'B')
  })

  test('the claim of a holder that is known to be dead can be taken over at once', async (subject) => {
    const { id } = await subject.create()
    await subject.claim(id, 'A')
    const other = await subject.storage.claim?.(id, { owner: 'C', ttlMs: subject.leaseMs, dead: 'B' })
    assert.ok(other && 'heldBy' in other, 'B is dead, but A holds it')
    await subject.claim(id, 'C', { dead: 'A' })
    assert.equal((await subject.get(id)).holder?.owner, 'C')
  })

  test('a complete upload can be claimed and taken over', async (subject) => {
    const { id } = await subject.create({ length: 10 })
    const stage = await subject.open(id, 'A')
    await stage.write(bytes(10))
    assert.equal(await stage.commit({ complete: true }), 'ok')
    await stage.close()
    await subject.expire()
    const { upload } = await subject.claim(id, 'B')
    assert.deepEqual([upload.offset, upload.complete], [10, true])
    await subject.assertBytes(id, bytes(10))
  })

  if (has('renew')) testRenewal({ test, has })
  if (has('release')) testRelease({ test })
}

function testRenewal({ test, has }: Pick<Suite, 'test' | 'has'>): void {
  test('a renewed claim lasts on', async (subject) => {
    const { id } = await subject.create()
    const { fence } = await subject.claim(id, 'A')
    for (let round = 0; round < 3; round++) {
      await subject.clock.advance(subject.leaseMs * 0.7)
      assert.equal(await subject.storage.renew?.(id, fence, subject.leaseMs), true)
    }
    const refused = await subject.storage.claim?.(id, { owner: 'B', ttlMs: subject.leaseMs })
    assert.ok(refused && 'heldBy' in refused)
    await subject.expire()
    await subject.claim(id, 'B')
  })

  test('a lost claim is not renewed', async (subject) => {
    const { id } = await subject.create()
    const { fence } = await subject.claim(id, 'A')
    await subject.expire()
    await subject.claim(id, 'B')
    assert.equal(await subject.storage.renew?.(id, fence, subject.leaseMs), false)
    assert.equal((await subject.get(id)).holder?.owner, 'B')
  })

  test('nothing is renewed where there is no claim', async (subject) => {
    const { id } = await subject.create()
    assert.equal(await subject.storage.renew?.(id, 1, subject.leaseMs), false)
    assert.equal(await subject.storage.renew?.('unknown', 1, subject.leaseMs), false)
    if (!has('release')) return
    const { fence } = await subject.claim(id)
    await subject.storage.release?.(id, fence)
    assert.equal(await subject.storage.renew?.(id, fence, subject.leaseMs), false)
    assert.equal((await subject.get(id)).holder, undefined)
  })
}

function testRelease({ test }: Pick<Suite, 'test'>): void {
  test('a released claim is free at once', async (subject) => {
    const { id } = await subject.create()
    const { fence } = await subject.claim(id, 'A')
    await subject.storage.release?.(id, fence)
    assert.equal((await subject.get(id)).holder, undefined)
    await subject.claim(id, 'B')
  })

  test('releasing a lost claim does nothing', async (subject) => {
    const { id } = await subject.create()
    const { fence } = await subject.claim(id, 'A')
    await subject.expire()
    await subject.claim(id, 'B')
    await subject.storage.release?.(id, fence)
    assert.equal((await subject.get(id)).holder?.owner, 'B')
    await subject.storage.release?.('unknown', fence)
  })
}

async function winnersOf(subject: Parameters<Parameters<Suite['test']>[1]>[0], id: string): Promise<number> {
  const { storage, leaseMs } = subject
  const owners = Array.from({ length: 20 }, (_, index) => `owner-${index}`)
  const results = await Promise.all(owners.map((owner) => storage.claim?.(id, { owner, ttlMs: leaseMs })))
  return results.filter((result) => result !== undefined && 'fence' in result).length
}
