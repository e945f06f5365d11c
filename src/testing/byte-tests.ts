// The contract of bytes: whatever way they come in, they come out as they were.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { assertSameBytes, bytes, type Suite } from './subject.js'

const MIB = 1024 * 1024

/** Declares the tests of writing and reading. */
export function testBytes({ test, has, largeBytes }: Suite): void {
  test('writes of no bytes change nothing', async (subject) => {
    const { id } = await subject.create()
    const stage = await subject.open(id)
    await stage.write()
    await stage.write(new Uint8Array(0))
    await stage.write(bytes(subject.unit), new Uint8Array(0))
    await stage.write(new Uint8Array(0), new Uint8Array(0))
    assert.equal(await stage.commit(), 'ok')
    await stage.close()
    await subject.assertBytes(id, bytes(subject.unit))
  })

  test('one write may have thousands of chunks', async (subject) => {
    const content = bytes(20_000)
    const chunks: Uint8Array[] = []
    for (let position = 0; position < content.length; ) {
      const end = position + 1 + (chunks.length % 7)
      chunks.push(content.subarray(position, end))
      position = end
    }
    assert.ok(chunks.length > 4000)
    const { id } = await subject.create({ length: content.length })
    const stage = await subject.open(id)
    await stage.write(...chunks)
    assert.equal(await stage.commit({ complete: true }), 'ok')
    await stage.close()
    await subject.assertBytes(id, content)
  })

  test('buffers may be used again once their write has settled', async (subject) => {
    for (const size of [subject.unit, Math.max(subject.unit, 300_000)]) {
      const [first, second] = [bytes(size, 1), bytes(size, 2)]
      const { id } = await subject.create({ length: size * 2 })
      const buffer = Buffer.from(first)
      const stage = await subject.open(id)
      await stage.write(buffer)
      second.copy(buffer)
      await stage.write(buffer)
      buffer.fill(0)
      assert.equal(await stage.commit({ complete: true }), 'ok')
      await stage.close()
      await subject.assertBytes(id, first, second)
    }
  })

  test('chunks may be slices of one buffer, which the caller keeps', async (subject) => {
    const pool = bytes(subject.unit * 3)
    const { id } = await subject.create()
    const stage = await subject.open(id)
    await stage.write(pool.subarray(subject.unit, subject.unit * 2), pool.subarray(5, 10))
    assert.equal(await stage.commit(), 'ok')
    await stage.close()
    await subject.assertBytes(id, pool.subarray(subject.unit, subject.unit * 2), pool.subarray(5, 10))
    assertSameBytes(pool, bytes(subject.unit * 3))
  })

  test('uploads that are written at the same time do not mix', async (subject) => {
    const uploads = await Promise.all(Array.from({ length: 10 }, () => subject.create({ length: subject.unit * 3 })))
    await Promise.all(
      uploads.map(async ({ id }, index) => {
        const stage = await subject.open(id, `owner-${index}`)
        for (let part = 0; part < 3; part++) {
          await stage.write(bytes(subject.unit, index * 10 + part))
          assert.equal(await stage.commit({ complete: part === 2, durable: index % 2 === 0 }), 'ok')
        }
        await stage.close()
      }),
    )
    for (const [index, { id }] of uploads.entries()) {
      await subject.assertBytes(id, ...[0, 1, 2].map((part) => bytes(subject.unit, index * 10 + part)))
    }
  })

  test(`a body of ${largeBytes / MIB} MiB in writes of 1 MiB`, async (subject) => {
    const { id } = await subject.create({ length: largeBytes })
    const written = createHash('sha256')
    const stage = await subject.open(id)
    const chunk = bytes(MIB)
    for (let position = 0; position < largeBytes; position += MIB) {
      chunk.writeUInt32BE(position / MIB)
      written.update(chunk)
      await stage.write(chunk.subarray(0, 400_000), chunk.subarray(400_000))
      if (position === MIB * 32) assert.equal(await stage.commit(), 'ok')
    }
    assert.equal(await stage.commit({ complete: true, durable: true }), 'ok')
    await stage.close()
    assert.equal((await subject.get(id)).offset, largeBytes)
    if (!has('read')) return
    const read = createHash('sha256')
    for await (const part of subject.storage.read?.(id, 0, largeBytes) ?? []) read.update(part)
    assert.equal(read.digest('hex'), written.digest('hex'))
  })

  if (has('read')) testReading({ test, has })
  if (has('vacuum')) testVacuum({ test, has })
}

