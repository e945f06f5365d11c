// The contract of records: creating, reading, removing.

import assert from 'node:assert/strict'
import { bytes, newUpload, recordOf, type Suite } from './subject.js'

const METADATA = [
  'filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential',
  '',
  ' a  Yg== ,c',
  'quotes "\'`;--, percent %s %00, backslash \\',
  'latin1 \u00e9\u00ff\u0080, beyond \u20ac\u{1f600}',
  `long ${'QUJD'.repeat(4000)}`,
]

/** Declares the tests of records. */
export function testRecords({ test, has }: Suite): void {
  test('an upload that was created is read back as it was', async ({ storage, clock }) => {
    const created = newUpload(clock.now(), {
      length: 12_345,
      metadata: 'filename YQ==',
      createdAtMs: 1_700_000_000_123,
    })
    assert.equal(await storage.create(created), 'created')
    assert.deepEqual(recordOf(await storage.get(created.id)), {
      ...created,
      activeAtMs: created.createdAtMs,
      offset: 0,
      complete: false,
      holder: undefined,
    })
  })

  test('length and metadata may be unknown', async (subject) => {
    const { id } = await subject.create()
    const { length, metadata } = await subject.get(id)
    assert.deepEqual([length, metadata], [undefined, undefined])
  })

  test('a length of 0 and one of 2^53-1 are kept', async (subject) => {
    for (const length of [0, Number.MAX_SAFE_INTEGER]) {
      const { id } = await subject.create({ length })
      assert.equal((await subject.get(id)).length, length)
    }
  })

  test('metadata is kept byte for byte', async (subject) => {
    for (const metadata of METADATA) {
      const { id } = await subject.create({ metadata })
      assert.equal((await subject.get(id)).metadata, metadata)
    }
  })

  test('an unknown upload is undefined', async ({ storage }) => {
    assert.equal(await storage.get('unknown'), undefined)
  })

  test('an id is taken once, and what was there stays', async (subject) => {
    const first = await subject.create({ length: 10, metadata: 'a' })
    const again = newUpload(subject.clock.now(), { id: first.id, name: 'another-name', length: 20, metadata: 'b' })
    assert.equal(await subject.storage.create(again), 'exists')
    assert.equal(await subject.storage.create({ ...again, name: first.id, isFresh: true }), 'exists')
    assert.deepEqual([(await subject.get(first.id)).length, (await subject.get(first.id)).metadata], [10, 'a'])
  })

  test('a file name is taken once', async (subject) => {
    await subject.create({ name: 'the-name' })
    const again = newUpload(subject.clock.now(), { name: 'the-name' })
    assert.equal(await subject.storage.create(again), 'exists')
    assert.equal(await subject.storage.get(again.id), undefined)
  })

  test('an id that another upload has as its file name is taken', async (subject) => {
    await subject.create({ id: 'first', name: 'second' })
    assert.equal(await subject.storage.create(newUpload(subject.clock.now(), { id: 'second' })), 'exists')
  })

  test('of many that create the same id at once, one succeeds', async ({ storage, clock }) => {
    const upload = newUpload(clock.now())
    const results = await Promise.all(Array.from({ length: 20 }, () => storage.create(upload)))
    assert.equal(results.filter((result) => result === 'created').length, 1)
  })

  test('of many that create the same name at once, one succeeds', async ({ storage, clock }) => {
    const uploads = Array.from({ length: 20 }, () => newUpload(clock.now(), { name: 'the-name' }))
    const results = await Promise.all(uploads.map((upload) => storage.create(upload)))
    assert.equal(results.filter((result) => result === 'created').length, 1)
  })

  test('a removed upload is gone', async (subject) => {
    const { id } = await subject.create()
    await subject.append(id, bytes(subject.unit))
    const { fence } = await subject.claim(id)
    assert.equal(await subject.storage.remove(id, fence), 'removed')
    assert.equal(await subject.storage.get(id), undefined)
    assert.equal(await subject.storage.remove(id, fence), 'gone')
  })

  test('a complete upload can be removed', async (subject) => {
    const { id } = await subject.create({ length: 100 })
    await subject.append(id, bytes(100), { complete: true })
    const { fence } = await subject.claim(id)
    assert.equal(await subject.storage.remove(id, fence), 'removed')
    assert.equal(await subject.storage.get(id), undefined)
  })

  test('removing an unknown upload does nothing', async ({ storage }) => {
    assert.equal(await storage.remove('unknown', 1), 'gone')
  })

  test('the id and the name of a removed upload may be used again, and nothing of it is left', async (subject) => {
    const first = await subject.create({ name: 'the-name', length: subject.unit * 2, metadata: 'a' })
    await subject.append(first.id, bytes(subject.unit, 1))
    await subject.storage.remove(first.id, (await subject.claim(first.id)).fence)

    await subject.create({ id: first.id, name: 'the-name', length: subject.unit })
    const { offset, metadata, holder } = await subject.get(first.id)
    assert.deepEqual([offset, metadata, holder], [0, undefined, undefined])
    const content = bytes(subject.unit, 2)
    await subject.append(first.id, content, { complete: true })
    await subject.assertBytes(first.id, content)
  })

  if (!has('claim')) return

  test('removing needs the claim', async (subject) => {
    const { id } = await subject.create()
    const { fence } = await subject.claim(id)
    assert.equal(await subject.storage.remove(id, fence + 1), 'fenced')
    await subject.expire()
    const successor = await subject.claim(id, 'B')
    assert.equal(await subject.storage.remove(id, fence), 'fenced')
    assert.ok(await subject.storage.get(id))
    assert.equal(await subject.storage.remove(id, successor.fence), 'removed')
  })

  test('a removed upload can not be claimed', async (subject) => {
    const { id } = await subject.create()
    await subject.storage.remove(id, (await subject.claim(id)).fence)
    assert.equal(await subject.storage.claim?.(id, { owner: 'A', ttlMs: subject.leaseMs }), undefined)
  })
}
