// The contract of stages: what is staged counts for nothing until a commit, and a commit is all or nothing.

import assert from 'node:assert/strict'
import { bytes, type Suite } from './subject.js'

/** Declares the tests of stages and commits. */
export function testStages({ test, has }: Suite): void {
  test('staged bytes count for nothing until they are committed', async (subject) => {
    const { id } = await subject.create()
    const content = bytes(subject.unit)
    const stage = await subject.open(id)
    await stage.write(content)
    await subject.assertBytes(id)
    assert.equal(await stage.commit(), 'ok')
    await subject.assertBytes(id, content)
    await stage.close()
  })

  test('a long body is committed in segments', async (subject) => {
    const segments = [1, 2, 3, 4].map((seed) => bytes(subject.unit, seed))
    const { id } = await subject.create({ length: subject.unit * 4 })
    const stage = await subject.open(id)
    for (const [index, segment] of segments.entries()) {
      await stage.write(segment.subarray(0, 10))
      await stage.write(segment.subarray(10))
      assert.equal(await stage.commit({ complete: index === 3 }), 'ok')
      await subject.assertBytes(id, ...segments.slice(0, index + 1))
    }
    await stage.close()
    assert.equal((await subject.get(id)).complete, true)
  })

  test('several stages one after the other make one upload', async (subject) => {
    const segments = [1, 2, 3].map((seed) => bytes(subject.unit + seed, seed))
    const { id } = await subject.create()
    for (const segment of segments) await subject.append(id, segment)
    await subject.assertBytes(id, ...segments)
  })

  test('discarding leads back to the last commit', async (subject) => {
    const [kept, dropped, next] = [bytes(subject.unit, 1), bytes(subject.unit * 2, 2), bytes(subject.unit, 3)]
    const { id } = await subject.create()
    const stage = await subject.open(id)
    await stage.discard()
    await stage.write(kept)
    await stage.commit()
    await stage.write(dropped)
    await stage.discard()
    await stage.discard()
    await subject.assertBytes(id, kept)
    await stage.write(next)
    assert.equal(await stage.commit(), 'ok')
    await stage.close()
    await subject.assertBytes(id, kept, next)
  })

  test('a chunk that is discarded leaves nothing to the next stage', async (subject) => {
    const { id } = await subject.create({ length: 10 })
    const first = await subject.open(id)
    await first.write(bytes(500, 1))
    await first.discard()
    await first.close()
    await subject.release(id, first.fence)
    await subject.append(id, bytes(10, 2), { complete: true })
    await subject.assertBytes(id, bytes(10, 2))
  })

  test('what was staged and not committed is gone with its stage', async (subject) => {
    const [kept, lost, next] = [bytes(subject.unit, 1), bytes(subject.unit * 3, 2), bytes(subject.unit, 3)]
    const { id } = await subject.create({ length: subject.unit * 2 })
    const first = await subject.open(id)
    await first.write(kept)
    await first.commit()
    await first.write(lost)
    await first.close()
    await subject.release(id, first.fence)
    await subject.assertBytes(id, kept)
    await subject.append(id, next, { complete: true })
    await subject.assertBytes(id, kept, next)
  })

  test('a commit below what is staged forgets the rest', async (subject) => {
    const { id } = await subject.create({ length: subject.unit + 3 })
    const content = bytes(subject.unit + 100, 1)
    const first = await subject.open(id)
    await first.write(content)
    assert.equal(await first.commit({ to: subject.unit }), 'ok')
    await first.write(bytes(1, 3))
    assert.equal(await first.commit({ release: has('release') }), 'ok')
    await first.close()
    if (!has('release')) await subject.release(id, first.fence)
    await subject.append(id, bytes(2, 2), { complete: true })
    await subject.assertBytes(id, content.subarray(0, subject.unit), bytes(1, 3), bytes(2, 2))
  })

  test('an upload without bytes can be complete', async (subject) => {
    const { id } = await subject.create({ length: 0 })
    const stage = await subject.open(id)
    assert.equal(await stage.commit({ complete: true }), 'ok')
    await stage.close()
    const { offset, complete } = await subject.get(id)
    assert.deepEqual([offset, complete], [0, true])
    await subject.assertBytes(id)
  })

  test('a commit can make the length known', async (subject) => {
    const { id } = await subject.create()
    await subject.append(id, bytes(subject.unit, 1), { length: subject.unit * 2 })
    assert.equal((await subject.get(id)).length, subject.unit * 2)
    await subject.append(id, bytes(subject.unit, 2), { complete: true })
    const { length, offset, complete } = await subject.get(id)
    assert.deepEqual([length, offset, complete], [subject.unit * 2, subject.unit * 2, true])
  })

  test('a commit without bytes can tell the length and complete the upload', async (subject) => {
    const { id } = await subject.create()
    await subject.append(id, bytes(subject.unit))
    const stage = await subject.open(id)
    assert.equal(await stage.commit({ length: subject.unit, complete: true }), 'ok')
    await stage.close()
    const { length, complete } = await subject.get(id)
    assert.deepEqual([length, complete], [subject.unit, true])
    await subject.assertBytes(id, bytes(subject.unit))
  })

  test('a commit changes the time of the last activity only if it says so', async (subject) => {
    const { id } = await subject.create({ createdAtMs: 1_800_000_000_000 })
    await subject.append(id, bytes(subject.unit))
    assert.equal((await subject.get(id)).activeAtMs, 1_800_000_000_000)
    await subject.append(id, bytes(subject.unit), { activeAtMs: 1_900_000_000_000 })
    assert.equal((await subject.get(id)).activeAtMs, 1_900_000_000_000)
  })

  test('a commit leaves the rest of the record as it is', async (subject) => {
    const created = await subject.create({ length: subject.unit * 2, metadata: 'a YQ==', name: 'the-name' })
    await subject.append(created.id, bytes(subject.unit))
    const { length, metadata, name, createdAtMs, complete } = await subject.get(created.id)
    assert.deepEqual({ length, metadata, name, createdAtMs, complete }, pick(created))
  })

  test('durable commits are kept like others', async (subject) => {
    const segments = [1, 2, 3].map((seed) => bytes(subject.unit, seed))
    const { id } = await subject.create({ length: subject.unit * 3 })
    const stage = await subject.open(id)
    for (const [index, segment] of segments.entries()) {
      await stage.write(segment)
      assert.equal(await stage.commit({ durable: true, complete: index === 2 }), 'ok')
    }
    await stage.close()
    await subject.assertBytes(id, ...segments)
  })

  test('a durable commit needs no bytes', async (subject) => {
    const { id } = await subject.create()
    const stage = await subject.open(id)
    assert.equal(await stage.commit({ durable: true }), 'ok')
    await stage.close()
    await subject.assertBytes(id)
  })

  test('a commit from an offset that the upload does not have moves nothing', async (subject) => {
    const { id } = await subject.create()
    await subject.append(id, bytes(subject.unit * 2))
    const { fence } = await subject.claim(id)
    const stage = await subject.storage.openStage(id, fence, subject.unit)
    await stage.write([bytes(subject.unit, 2)])
    assert.equal(await stage.commit({ to: subject.unit * 2, durable: false }), 'moved')
    await stage.discard()
    await stage.close()
    await subject.assertBytes(id, bytes(subject.unit * 2))
  })

  test('a complete upload never changes again', async (subject) => {
    const { id } = await subject.create({ length: subject.unit, createdAtMs: 5 })
    await subject.append(id, bytes(subject.unit, 1), { complete: true })
    const stage = await subject.open(id)
    assert.equal(await stage.commit({ activeAtMs: 1 }), 'moved')
    await stage.close()
    const { complete, activeAtMs } = await subject.get(id)
    assert.deepEqual([complete, activeAtMs], [true, 5])
    await subject.assertBytes(id, bytes(subject.unit, 1))
  })

  test('a stage may be closed twice, and without having been used', async (subject) => {
    const { id } = await subject.create()
    const unused = await subject.open(id)
    await unused.close()
    await unused.close()
    await subject.release(id, unused.fence)
    const used = await subject.open(id)
    await used.write(bytes(subject.unit))
    await used.commit()
    await used.close()
    await used.close()
    await subject.assertBytes(id, bytes(subject.unit))
  })

  if (has('claim')) testClaimedCommits({ test, has })
}

