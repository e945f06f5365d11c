import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { TusError, toTusError } from '../../src/errors.js'
import { offload } from '../../src/storage/offload.js'
import { failureOf, fixture, odd, stageOf } from './support/odd-storage.js'
import { built, runNode } from './support/run-node.js'
import { tempFolder } from './support/temp-folder.js'

const MIB = 1024 * 1024

function thrownBy(action: () => unknown): Error {
  try {
    action()
  } catch (error) {
    return error as Error
  }
  throw new Error('it did not throw')
}

describe('offload: what it hosts', () => {
  it.each([
    ['an absolute path', fixture('hosted.cjs')],
    ['a file: URL', pathToFileURL(fixture('hosted.cjs'))],
    ['a file: URL as a string', pathToFileURL(fixture('hosted.cjs')).href],
    ['an ES module that awaits at its top', fixture('hosted.mjs')],
    ['a module that is a function', fixture('function.cjs')],
  ])('%s', async (_title, module) => {
    const storage = offload(module, {})
    expect(await storage.get('unknown')).toBeUndefined()
    await storage.close()
  })

  it('has exactly the capabilities of what it hosts', async () => {
    const capable = odd('capable')
    expect(Object.keys(capable).sort()).toEqual(
      [
        'create',
        'get',
        'openStage',
        'remove',
        'close',
        'claim',
        'vacuum',
        'freeBytes',
        'segments',
        'meetingPoint',
      ].sort(),
    )
    expect(capable.segments).toEqual({ minBytes: 5 * MIB, maxPieces: 10_000 })
    expect(await capable.freeBytes?.()).toBe(123)
    expect(capable.meetingPoint).toBe('/some/where')
    await capable.close()
  })
})

describe('offload: a storage that does not come up is an error at once', () => {
  it.each([
    ['a module that is not there', () => offload('/not/there.js'), /offload\(file:\/\/\/not\/there\.js\): Cannot find/],
    [
      'a module that does not load',
      () => offload(fixture('broken.mjs')),
      /broken\.mjs\): Cannot find module .*not-there/,
    ],
    ['a module without createStorage', () => offload(fixture('no-storage.cjs')), /no function createStorage/],
    ['createStorage throws', () => odd('failing'), /odd\.cjs\): no such bucket/],
    ['createStorage rejects', () => odd('rejecting'), /odd\.cjs\): connection refused/],
    ['createStorage returns nothing', () => odd('nothing'), /returned no storage: it has no create\(\)/],
    ['createStorage returns half a storage', () => odd('partial'), /returned no storage: it has no openStage\(\)/],
    ['the module ends its worker', () => odd('ending'), /odd\.cjs\): it ended its worker/],
    ['options that can not be cloned', () => odd('capable', { now: () => 0 }), /options can't be passed to a worker/],
    ['a relative path', () => offload('./my-storage.js'), /neither a URL nor an absolute path/],
    ['a package name', () => offload('my-storage'), /neither a URL nor an absolute path/],
    [
      'a storage that is never made',
      () => offload(fixture('odd.cjs'), { kind: 'stuck' }, { startTimeoutMs: 500 }),
      /made no storage within 500 ms/,
    ],
  ])('%s', (_title, start, message) => {
    expect(thrownBy(start).message).toMatch(message)
  })

  it('has the original error as its cause', () => {
    expect(thrownBy(() => odd('failing')).cause).toMatchObject({ message: 'no such bucket', code: 'NoSuchBucket' })
  })
})

describe('offload: errors', () => {
  const storage = odd('throwing')
  afterAll(() => storage.close())

  it('a full disk keeps its code and becomes 507', async () => {
    const error = await failureOf(storage.get('full'))
    expect(error).toMatchObject({ code: 'ENOSPC', errno: -28, syscall: 'write', message: 'no space left on device' })
    expect(error).toBeInstanceOf(Error)
    expect(toTusError(error).status).toBe(507)
  })

  it('a full database keeps its errcode and becomes 507', async () => {
    const error = await failureOf(storage.get('sqlite'))
    expect(error).toMatchObject({ code: 'ERR_SQLITE_ERROR', errcode: 13 })
    expect(toTusError(error).status).toBe(507)
  })

  it('errors of stages cross, too', async () => {
    const stage = await stageOf(storage)
    expect(toTusError(await failureOf(stage.write([Buffer.from('x')]))).status).toBe(507)
    expect(toTusError(await failureOf(stage.commit({ to: 1, durable: false }))).status).toBe(507)
    await stage.close()
  })

  it('a TusError comes back as one, with its sentence, headers and cause', async () => {
    const error = await failureOf(storage.get('tus'))
    expect(error).toBeInstanceOf(TusError)
    expect(toTusError(error)).toBe(error)
    expect(error).toMatchObject({ code: 'ERR_LOCKED', status: 423, message: 'busy', headers: { 'Retry-After': '7' } })
    expect(error.cause).toMatchObject({ message: 'inside' })
  })

  it("a programmer's mistake keeps its class, its message, and where it happened", async () => {
    const error = await failureOf(storage.get('type'))
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toBe('x is not a function')
    expect(error.stack).toContain('odd.cjs')
    expect(toTusError(error)).toMatchObject({ status: 500, cause: error })
  })

  it('name and status of errors of other libraries are kept', async () => {
    const error = await failureOf(storage.get('status'))
    expect(error).toMatchObject({ name: 'ServiceError', code: 'SlowDown', status: 503 })
  })

  it('an error of a library whose name and code are ours is none of ours', async () => {
    const error = await failureOf(storage.get('code'))
    expect(error).toMatchObject({ message: 'no such row', code: 'ERR_NOT_FOUND' })
    expect(toTusError(error)).toMatchObject({ status: 500, cause: error })
  })

  it('a TusError of a later version keeps its answer', async () => {
    expect(toTusError(await failureOf(storage.get('later')))).toMatchObject({ code: 'ERR_REJECTED', status: 418 })
  })

  it('what is thrown and is no error becomes one', async () => {
    expect(await failureOf(storage.get('string'))).toMatchObject({ message: 'just a string' })
    expect(await failureOf(storage.get('symbol'))).toMatchObject({ message: 'Symbol(x)' })
    expect(await failureOf(storage.get('bare'))).toMatchObject({ message: 'an unreadable object was thrown' })
    expect(await failureOf(storage.get('getter'))).toMatchObject({ message: 'an unreadable object was thrown' })
  })

  it('what can not cross is an error, in both directions', async () => {
    const uncloneable = odd('uncloneable')
    expect(await failureOf(uncloneable.get('x'))).toMatchObject({ name: 'DataCloneError' })
    expect(await failureOf(uncloneable.get((() => {}) as unknown as string))).toMatchObject({ name: 'DataCloneError' })
    await uncloneable.close()
  })
})