function testReading({ test, has }: Pick<Suite, 'test' | 'has'>): void {
  test('any range of committed bytes can be read, complete or not', async (subject) => {
    const { unit } = subject
    const content = bytes(unit * 3)
    const { id } = await subject.create({ length: unit * 3 })
    for (const part of [0, 1, 2]) {
      await subject.append(id, content.subarray(part * unit, (part + 1) * unit), { complete: part === 2 })
      if (has('claim')) {
        await subject.claim(id)
        await subject.expire()
      }
      const end = (part + 1) * unit
      for (const [from, to] of [
        [0, end],
        [0, 1],
        [end - 1, end],
        [unit - 1, Math.min(unit + 1, end)],
        [7, end - 7],
        [5, 5],
        [end, end],
      ] as const) {
        assertSameBytes(await subject.read(id, from, to), content.subarray(from, to))
      }
    }
  })

  test('bytes that are only staged can not be read', async (subject) => {
    const { id } = await subject.create()
    await subject.append(id, bytes(subject.unit, 1))
    const stage = await subject.open(id)
    await stage.write(bytes(subject.unit, 2))
    const chunks: Uint8Array[] = []
    for await (const chunk of subject.storage.read?.(id, 0, subject.unit * 2) ?? []) chunks.push(Uint8Array.from(chunk))
    await stage.close()
    assertSameBytes(Buffer.concat(chunks), bytes(subject.unit, 1))
  })

  test('a reader may stop early, and read again', async (subject) => {
    const content = bytes(Math.max(subject.unit, 3 * MIB))
    const { id } = await subject.create({ length: content.length })
    await subject.append(id, content, { complete: true })
    for await (const chunk of subject.storage.read?.(id, 0, content.length) ?? []) {
      assert.ok(chunk.length > 0)
      break
    }
    await subject.assertBytes(id, content)
  })

  test('several readers do not disturb each other', async (subject) => {
    const content = bytes(Math.max(subject.unit, MIB))
    const { id } = await subject.create({ length: content.length })
    await subject.append(id, content, { complete: true })
    await Promise.all([1, 2, 3].map(() => subject.assertBytes(id, content)))
  })
}

function testVacuum({ test, has }: Pick<Suite, 'test' | 'has'>): void {
  test('tidying up ends, and leaves what is in use', async (subject) => {
    const content = bytes(subject.unit)
    const ids: string[] = []
    for (let index = 0; index < 5; index++) {
      const { id } = await subject.create({ length: subject.unit * 2 })
      ids.push(id)
      await subject.append(id, content)
    }
    const [complete, claimed, removed] = ids as [string, string, string]
    await subject.append(complete, content, { complete: true })
    const stage = await subject.open(claimed)
    await stage.write(content)
    await subject.storage.remove(removed, (await subject.claim(removed)).fence)

    for (const limit of [1, 2, 100]) {
      let steps = 0
      while ((await subject.storage.vacuum?.(limit))?.more) assert.ok(++steps < 100, 'it does not end')
    }

    assert.equal(await stage.commit({ complete: true }), 'ok')
    await stage.close()
    await subject.assertBytes(complete, content, content)
    await subject.assertBytes(claimed, content, content)
    assert.equal(await subject.storage.get(removed), undefined)
    for (const id of ids.slice(3)) {
      await subject.append(id, content, { complete: true })
      await subject.assertBytes(id, content, content)
    }
  })

  if (!has('claim')) return

  test('tidying up does not disturb an upload that changed hands', async (subject) => {
    const { id } = await subject.create({ length: subject.unit * 2 })
    const late = await subject.open(id, 'A')
    await late.write(bytes(subject.unit, 9))
    await subject.expire()
    const stage = await subject.open(id, 'B')
    await stage.write(bytes(subject.unit, 1))
    await stage.commit()
    while ((await subject.storage.vacuum?.(10))?.more);
    await late.write(bytes(subject.unit, 9))
    await late.close()
    await stage.write(bytes(subject.unit, 2))
    assert.equal(await stage.commit({ complete: true }), 'ok')
    await stage.close()
    while ((await subject.storage.vacuum?.(10))?.more);
    await subject.assertBytes(id, bytes(subject.unit, 1), bytes(subject.unit, 2))
  })
}