function testClaimedCommits({ test, has }: Pick<Suite, 'test' | 'has'>): void {
  test('an upload that was removed has no commits', async (subject) => {
    const { id } = await subject.create()
    const stage = await subject.open(id, 'A')
    await stage.write(bytes(subject.unit))
    await subject.expire()
    const successor = await subject.claim(id, 'B')
    assert.equal(await subject.storage.remove(id, successor.fence), 'removed')
    assert.equal(await stage.commit(), 'gone')
    await stage.discard()
    await stage.close()
    assert.equal(await subject.storage.get(id), undefined)
  })

  test('a complete upload does not change by a stage that was opened before, either', async (subject) => {
    const { id } = await subject.create()
    const stage = await subject.open(id)
    const other = await subject.storage.openStage(id, stage.fence, 0)
    assert.equal(await stage.commit({ length: 0, complete: true }), 'ok')
    assert.equal(await other.commit({ to: 0, length: 10, durable: false }), 'moved')
    await stage.close()
    await other.close()
    const { complete, length } = await subject.get(id)
    assert.deepEqual([complete, length], [true, 0])
  })

  test('a stage may be opened although the upload is gone; its commit says so', async (subject) => {
    const { id } = await subject.create()
    const { fence } = await subject.claim(id)
    await subject.storage.remove(id, fence)
    const stage = await subject.storage.openStage(id, fence, 0)
    await stage.write([bytes(10)])
    assert.equal(await stage.commit({ to: 10, durable: false }), 'gone')
    await stage.close()
  })

  test('an upload that has the id of a removed one takes no commits that were meant for that', async (subject) => {
    const { id } = await subject.create()
    const late = await subject.open(id, 'A')
    await late.write(bytes(subject.unit, 1))
    await subject.expire()
    await subject.storage.remove(id, (await subject.claim(id, 'B')).fence)

    await subject.create({ id })
    const { fence } = await subject.claim(id, 'C')
    assert.ok(fence > late.fence)
    assert.notEqual(await late.commit(), 'ok')
    assert.equal(await subject.storage.remove(id, late.fence), 'fenced')
    await late.close()
    await subject.assertBytes(id)
  })

  if (!has('release')) return

  test('a commit can give the claim back', async (subject) => {
    for (const durable of [false, true]) {
      const { id } = await subject.create({ length: subject.unit * 3 })
      const stage = await subject.open(id, 'A')
      await stage.write(bytes(subject.unit, 1))
      assert.equal(await stage.commit({ release: true, durable }), 'ok')
      await stage.close()
      assert.equal((await subject.get(id)).holder, undefined)
      const last = await subject.open(id, 'B')
      await last.write(bytes(subject.unit * 2, 2))
      assert.equal(await last.commit({ release: true, durable, complete: true }), 'ok')
      await last.close()
      const { holder, complete } = await subject.get(id)
      assert.deepEqual([holder, complete], [undefined, true])
      await subject.assertBytes(id, bytes(subject.unit, 1), bytes(subject.unit * 2, 2))
    }
  })

  test('a claim that was given back commits nothing', async (subject) => {
    const { id } = await subject.create()
    const stage = await subject.open(id)
    await stage.write(bytes(subject.unit))
    await subject.storage.release?.(id, stage.fence)
    assert.equal(await stage.commit(), 'fenced')
    await stage.discard()
    await stage.close()
    await subject.assertBytes(id)
  })
}

function pick(created: {
  name: string
  length: number | undefined
  metadata: string | undefined
  createdAtMs: number
}) {
  const { length, metadata, name, createdAtMs } = created
  return { length, metadata, name, createdAtMs, complete: false }
}