describe('offload: a worker that dies', () => {
  it.each([
    ['exits', 'exit', /ended with exit code 3/],
    ['has an uncaught error', 'throw', /the worker has died/],
  ])('a worker that %s: what waits is rejected, and so is what comes later', async (_title, how, message) => {
    const storage = odd('dying')
    const stage = await stageOf(storage)
    const reading = storage.read?.('id', 0, 10)[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
    await reading.next()
    const waiting = [storage.get('hang'), reading.next(), storage.get(how)].map(failureOf)
    for (const failure of await Promise.all(waiting)) {
      expect(failure).toMatchObject({ code: 'ERR_STORAGE_ENDED', message: expect.stringMatching(message) })
      expect(failure.message).toContain('odd.cjs')
    }
    const later = [
      storage.get('x'),
      storage.openStage('id', 1, 0),
      stage.write([Buffer.alloc(1)]),
      stage.close(),
      reading.next().then(() => storage.read?.('id', 0, 1)[Symbol.asyncIterator]().next()),
      storage.close(),
    ].map(failureOf)
    for (const failure of await Promise.all(later)) expect(failure).toMatchObject({ code: 'ERR_STORAGE_ENDED' })
  })

  it('has the uncaught error as its cause', async () => {
    const failure = await failureOf(odd('dying').get('throw'))
    expect(failure.cause).toMatchObject({ message: 'thrown where nobody catches it' })
  })
})

describe('offload: the end', () => {
  it('closing twice is closing once; what comes later is rejected', async () => {
    const storage = offload(fixture('hosted.cjs'), {})
    const closing = storage.close()
    expect(storage.close()).toBe(closing)
    await closing
    expect(await failureOf(storage.get('x'))).toMatchObject({ message: expect.stringContaining('storage is closed') })
  })

  it('a SQLite storage is really closed: its log is gone', async () => {
    const directory = tempFolder()
    const storage = offload(fixture('hosted.cjs'), { directory })
    await storage.get('x')
    expect(existsSync(resolve(directory, '.resumable-upload/uploads.sqlite-wal'))).toBe(true)
    await storage.close()
    expect(existsSync(resolve(directory, '.resumable-upload/uploads.sqlite-wal'))).toBe(false)
  })

  const scripts = {
    cjs: `const { offload } = require(${JSON.stringify(built('storage/offload.js'))})`,
    esm: `import { offload } from ${JSON.stringify(built('storage/offload.js', 'esm'))}`,
  }
  it.each([
    ['cjs', fixture('hosted.cjs')],
    ['cjs', fixture('hosted.mjs')],
    ['esm', fixture('hosted.cjs')],
    ['esm', fixture('hosted.mjs')],
  ] as const)('from the %s build with %s: works, and the process ends by itself', async (format, module) => {
    const run = await runNode(
      `${scripts[format]}
      const storage = offload(${JSON.stringify(module)}, {})
      storage.get('unknown')
        .then((upload) => console.log('got', upload))
        .then(() => storage.close())
        .then(() => console.log('closed'))`,
      { esm: format === 'esm' },
    )
    expect(run).toEqual({ code: 0, signal: null, stdout: 'got undefined\nclosed\n', stderr: '' })
  })

  it('keeps no process alive that has nothing to wait for, but one that waits', async () => {
    const run = await runNode(
      `${scripts.cjs}
      const storage = offload(${JSON.stringify(fixture('odd.cjs'))}, { kind: 'blocking' })
      storage.create({}).then((result) => console.log(result))`,
    )
    expect(run).toEqual({ code: 0, signal: null, stdout: 'created\n', stderr: '' })
  })
})
