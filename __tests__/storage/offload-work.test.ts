import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { toTusError } from '../../src/errors.js'
import { offload } from '../../src/storage/offload.js'
import type { Storage } from '../../src/storage/storage.js'
import { failureOf, fixture, odd, stageOf } from './support/odd-storage.js'
import { built, runNode } from './support/run-node.js'
import { onSmallDisk, smallDisk } from './support/small-disk.js'

const MIB = 1024 * 1024

describe('offload: a full disk', () => {
  // Without the right to mount, 507 is still shown in offload.test.ts, with an error that is thrown.
  onSmallDisk('is 507; what was committed stays, and the upload goes on when there is space', async () => {
    const storage = offload(fixture('hosted.cjs'), { directory: smallDisk(4 * MIB) })
    const chunk = Buffer.alloc(MIB / 2, 'x')
    const hog = { id: 'hog', name: 'hog', length: MIB, metadata: undefined, createdAtMs: 0 }
    const upload = { ...hog, id: 'upload', name: 'upload', length: 4 * MIB - MIB / 2 }
    for (const one of [hog, upload]) await storage.create(one)
    const take = async (id: string) => {
      const claim = await storage.claim?.(id, { owner: 'A', ttlMs: 60_000 })
      if (claim === undefined || !('fence' in claim)) throw new Error('no claim')
      return { ...claim, stage: await storage.openStage(id, claim.fence, claim.upload.offset) }
    }
    const hogging = await take('hog')
    await hogging.stage.write([chunk, chunk])
    expect(await hogging.stage.commit({ to: MIB, complete: true, durable: true })).toBe('ok')
    await hogging.stage.close()

    const first = await take('upload')
    let staged = 0
    let failure: unknown
    while (failure === undefined) {
      try {
        await first.stage.write([chunk])
        staged += chunk.length
      } catch (error) {
        failure = error
      }
    }
    expect(failure).toMatchObject({ code: 'ENOSPC' })
    expect(toTusError(failure).status).toBe(507)
    expect(await first.stage.commit({ to: staged, durable: false, release: true })).toBe('ok')
    await first.stage.close()
    expect((await storage.get('upload'))?.offset).toBe(staged)

    expect(await storage.remove('hog', hogging.fence)).toBe('removed')
    const second = await take('upload')
    let position = second.upload.offset
    for (; position < upload.length && position < 3 * MIB; position += chunk.length) await second.stage.write([chunk])
    expect(await second.stage.commit({ to: position, durable: false })).toBe('ok')
    await second.stage.close()
    let read = 0
    for await (const part of storage.read?.('upload', 0, position) ?? []) {
      read += part.length
      expect(part.every((byte) => byte === 'x'.charCodeAt(0))).toBe(true)
    }
    expect(read).toBe(position)
    await storage.close()
  })
})

