// The contract of concatenation: final uploads refer to the bytes of partial ones, until they have a file of their own.

import assert from 'node:assert/strict'
import {
  type AssemblyResult,
  type CreateResult,
  MAX_WAITING_FINALS,
  type RemoveOptions,
  type RemoveResult,
} from '../storage/storage.js'
import type { NewUpload } from '../upload.js'
import { bytes, newUpload, type Subject, type Suite } from './subject.js'

const ASSEMBLY = { activeAtMs: 0, durable: true } as const

/** A partial upload, finished if it has bytes. */
async function partial(subject: Subject, content?: Buffer, more: Partial<NewUpload> = {}): Promise<string> {
  const upload = { length: content?.length, concat: { header: 'partial', partials: undefined }, ...more }
  const { id } = await subject.create(upload)
  if (content !== undefined) await finish(subject, id, content)
  return id
}

async function finish(
  subject: Subject,
  id: string,
  content: Buffer,
  more: { activeAtMs?: number } = {},
): Promise<void> {
  await subject.append(id, content, { complete: true, length: content.length, ...more })
}

function finalOf(subject: Subject, partials: readonly string[], more: Partial<NewUpload> = {}): NewUpload {
  return newUpload(subject.clock.now(), { concat: { header: `final;${partials.join(' ')}`, partials }, ...more })
}

async function final(subject: Subject, partials: readonly string[], more: Partial<NewUpload> = {}): Promise<string> {
  const upload = finalOf(subject, partials, more)
  assert.equal(await subject.storage.create(upload), 'created' satisfies CreateResult)
  return upload.id
}

async function assemble(subject: Subject, id: string): Promise<AssemblyResult | undefined> {
  return subject.storage.assemble?.(id, ASSEMBLY)
}

/** Does what the server does after assembly. */
async function flatten(subject: Subject, id: string): Promise<void> {
  const taken = await subject.storage.takeCompletion?.(id, { owner: 'A', ttlMs: subject.leaseMs })
  assert.ok(taken)
  assert.equal(await subject.storage.flatten?.(id, taken.attempt, true), true)
}

async function remove(subject: Subject, id: string, options?: RemoveOptions): Promise<RemoveResult> {
  const { fence } = await subject.claim(id)
  const result = await subject.storage.remove(id, fence, options)
  if (result !== 'removed') await subject.release(id, fence)
  return result
}

