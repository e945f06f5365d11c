// The contract of completions: what is to be done once an upload is complete is remembered, and done by one at a time.

import assert from 'node:assert/strict'
import type { Commit, CompletionOutcome, DueRequest } from '../storage/storage.js'
import { bytes, type Subject, type Suite } from './subject.js'

const HOOKS = { step: 'hook', maxBytes: Number.MAX_SAFE_INTEGER } as const

/** Completes a new upload. */
async function complete(subject: Subject, commit: Partial<Commit> = {}): Promise<string> {
  const { id } = await subject.create({ length: subject.unit })
  await subject.append(id, bytes(subject.unit), { complete: true, ...commit })
  return id
}

/** Declares the tests of completions. */
export function testCompletions({ test, has }: Suite): void {
  if (!has('dueCompletions', 'takeCompletion', 'renewCompletion', 'settleCompletion', 'claim')) return

  const due = async ({ storage }: Subject, limit = 10, wanted: Partial<DueRequest> = {}): Promise<string> =>
    ((await storage.dueCompletions?.({ ...HOOKS, limit, ...wanted })) ?? []).join()
  const take = async ({ storage, leaseMs }: Subject, id: string, owner = 'A', dead?: string) =>
    storage.takeCompletion?.(id, { owner, ttlMs: leaseMs, dead })
  const settle = async ({ storage }: Subject, id: string, attempt: number, outcome: CompletionOutcome) =>
    storage.settleCompletion?.(id, attempt, outcome)

  test('an upload has none unless its last commit says so', async (subject) => {
    const id = await complete(subject)
    assert.equal((await subject.get(id)).completion, undefined)
    assert.equal(await due(subject), '')
    assert.equal(await take(subject, id), undefined)
  })

  test('it is due at once for whoever comes first', async (subject) => {
    const id = await complete(subject, { completion: { owner: undefined, ttlMs: 0 } })
    assert.equal(await due(subject), id)
    const { settled, attempt, worker } = (await subject.get(id)).completion ?? {}
    assert.deepEqual([settled, attempt, worker], [false, 0, undefined])
    const taken = await take(subject, id)
    assert.equal(taken?.attempt, 1)
    assert.equal(taken.upload.complete, true)
    assert.equal(await take(subject, id, 'B'), undefined)
    assert.equal(await due(subject), '')
    assert.equal((await subject.get(id)).completion?.worker, 'A')
  })

  test('it can belong to whoever commits, as the first try', async (subject) => {
    const id = await complete(subject, { completion: { owner: 'A', ttlMs: subject.leaseMs } })
    assert.equal(await due(subject), '')
    assert.equal(await take(subject, id, 'B'), undefined)
    assert.equal(await settle(subject, id, 1, { result: { status: 200, headers: { 'X-A': 'b' }, body: 'ä' } }), true)
    const { settled, result, worker } = (await subject.get(id)).completion ?? {}
    assert.deepEqual([settled, worker], [true, undefined])
    assert.equal(JSON.stringify(result), '{"status":200,"headers":{"X-A":"b"},"body":"ä"}')
    await subject.expire()
    assert.equal(await due(subject), '')
    assert.equal(await take(subject, id), undefined)
    assert.equal(await settle(subject, id, 1, { result: undefined }), false)
  })

  test('a try that ran out is followed by another, and can end nothing any more', async (subject) => {
    const id = await complete(subject, { completion: { owner: 'A', ttlMs: subject.leaseMs } })
    await subject.expire()
    assert.equal(await due(subject), id)
    assert.equal((await take(subject, id, 'B'))?.attempt, 2)
    assert.equal(await subject.storage.renewCompletion?.(id, 1, subject.leaseMs), false)
    assert.equal(await settle(subject, id, 1, { result: undefined }), false)
    assert.equal((await subject.get(id)).completion?.settled, false)
    assert.equal(await settle(subject, id, 2, { result: undefined }), true)
    assert.equal((await subject.get(id)).completion?.settled, true)
  })

  test('a try that is prolonged goes on', async (subject) => {
    const id = await complete(subject, { completion: { owner: 'A', ttlMs: subject.leaseMs } })
    for (let round = 0; round < 3; round++) {
      await subject.clock.advance(subject.leaseMs * 0.6)
      assert.equal(await subject.storage.renewCompletion?.(id, 1, subject.leaseMs), true)
    }
    assert.equal(await take(subject, id, 'B'), undefined)
  })

  test('the try of a dead one is taken over at once, and nobody else’s', async (subject) => {
    const id = await complete(subject, { completion: { owner: 'A', ttlMs: subject.leaseMs } })
    assert.equal(await take(subject, id, 'B', 'C'), undefined)
    assert.equal((await take(subject, id, 'B', 'A'))?.attempt, 2)
  })

  test('one that failed is due again when it is time', async (subject) => {
    const id = await complete(subject, { completion: { owner: 'A', ttlMs: subject.leaseMs } })
    const other = await complete(subject, { completion: { owner: undefined, ttlMs: 0 } })
    assert.equal(await settle(subject, id, 1, { retryAfterMs: subject.leaseMs, step: 'hook' }), true)
    assert.equal(await due(subject), other)
    assert.equal((await subject.get(id)).completion?.worker, undefined)
    assert.equal(await settle(subject, id, 1, { result: undefined }), false)
    await subject.expire()
    assert.equal(await due(subject), `${other},${id}`)
    assert.equal(await due(subject, 1), other)
    assert.equal((await take(subject, id))?.attempt, 2)
  })

  test('it is found by what is done next, and by how large it is', async (subject) => {
    const id = await complete(subject, { completion: { owner: undefined, ttlMs: 0 } })
    assert.equal((await subject.get(id)).completion?.step, 'hook')
    assert.equal(await due(subject, 10, { maxBytes: subject.unit }), id)
    assert.equal(await due(subject, 10, { maxBytes: subject.unit - 1 }), '')
    assert.equal(await due(subject, 10, { step: 'copy' }), '')
    const taken = await take(subject, id)
    assert.equal(taken?.upload.completion?.step, 'hook')
    assert.equal(await settle(subject, id, 1, { retryAfterMs: 0, step: 'copy' }), true)
    assert.equal(await due(subject), '')
    assert.equal(await due(subject, 10, { step: 'copy' }), id)
    assert.equal((await take(subject, id))?.upload.completion?.step, 'copy')
  })

  test('those that are large, claimed or not due hide no others, however few are wanted', async (subject) => {
    const now = { completion: { owner: undefined, ttlMs: 0 } } as const
    const later = await complete(subject, { completion: { owner: 'A', ttlMs: subject.leaseMs } })
    const claimed = await complete(subject, now)
    const { id: large } = await subject.create({ length: subject.unit * 2 })
    await subject.append(large, bytes(subject.unit * 2), { complete: true, ...now })
    const small = await complete(subject, now)
    await subject.claim(claimed)
    assert.equal(await due(subject, 1, { maxBytes: subject.unit }), small)
    assert.notEqual(later, small)
  })

  test('it is left alone as long as somebody has a claim, unless that one is dead', async (subject) => {
    const { id } = await subject.create({ length: subject.unit })
    const stage = await subject.open(id)
    await stage.write(bytes(subject.unit))
    assert.equal(await stage.commit({ complete: true, completion: { owner: undefined, ttlMs: 0 } }), 'ok')
    await stage.close()
    assert.equal(await due(subject), '')
    assert.equal(await take(subject, id, 'B'), undefined)
    assert.equal(await take(subject, id, 'B', 'C'), undefined)
    await subject.release(id, stage.fence)
    assert.equal(await due(subject), id)
    await subject.claim(id, 'A')
    assert.equal((await take(subject, id, 'B', 'A'))?.attempt, 1)
    await subject.expire()
    assert.equal(await due(subject), id)
    assert.equal((await take(subject, id, 'C'))?.attempt, 2)
  })

  test('an upload that was removed has none', async (subject) => {
    const id = await complete(subject, { completion: { owner: undefined, ttlMs: 0 } })
    const { fence } = await subject.claim(id)
    assert.equal(await subject.storage.remove(id, fence), 'removed')
    assert.equal(await due(subject), '')
    assert.equal(await take(subject, id), undefined)
  })
}
