// The contract where a claim changes hands: nobody else's late write can reach committed bytes.

import assert from 'node:assert/strict'
import { bytes, type Suite } from './subject.js'

/** Declares the tests of late writes. */
export function testTakeovers({ test, has }: Suite): void {
  if (!has('claim')) return

  test('a holder whose claim ran out writes late: nothing of it is ever seen', async (subject) => {
    const [first, right] = [bytes(subject.unit, 1), bytes(subject.unit * 2, 2)]
    const { id } = await subject.create({ length: subject.unit * 3 })
    const late = await subject.open(id, 'A')
    await late.write(first)
    assert.equal(await late.commit(), 'ok')
    await late.write(bytes(subject.unit, 3))

    await subject.expire()
    const successor = await subject.open(id, 'B')
    await successor.write(right.subarray(0, subject.unit))
    assert.equal(await successor.commit(), 'ok')

    await late.write(bytes(subject.unit * 4, 4))
    await subject.assertBytes(id, first, right.subarray(0, subject.unit))
    assert.equal(await late.commit(), 'fenced')
    await late.discard()
    await late.close()
    await subject.assertBytes(id, first, right.subarray(0, subject.unit))

    await successor.write(right.subarray(subject.unit))
    assert.equal(await successor.commit({ complete: true }), 'ok')
    await successor.close()
    await subject.assertBytes(id, first, right)
  })

  test('a late write after the upload is complete changes nothing', async (subject) => {
    const [first, right] = [bytes(subject.unit, 1), bytes(subject.unit, 2)]
    const { id } = await subject.create({ length: subject.unit * 2 })
    const late = await subject.open(id, 'A')
    await late.write(first)
    await late.commit()

    await subject.expire()
    const successor = await subject.open(id, 'B')
    await successor.write(right)
    assert.equal(await successor.commit({ complete: true }), 'ok')
    await successor.close()

    await late.write(bytes(subject.unit, 3))
    assert.notEqual(await late.commit({ complete: true }), 'ok')
    await late.discard()
    await late.close()
    await subject.assertBytes(id, first, right)
    assert.equal((await subject.get(id)).complete, true)
  })

  test('a holder that had its stage open, but wrote nothing yet, writes late', async (subject) => {
    const [first, right] = [bytes(subject.unit, 1), bytes(subject.unit, 2)]
    const { id } = await subject.create({ length: subject.unit * 2 })
    await subject.append(id, first)
    const late = await subject.open(id, 'A')
    await subject.expire()
    const successor = await subject.open(id, 'B')
    await successor.write(right)
    assert.equal(await successor.commit(), 'ok')
    await late.write(bytes(subject.unit * 3, 3))
    assert.equal(await late.commit(), 'fenced')
    await late.discard()
    await late.close()
    await subject.assertBytes(id, first, right)
    assert.equal(await successor.commit({ complete: true }), 'ok')
    await successor.close()
    await subject.assertBytes(id, first, right)
  })

  test('a holder that opens its stage only after it lost the claim changes nothing', async (subject) => {
    const [first, right, last] = [1, 2, 3].map((seed) => bytes(subject.unit, seed)) as [Buffer, Buffer, Buffer]
    const { id } = await subject.create({ length: subject.unit * 3 })
    await subject.append(id, first)
    const { upload, fence } = await subject.claim(id, 'A')
    await subject.expire()
    const successor = await subject.open(id, 'B')
    await successor.write(right)
    assert.equal(await successor.commit(), 'ok')

    const late = await subject.storage.openStage(id, fence, upload.offset)
    await late.write([bytes(subject.unit, 4)])
    await late.discard()
    await late.write([bytes(subject.unit * 2, 5)])
    assert.equal(await late.commit({ to: upload.offset + subject.unit * 2, durable: false }), 'fenced')
    await late.close()
    await subject.assertBytes(id, first, right)

    await successor.write(last)
    assert.equal(await successor.commit({ complete: true }), 'ok')
    await successor.close()
    await subject.assertBytes(id, first, right, last)
  })

  test('a claim that counts as run out whatever the clock says is taken over; late bytes change nothing', async (subject) => {
    const { storage, leaseMs: ttlMs } = subject
    const { id } = await subject.create({ length: subject.unit })
    const late = await subject.open(id, 'A')
    const lapsed = (await subject.get(id)).holder
    const claimed = await storage.claim?.(id, { owner: 'B', ttlMs, lapsed })
    assert.ok(claimed)
    // A storage that has a clock of its own may know better.
    if (!('fence' in claimed)) return late.close()
    const successor = await storage.openStage(id, claimed.fence, 0)
    await late.write(bytes(subject.unit, 1))
    await successor.write([bytes(subject.unit, 2)])
    assert.notEqual(await late.commit(), 'ok')
    await late.write(bytes(subject.unit, 3))
    const done = { to: subject.unit, complete: true, durable: false, release: true }
    assert.equal(await successor.commit(done), 'ok')
    await successor.close()
    await late.close()
    await subject.assertBytes(id, bytes(subject.unit, 2))
  })

  test('a claim that another one has by now, or that was prolonged, is not taken for one that ran out', async (subject) => {
    const { storage, leaseMs: ttlMs } = subject
    const { id } = await subject.create()
    await subject.claim(id, 'A')
    const lapsed = (await subject.get(id)).holder
    await subject.expire()
    const { fence } = await subject.claim(id, 'B')
    const ofAnother = await storage.claim?.(id, { owner: 'C', ttlMs, lapsed })
    assert.ok(ofAnother && 'heldBy' in ofAnother)
    if (!has('renew')) return
    const before = (await subject.get(id)).holder
    assert.equal(await storage.renew?.(id, fence, ttlMs * 2), true)
    const prolonged = await storage.claim?.(id, { owner: 'C', ttlMs, lapsed: before })
    assert.ok(prolonged && 'heldBy' in prolonged)
  })

  test('a holder that lost its claim before its first byte changes nothing', async (subject) => {
    const { id } = await subject.create({ length: subject.unit })
    const late = await subject.open(id, 'A')
    await subject.expire()
    const successor = await subject.open(id, 'B')
    await successor.write(bytes(subject.unit, 2))
    await late.write(bytes(subject.unit * 2, 1))
    assert.equal(await successor.commit({ complete: true }), 'ok')
    await successor.close()
    await late.write(bytes(subject.unit, 3))
    assert.notEqual(await late.commit(), 'ok')
    await late.close()
    await subject.assertBytes(id, bytes(subject.unit, 2))
  })

  test('an upload that changed hands many times has the right bytes', async (subject) => {
    const segments = [1, 2, 3, 4, 5].map((seed) => bytes(subject.unit + seed, seed))
    const length = segments.reduce((sum, segment) => sum + segment.length, 0)
    const { id } = await subject.create({ length })
    const late = []
    for (const [index, segment] of segments.entries()) {
      const stage = await subject.open(id, `owner-${index}`)
      await stage.write(segment)
      assert.equal(await stage.commit({ complete: index === segments.length - 1, durable: index % 2 === 0 }), 'ok')
      if (index < segments.length - 1) await stage.write(bytes(subject.unit, 100 + index))
      late.push(stage)
      await subject.assertBytes(id, ...segments.slice(0, index + 1))
      await subject.expire()
    }
    for (const stage of late) await stage.close()
    await subject.assertBytes(id, ...segments)
  })

  test('the successor of a dead holder goes on at the last commit', async (subject) => {
    const [first, right] = [bytes(subject.unit, 1), bytes(subject.unit, 2)]
    const { id } = await subject.create({ length: subject.unit * 2 })
    const dead = await subject.open(id, 'A')
    await dead.write(first)
    await dead.commit()
    await dead.write(bytes(subject.unit * 2, 3))
    await dead.close()
    const successor = await subject.open(id, 'B', { dead: 'A' })
    assert.equal(successor.position, subject.unit)
    await successor.write(right)
    assert.equal(await successor.commit({ complete: true }), 'ok')
    await successor.close()
    await subject.assertBytes(id, first, right)
  })

  test('an upload that changed hands can be removed', async (subject) => {
    const { id } = await subject.create()
    for (const owner of ['A', 'B', 'C']) {
      const stage = await subject.open(id, owner)
      await stage.write(bytes(subject.unit))
      await stage.commit()
      await stage.close()
      await subject.expire()
    }
    assert.equal(await subject.storage.remove(id, (await subject.claim(id)).fence), 'removed')
    assert.equal(await subject.storage.get(id), undefined)
  })
}