/** Declares the tests of concatenation. */
export function testConcatenation({ test, has }: Suite): void {
  if (!has('assemble', 'takeCompletion', 'waitingFinals', 'readyFinals', 'claim')) return
  const [one, two] = [bytes(5000, 1), bytes(3000, 2)]

  test('the role is kept as it is', async (subject) => {
    const id = await partial(subject)
    assert.equal(JSON.stringify((await subject.get(id)).concat), '{"header":"partial"}')
    const finalId = await final(subject, [id], { concat: { header: 'final;/x/1', partials: [id], maxSize: 7 } })
    assert.deepEqual(
      { ...(await subject.get(finalId)).concat, partials: undefined },
      {
        header: 'final;/x/1',
        partials: undefined,
        maxSize: 7,
      },
    )
    assert.equal((await subject.get(finalId)).concat?.partials?.join(), id)
  })

  test('a final upload has the bytes of its partial uploads in order, one of them several times', async (subject) => {
    const [first, second, empty] = [await partial(subject, one), await partial(subject, two), await partial(subject)]
    await finish(subject, empty, Buffer.alloc(0))
    const id = await final(subject, [second, empty, first, second])
    assert.equal(await assemble(subject, id), 'ok')
    const upload = await subject.get(id)
    assert.equal(upload.complete, true)
    assert.equal(upload.length, upload.offset)
    await subject.assertBytes(id, two, one, two)
    if (has('read')) {
      assert.equal((await subject.read(id, 2990, 3010)).compare(Buffer.concat([two, one]), 2990, 3010), 0)
    }
    await subject.assertBytes(first, one)
  })

  test('it waits until all are complete, then it is ready; assembling it again changes nothing', async (subject) => {
    const [first, second] = [await partial(subject, one), await partial(subject)]
    const id = await final(subject, [first, second])
    assert.equal(await assemble(subject, id), 'unfinished')
    assert.equal((await subject.get(id)).complete, false)
    assert.equal((await subject.storage.waitingFinals?.(second))?.join(), id)
    assert.equal((await subject.storage.readyFinals?.(10))?.length, 0)
    await finish(subject, second, two)
    assert.equal((await subject.storage.readyFinals?.(10))?.join(), id)
    assert.equal(await assemble(subject, id), 'ok')
    assert.equal(await assemble(subject, id), 'already')
    assert.equal((await subject.storage.waitingFinals?.(second))?.length, 0)
    assert.equal((await subject.storage.readyFinals?.(10))?.length, 0)
    await subject.assertBytes(id, one, two)
  })

  test('it waits until nobody has a claim of a partial upload any more', async (subject) => {
    const { storage } = subject
    const first = await partial(subject, one)
    const id = await final(subject, [first])
    const { fence } = await subject.claim(first)
    assert.equal(await assemble(subject, id), 'unfinished')
    await subject.release(first, fence)
    assert.equal((await storage.readyFinals?.(10))?.join(), id)
    await subject.claim(first)
    await subject.expire()
    assert.equal((await storage.readyFinals?.(10))?.join(), id)
    assert.equal(await assemble(subject, id), 'ok')
  })

  test('what is left to be done can belong to whoever assembles it, as the first try', async (subject) => {
    const { storage, leaseMs } = subject
    const id = await final(subject, [await partial(subject, one)])
    const completion = { owner: 'A', ttlMs: leaseMs }
    assert.equal(await storage.assemble?.(id, { ...ASSEMBLY, completion }), 'ok')
    assert.equal(
      (await storage.dueCompletions?.({ step: 'copy', maxBytes: Number.MAX_SAFE_INTEGER, limit: 10 }))?.length,
      0,
    )
    assert.equal(await storage.takeCompletion?.(id, { owner: 'B', ttlMs: leaseMs }), undefined)
    const { attempt, worker } = (await subject.get(id)).completion ?? {}
    assert.deepEqual([attempt, worker], [1, 'A'])
    assert.equal(await storage.assemble?.(id, { ...ASSEMBLY, completion: { owner: 'B', ttlMs: leaseMs } }), 'already')
    await subject.expire()
    assert.equal((await storage.takeCompletion?.(id, { owner: 'B', ttlMs: leaseMs }))?.attempt, 2)
  })

  test('bytes of nothing but empty partial uploads', async (subject) => {
    const empty = await partial(subject, Buffer.alloc(0))
    const id = await final(subject, [empty, empty])
    assert.equal(await assemble(subject, id), 'ok')
    await subject.assertBytes(id)
    await flatten(subject, id)
    await subject.assertBytes(id)
  })

  test('a sum above what the upload may have is told', async (subject) => {
    const first = await partial(subject, one)
    const id = await final(subject, [first, first], {
      concat: { header: 'x', partials: [first, first], maxSize: 9999 },
    })
    assert.equal(await assemble(subject, id), 'too-large')
    const other = await final(subject, [first, first], {
      concat: { header: 'x', partials: [first, first], maxSize: 10000 },
    })
    assert.equal(await assemble(subject, other), 'ok')
  })

  test('what is no partial upload is refused, and nothing is created', async (subject) => {
    const [first, plain] = [await partial(subject, one), (await subject.create()).id]
    const assembled = await final(subject, [first])
    for (const other of [plain, 'nobody', assembled]) {
      const upload = finalOf(subject, [first, other])
      assert.equal(await subject.storage.create(upload), 'no-partial')
      assert.equal(await subject.storage.get(upload.id), undefined)
    }
    const again = finalOf(subject, [first], { id: assembled })
    assert.equal(await subject.storage.create(again), 'exists')
  })

  test('a partial upload can not be removed while a final one waits for it, and can before and after', async (subject) => {
    const [first, second] = [await partial(subject, one), await partial(subject)]
    const id = await final(subject, [first, second])
    assert.equal(await remove(subject, first), 'needed')
    await subject.assertBytes(first, one)
    assert.equal(await remove(subject, id), 'removed')
    assert.equal((await subject.storage.waitingFinals?.(first))?.length, 0)
    assert.equal(await remove(subject, first), 'removed')
    assert.equal(await remove(subject, second), 'removed')
  })

  test('it is ready once the last one of its partial uploads is complete or gone, however often one is named', async (subject) => {
    const { storage } = subject
    const [first, second, third] = [await partial(subject), await partial(subject), await partial(subject)]
    const id = await final(subject, [first, second, first])
    const other = await final(subject, [second, third])
    const ready = async (): Promise<string | undefined> => (await storage.readyFinals?.(10))?.join()
    await finish(subject, first, one)
    assert.equal(await ready(), '')
    await finish(subject, second, two)
    assert.equal(await ready(), id)
    assert.equal(await remove(subject, third, { evenIfNeeded: true }), 'removed')
    assert.equal(await ready(), [id, other].sort().join())
    assert.equal(await remove(subject, other), 'removed')
    assert.equal(await ready(), id)
    assert.equal(await remove(subject, id), 'removed')
    assert.equal(await ready(), '')
  })

  test('those that are ready come in the order of their ids, and as many as are wanted', async (subject) => {
    const { storage } = subject
    const first = await partial(subject, one)
    const ids: string[] = []
    for (let count = 0; count < 5; count++) ids.push(await final(subject, [first]))
    ids.sort()
    assert.equal((await storage.readyFinals?.(3))?.join(), ids.slice(0, 3).join())
    assert.equal((await storage.readyFinals?.(3, ids[2]))?.join(), ids.slice(3).join())
    assert.equal((await storage.readyFinals?.(3, ids[4]))?.length, 0)
  })

  test('no more than a limit wait for one partial upload, whatever they name beside it', async (subject) => {
    const [first, second] = [await partial(subject), await partial(subject)]
    const ids: string[] = []
    for (let count = 0; count < MAX_WAITING_FINALS; count++) ids.push(await final(subject, [first, first]))
    const crowded = finalOf(subject, [second, first])
    assert.equal(await subject.storage.create(crowded), 'crowded')
    assert.equal(await subject.storage.get(crowded.id), undefined)
    assert.equal((await subject.storage.waitingFinals?.(second))?.length, 0)
    assert.equal(await remove(subject, ids[0] ?? ''), 'removed')
    assert.equal(await subject.storage.create(crowded), 'created')
    await finish(subject, first, one)
    await finish(subject, second, two)
    for (const id of [...ids.slice(1), crowded.id]) assert.equal(await assemble(subject, id), 'ok')
    assert.equal(await subject.storage.create(finalOf(subject, [first])), 'created')
  })

  test('what keeps a removal by force is gone with it: no final upload is made of what was removed', async (subject) => {
    const [first, second] = [await partial(subject, one), await partial(subject, two)]
    const [id, other] = [await final(subject, [first, second]), await final(subject, [second])]
    assert.equal(await remove(subject, first, { evenIfNeeded: true }), 'removed')
    assert.equal(await subject.storage.get(first), undefined)
    assert.equal(await assemble(subject, id), 'gone')
    assert.equal((await subject.storage.waitingFinals?.(first))?.join(), id)
    assert.equal(await assemble(subject, other), 'ok')
    await subject.assertBytes(other, two)
  })

  test('an upload that has got the id of a partial one is another one', async (subject) => {
    const first = await partial(subject, one)
    const { createdAtMs } = await subject.get(first)
    const of = (atMs: number): Partial<NewUpload> => ({
      concat: { header: 'x', partials: [first, first], partialsCreatedAtMs: [createdAtMs, atMs] },
    })
    assert.equal(await subject.storage.create(finalOf(subject, [first], of(createdAtMs - 1))), 'no-partial')
    const id = await final(subject, [first, first], of(createdAtMs))
    assert.equal(await remove(subject, first, { evenIfNeeded: true }), 'removed')
    await subject.clock.advance(1)
    await partial(subject, two, { id: first })
    assert.equal(await assemble(subject, id), 'gone')
  })

  test('its bytes outlive the partial uploads', async (subject) => {
    const [first, second] = [await partial(subject, one), await partial(subject, two)]
    const [id, other] = [await final(subject, [first, second]), await final(subject, [second])]
    assert.equal(await assemble(subject, id), 'ok')
    assert.equal(await assemble(subject, other), 'ok')
    assert.equal(await remove(subject, first), 'removed')
    assert.equal(await remove(subject, second), 'removed')
    while ((await subject.storage.vacuum?.(10))?.more) {}
    await subject.assertBytes(id, one, two)
    await flatten(subject, id)
    await subject.assertBytes(id, one, two)
    await subject.assertBytes(other, two)
    assert.equal(await remove(subject, id), 'removed')
    await subject.assertBytes(other, two)
    assert.equal(await remove(subject, other), 'removed')
  })

  test('its bytes outlive the id of a partial upload, which is not given again before', async (subject) => {
    const first = await partial(subject)
    // Whose claim ran out goes on in another place.
    await subject.claim(first, 'B')
    await subject.expire()
    await finish(subject, first, one)
    const id = await final(subject, [first])
    assert.equal(await assemble(subject, id), 'ok')
    assert.equal(await remove(subject, first), 'removed')
    const again = newUpload(subject.clock.now(), { id: first })
    assert.equal(await subject.storage.create(again), 'exists')
    await subject.assertBytes(id, one)
    assert.equal(await remove(subject, id), 'removed')
    assert.equal(await subject.storage.create(again), 'created')
    await subject.append(first, two)
    await subject.assertBytes(first, two)
  })

  test('the partial uploads outlive it', async (subject) => {
    const first = await partial(subject, one)
    const [id, other] = [await final(subject, [first]), await final(subject, [first])]
    assert.equal(await assemble(subject, id), 'ok')
    assert.equal(await assemble(subject, other), 'ok')
    await flatten(subject, other)
    assert.equal(await remove(subject, id), 'removed')
    assert.equal(await remove(subject, other), 'removed')
    while ((await subject.storage.vacuum?.(10))?.more) {}
    await subject.assertBytes(first, one)
  })

  if (has('flatten')) {
    test('it is made one of its own only within a try that has not run out', async (subject) => {
      const id = await final(subject, [await partial(subject, one), await partial(subject, two)])
      assert.equal(await assemble(subject, id), 'ok')
      const { storage, leaseMs: ttlMs } = subject
      assert.equal(await storage.flatten?.(id, 0, true), false)
      const taken = await storage.takeCompletion?.(id, { owner: 'A', ttlMs })
      await subject.expire()
      const next = await storage.takeCompletion?.(id, { owner: 'B', ttlMs })
      assert.ok(taken && next)
      assert.equal(await storage.flatten?.(id, taken.attempt, true), false)
      await subject.assertBytes(id, one, two)
      assert.equal(await storage.flatten?.(id, next.attempt, true), true)
      assert.equal(await storage.flatten?.(id, next.attempt, true), true)
      await subject.assertBytes(id, one, two)
      assert.equal(await storage.flatten?.('nobody', 1, true), false)
    })
  }

  if (has('flatten', 'read')) {
    test('a reader goes on while the bytes move and the partial uploads are removed', async (subject) => {
      const [first, second] = [await partial(subject, one), await partial(subject, two)]
      const id = await final(subject, [first, second])
      assert.equal(await assemble(subject, id), 'ok')
      const read: Uint8Array[] = []
      let chunks = 0
      for await (const chunk of subject.storage.read?.(id, 0, 8000) ?? []) {
        read.push(Uint8Array.from(chunk))
        if (chunks++ > 0) continue
        await flatten(subject, id)
        await remove(subject, first)
        await remove(subject, second)
      }
      assert.equal(Buffer.concat(read).compare(Buffer.concat([one, two])), 0)
    })
  }

  if (has('expired')) {
    test('a partial upload that is waited for is not among the expired, and keeps the final one alive', async (subject) => {
      const waitedFor = await partial(subject, undefined, { createdAtMs: 1000 })
      const alone = await partial(subject, undefined, { createdAtMs: 1500 })
      const id = await final(subject, [waitedFor], { createdAtMs: 2000 })
      const expired = async (sinceMs = 9000): Promise<string | undefined> => {
        const request = { unfinishedSinceMs: sinceMs, finishedSinceMs: sinceMs, limit: 10 }
        return (await subject.storage.expired?.(request))?.join()
      }
      assert.equal(await expired(), `${alone},${id}`)
      const { fence } = await subject.claim(waitedFor)
      if (has('claim')) assert.equal(await expired(), alone)
      await subject.release(waitedFor, fence)
      await subject.append(waitedFor, bytes(subject.unit), { activeAtMs: 9500 })
      assert.equal(await expired(), alone)
      assert.equal(await expired(9500), `${alone},${id}`)
    })

    test('complete partial uploads expire like unfinished ones, and finals like finished ones', async (subject) => {
      const { storage } = subject
      const part = await partial(subject, one)
      const id = await final(subject, [part])
      assert.equal(await assemble(subject, id), 'ok')
      const expired = async (kind: 'unfinishedSinceMs' | 'finishedSinceMs'): Promise<string | undefined> => {
        const none = { unfinishedSinceMs: undefined, finishedSinceMs: undefined }
        return (await storage.expired?.({ ...none, [kind]: Number.MAX_SAFE_INTEGER, limit: 10 }))?.join()
      }
      assert.deepEqual([await expired('unfinishedSinceMs'), await expired('finishedSinceMs')], [part, ''])
      const taken = await storage.takeCompletion?.(id, { owner: 'A', ttlMs: subject.leaseMs })
      await storage.settleCompletion?.(id, taken?.attempt ?? 0, { result: undefined })
      assert.equal(await expired('finishedSinceMs'), id)
    })
  }
}
