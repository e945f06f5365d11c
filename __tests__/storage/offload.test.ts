import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { TusError, toTusError } from '../../src/errors.js'
import { TusServer } from '../../src/server.js'
import { offload } from '../../src/storage/offload.js'
import type { Storage } from '../../src/storage/storage.js'
import { waitUntil } from '../support/example.js'
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
  /** A storage that dies of the ids `exit` and `throw`, and can't be made while a file is there. */
  function dying(): { storage: Storage; exits: Error[]; broken: string } {
    const broken = join(tempFolder(), 'broken')
    const exits: Error[] = []
    const onWorkerExit = (error: Error): void => void exits.push(error)
    return { storage: offload(fixture('odd.cjs'), { kind: 'dying', broken }, { onWorkerExit }), exits, broken }
  }

  async function isBack(storage: Storage): Promise<boolean> {
    try {
      await storage.get('fine')
      return true
    } catch {
      return false
    }
  }

  it.each([
    ['exits', 'exit', /ended with exit code 3/],
    ['has an uncaught error', 'throw', /the worker has died/],
  ])(
    'a worker that %s: what waits is refused for now, and what comes later has another one',
    async (_title, how, message) => {
      const { storage, exits } = dying()
      const stage = await stageOf(storage)
      const reading = storage.read?.('id', 0, 10)[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
      await reading.next()
      const waiting = [storage.get('hang'), reading.next(), storage.get(how)].map(failureOf)
      for (const failure of await Promise.all(waiting)) {
        expect(failure).toMatchObject({ code: 'EUNAVAILABLE', message: expect.stringMatching(message) })
        expect(failure.message).toContain('odd.cjs')
        expect(toTusError(failure)).toMatchObject({ status: 503, headers: { 'Retry-After': '1' }, cause: failure })
      }
      expect(exits).toHaveLength(1)
      // What was open in the former one is gone with it.
      for (const call of [stage.write([Buffer.alloc(1)]), stage.commit({ to: 1, durable: false }), stage.close()]) {
        expect(await failureOf(call)).toMatchObject({ code: 'EUNAVAILABLE' })
      }
      expect(await storage.get('fine')).toBeUndefined()
      const another = storage.read?.('id', 0, 1)[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
      expect((await another.next()).value).toHaveLength(1)
      const opened = await stageOf(storage)
      await opened.close()
      await storage.close()
      expect(exits).toHaveLength(1)
    },
  )

  it('many that come while it starts again wait for one and the same', async () => {
    const { storage, exits } = dying()
    await failureOf(storage.get('exit'))
    expect(await Promise.all(Array.from({ length: 20 }, () => storage.get('fine')))).toEqual(Array(20).fill(undefined))
    expect(exits).toHaveLength(1)
    await storage.close()
  })

  it('one that does not start again is not tried with each call, and comes back when it can', async () => {
    const { storage, exits, broken } = dying()
    writeFileSync(broken, '')
    await failureOf(storage.get('exit'))
    for (let call = 0; call < 20; call++) {
      const failure = await failureOf(storage.get('fine'))
      expect(failure).toMatchObject({ code: 'EUNAVAILABLE', message: expect.stringContaining('broken for now') })
    }
    // Its death, and one vain start.
    expect(exits.map(({ message }) => message)).toEqual([
      expect.stringContaining('3'),
      expect.stringContaining('broken'),
    ])
    rmSync(broken)
    await waitUntil(() => isBack(storage))
    expect(exits.length).toBeLessThan(4)
    await storage.close()
  })

  it('one that is dead can be closed, and stays closed', async () => {
    const { storage } = dying()
    await failureOf(storage.get('exit'))
    await storage.close()
    expect(await failureOf(storage.get('fine'))).toMatchObject({ code: 'ERR_STORAGE_ENDED' })
  })

  it('one that starts again while it is closed is closed, too', async () => {
    const { storage } = dying()
    await failureOf(storage.get('exit'))
    const [answer] = await Promise.allSettled([storage.get('fine'), storage.close()])
    expect(['fulfilled', 'rejected']).toContain(answer.status)
    expect(await failureOf(storage.get('fine'))).toMatchObject({ code: 'ERR_STORAGE_ENDED' })
  })

  it('has the uncaught error as its cause', async () => {
    const { storage, exits } = dying()
    const failure = await failureOf(storage.get('throw'))
    expect(failure.cause).toMatchObject({ message: 'thrown where nobody catches it' })
    expect(exits).toEqual([failure])
    await storage.close()
  })

  it('without a callback the process is warned', async () => {
    const { stderr } = await runNode(`
      const { offload } = require(${JSON.stringify(built('storage/offload.js'))})
      const storage = offload(${JSON.stringify(fixture('odd.cjs'))}, { kind: 'dying' })
      storage.get('throw').catch(() => storage.close())`)
    expect(stderr).toMatch(
      /RESUMABLE_UPLOAD_OFFLOAD_WORKER_DIED.*the worker has died: thrown where nobody catches it\./,
    )
  })

  it('with a callback that ends the process it ends', async () => {
    const { code } = await runNode(`
      const { offload } = require(${JSON.stringify(built('storage/offload.js'))})
      const onWorkerExit = () => process.exit(7)
      offload(${JSON.stringify(fixture('odd.cjs'))}, { kind: 'dying' }, { onWorkerExit }).get('exit').catch(() => {})`)
    expect(code).toBe(7)
  })

  it('an upload goes on that was under way, at what was committed, and its claim is free', async () => {
    const directory = tempFolder()
    const storage = offload(fixture('mortal.cjs'), { directory }, { onWorkerExit: () => {} })
    const tus = new TusServer({ storage, leaseMs: 60_000, claimWaitMs: 2_000, logger: { warn() {}, error() {} } })
    const version = { 'Tus-Resumable': '1.0.0' }
    const { headers } = await tus.handleRequest('POST', '/files', { ...version, 'Upload-Length': '10' })
    const path = headers.Location as string
    const patch = (offset: number, body: AsyncIterable<Uint8Array> | Uint8Array) => {
      const chunk = { ...version, 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': `${offset}` }
      return tus.handleRequest('PATCH', path, chunk, body)
    }
    expect((await patch(0, Buffer.from('hello'))).status).toBe(204)
    async function* body(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('wo')
      await failureOf(storage.get('die'))
      yield Buffer.from('rld')
    }
    const { status } = await patch(5, body())
    expect(status).toBe(503)
    const head = await tus.handleRequest('HEAD', path, version)
    expect(head.status).toBe(200)
    const offset = Number(head.headers['Upload-Offset'])
    expect((await patch(offset, Buffer.from('helloworld').subarray(offset))).status).toBe(204)
    expect(readFileSync(join(directory, path.slice('/files/'.length)), 'utf8')).toBe('helloworld')
    await tus.close()
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