describe('offload: bytes', () => {
  it('a body of 64 MiB arrives, and the buffers stay the caller’s', async () => {
    const storage = offload(fixture('hosted.cjs'), {})
    await storage.create({
      id: 'id',
      name: 'id',
      length: 64 * MIB,
      metadata: undefined,
      createdAtMs: 0,
    })
    const claim = await storage.claim?.('id', { owner: 'A', ttlMs: 60_000 })
    const stage = await storage.openStage('id', (claim as { fence: number }).fence, 0)
    const whole = Buffer.alloc(64 * MIB, 'abcdefg')
    await stage.write([whole.subarray(0, 40 * MIB), whole.subarray(40 * MIB)])
    expect(whole.buffer.byteLength).toBe(64 * MIB)
    expect(await stage.commit({ to: 64 * MIB, complete: true, durable: false })).toBe('ok')
    await stage.close()
    let position = 0
    for await (const chunk of storage.read?.('id', 0, 64 * MIB) ?? []) {
      if (!whole.subarray(position, position + chunk.length).equals(chunk)) throw new Error(`wrong after ${position}`)
      position += chunk.length
    }
    expect(position).toBe(64 * MIB)
    await storage.close()
  })

  it('a reader that is slow holds the worker up: a few chunks are under way, however many there are', async () => {
    const count = new Int32Array(new SharedArrayBuffer(8))
    const storage = odd('source', { count })
    const chunks = storage.read?.('id', 0, 1024 * MIB)[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
    for (let taken = 1; taken <= 20; taken++) {
      await chunks.next()
      // Each answer shows that the worker has had its turn since.
      for (let round = 0; round < 5; round++) await storage.get('x')
      expect(Atomics.load(count, 0)).toBeLessThanOrEqual(taken + 6)
    }
    await chunks.return?.()
    await storage.close()
  })

  it('reading 512 MiB needs the memory of a few chunks', async () => {
    const { code, stdout, stderr } = await runNode(
      `const { offload } = require(${JSON.stringify(built('storage/offload.js'))})
      const count = new Int32Array(new SharedArrayBuffer(8))
      const storage = offload(${JSON.stringify(fixture('odd.cjs'))}, { kind: 'source', count })
      ;(async () => {
        let peak = 0, size = 0
        for await (const chunk of storage.read('id', 0, 512 * ${MIB})) {
          size += chunk.length
          if (size % (16 * ${MIB}) !== 0) continue
          // What is not collected yet does not count; a turn of the loop lets the worker send all that it may.
          await new Promise((resolve) => setImmediate(resolve))
          gc()
          peak = Math.max(peak, process.memoryUsage().arrayBuffers)
        }
        console.log(JSON.stringify({ size, peakMiB: Math.ceil(peak / ${MIB}) }))
        await storage.close()
      })()`,
      { flags: ['--expose-gc'] },
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const { size, peakMiB } = JSON.parse(stdout)
    expect(size).toBe(512 * MIB)
    expect(peakMiB).toBeLessThan(32)
  })

  it('a reader that stops early ends the reading in the worker before it goes on', async () => {
    const count = new Int32Array(new SharedArrayBuffer(8))
    const storage = odd('source', { count })
    for await (const chunk of storage.read?.('id', 0, 100 * MIB) ?? []) {
      expect(chunk.length).toBe(MIB)
      break
    }
    expect(Atomics.load(count, 1)).toBe(1)
    expect(Atomics.load(count, 0)).toBeLessThan(10)
    await storage.close()
  })

  it('a reader that never begins costs the worker nothing', async () => {
    const count = new Int32Array(new SharedArrayBuffer(8))
    const storage = odd('source', { count })
    const chunks = storage.read?.('id', 0, 100 * MIB)[Symbol.asyncIterator]()
    await storage.get('x')
    await chunks?.return?.()
    expect([...count]).toEqual([0, 0])
    await storage.close()
  })

  it('chunks larger than a mebibyte cross in parts', async () => {
    const storage = odd('source', { count: new Int32Array(new SharedArrayBuffer(8)), chunkBytes: 5 * MIB + 1 })
    const sizes: number[] = []
    for await (const chunk of storage.read?.('id', 0, 5 * MIB + 1) ?? []) sizes.push(chunk.length)
    expect(sizes).toEqual([MIB, MIB, MIB, MIB, MIB, 1])
    await storage.close()
  })

  it('an error in the middle of a reading comes after the chunks before it', async () => {
    const count = new Int32Array(new SharedArrayBuffer(8))
    const storage = odd('source', { count, error: 'the source ran dry' })
    let size = 0
    const failure = await failureOf(
      (async () => {
        for await (const chunk of storage.read?.('id', 0, 10 * MIB) ?? []) size += chunk.length
      })(),
    )
    expect(failure.message).toBe('the source ran dry')
    expect(size).toBe(10 * MIB)
    await storage.close()
  })
})

describe('offload: aborts', () => {
  it('a stage that is closed in the middle of a write is closed after it', async () => {
    const storage = odd('ordered')
    const stage = await stageOf(storage)
    const writing = stage.write([Buffer.from('x')])
    const closing = stage.close()
    expect(await storage.get('log')).toEqual({ 0: 'write' })
    await storage.get('finish')
    await Promise.all([writing, closing])
    expect(await storage.get('log')).toEqual({ 0: 'write', 1: 'written', 2: 'closed' })
    await stage.close()
    expect(await failureOf(stage.write([Buffer.from('x')]))).toMatchObject({ message: 'the stage is closed' })
    await storage.close()
  })
})

describe('offload: the event loop', () => {
  it('stays free while the storage blocks its own thread for 200 ms per call', async () => {
    const storage = odd('blocking')
    const histogram = monitorEventLoopDelay({ resolution: 5 })
    const upload = { id: 'id', name: 'id', length: 1, metadata: undefined, createdAtMs: 0 }
    const began = performance.now()
    histogram.enable()
    await storage.create(upload)
    const stage = await stageOf(storage)
    for (let round = 0; round < 3; round++) await stage.write([Buffer.alloc(MIB)])
    await stage.commit({ to: 1, durable: true })
    await stage.close()
    histogram.disable()
    expect(performance.now() - began).toBeGreaterThan(1_100)
    expect(histogram.max / 1e6).toBeLessThan(150)
    await storage.close()

    // The same on this thread, to show that it would have been seen.
    const { createStorage } = require(fixture('odd.cjs')) as { createStorage(options: object): Storage }
    const control = monitorEventLoopDelay({ resolution: 5 })
    control.enable()
    await delay(20)
    await createStorage({ kind: 'blocking' }).create(upload)
    await delay(20)
    control.disable()
    expect(control.max / 1e6).toBeGreaterThan(190)
  })
})
