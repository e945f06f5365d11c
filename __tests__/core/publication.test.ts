// No client and no hook is told of a finished upload before its file has its name; what keeps it from that is tried again.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TusServerOptions } from '../../src/options.js'
import { MemoryStorage } from '../../src/storage/memory/memory-storage.js'
import { SQLiteStorage } from '../../src/storage/sqlite/sqlite-storage.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { idOf, startServer } from './support.js'

const LENGTH = { 'Upload-Length': '5' }

interface Site extends ReturnType<typeof startServer> {
  readonly directory: string
  advance(ms: number): void
}

/** A server on a directory, with a clock of its own. */
function start(options: Partial<TusServerOptions> = {}, directory = tempFolder()): Site {
  let aheadMs = 0
  const now = (): number => Date.now() + aheadMs
  const storage = new SQLiteStorage({ directory, now })
  const advance = (ms: number): void => {
    aheadMs += ms
  }
  return { ...startServer({ storage, now, downloads: true, ...options }), directory, advance }
}

describe.each(['without a hook', 'with a hook that is awaited', 'with a hook in the background'])('%s', (kind) => {
  /** The ids that the hook was told of, and whether their files were there. */
  let told: [string, boolean][]

  beforeEach(() => {
    told = []
  })

  function hook(): Partial<TusServerOptions> {
    if (kind === 'without a hook') return {}
    return {
      completion: kind.endsWith('awaited') ? 'await' : 'background',
      onUploadComplete: ({ upload, path }) => void told.push([upload.id, existsSync(String(path))]),
    }
  }

  async function blocked(site: Site): Promise<{ path: string; obstacle: string }> {
    const path = await site.create(LENGTH)
    const obstacle = join(site.directory, idOf(path))
    mkdirSync(obstacle)
    writeFileSync(join(obstacle, 'thumbnail'), '')
    expect((await site.patch(path, 0, Buffer.from('hello'))).status).toBe(500)
    return { path, obstacle }
  }

  it('an upload whose file can not get its name is 423 until it has it, and then as any other', async () => {
    const site = start(hook())
    const { path, obstacle } = await blocked(site)
    expect(site.logger.errors.map(String)).toEqual([expect.stringContaining(obstacle)])
    for (const method of ['HEAD', 'GET']) {
      const answer = await site.handle(method, path)
      expect([answer.status, answer.headers['Upload-Offset']]).toEqual([423, undefined])
      expect(Number(answer.headers['Retry-After'])).toBeGreaterThan(0)
    }
    expect((await site.patch(path, 5)).status).toBe(423)
    site.advance(2_000)
    await site.tus.cleanUp()
    // The same thing is in the way: it is in the log once.
    expect([site.logger.errors.length, told]).toEqual([1, []])
    rmSync(obstacle, { recursive: true })
    site.advance(10_000)
    await site.tus.cleanUp()
    expect(readFileSync(obstacle, 'utf8')).toBe('hello')
    expect(await site.offsetOf(path)).toBe(5)
    expect((await site.patch(path, 5)).status).toBe(204)
    expect((await site.handle('GET', path)).status).toBe(200)
    expect(told).toEqual(kind === 'without a hook' ? [] : [[idOf(path), true]])
  })

  it('no client hears what is in the way', async () => {
    const site = start(hook())
    const path = await site.create(LENGTH)
    mkdirSync(join(site.directory, idOf(path)))
    const answer = await site.patch(path, 0, Buffer.from('hello'))
    expect(String(answer.body)).toBe('Internal server error\n')
    const created = await start(hook(), site.directory).handle('HEAD', path)
    expect(created.status).toBe(423)
  })

  it('one that can not be published keeps no other from it', async () => {
    const site = start(hook())
    const first = await blocked(site)
    const second = await blocked(site)
    rmSync(second.obstacle, { recursive: true })
    site.advance(10_000)
    await site.tus.cleanUp()
    expect([readFileSync(second.obstacle, 'utf8'), await site.offsetOf(second.path)]).toEqual(['hello', 5])
    expect((await site.handle('HEAD', first.path)).status).toBe(423)
  })

  it('it is published by the next process', async () => {
    const site = start(hook())
    const { path, obstacle } = await blocked(site)
    await site.tus.close()
    rmSync(obstacle, { recursive: true })
    const next = start(hook(), site.directory)
    next.advance(10_000)
    await next.tus.cleanUp()
    expect([readFileSync(obstacle, 'utf8'), await next.offsetOf(path)]).toEqual(['hello', 5])
    expect(told).toEqual(kind === 'without a hook' ? [] : [[idOf(path), true]])
  })

  it('it can be removed, and what is in the way stays', async () => {
    const site = start(hook())
    const { path, obstacle } = await blocked(site)
    expect((await site.handle('DELETE', path)).status).toBe(204)
    expect(readdirSync(obstacle)).toEqual(['thumbnail'])
    expect(readdirSync(join(site.directory, '.resumable-upload/parts'))).toEqual([])
  })
})

it('many that stay due although they were tried are tried at the pace of one: on a full disk nobody can put them off', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  const storage = new MemoryStorage()
  const ids = Array.from({ length: 20 }, (_, index) => String(index))
  jest.spyOn(storage, 'unpublished').mockReturnValue(ids)
  const publish = jest.spyOn(storage, 'publish').mockRejectedValue(new Error('EEXIST'))
  const { logger } = startServer({ storage })
  await jest.advanceTimersByTimeAsync(500)
  expect(publish).toHaveBeenCalledTimes(20)
  expect(logger.errors).toHaveLength(20)
  jest.useRealTimers()
})

it('a POST with the whole body whose file can not get its name tells the URL, and keeps the upload', async () => {
  const site = start({ onUploadCreate: () => ({ name: 'taken' }) })
  const chunk = { ...LENGTH, 'Content-Type': 'application/offset+octet-stream' }
  const write = jest.spyOn(site.storage, 'create')
  write.mockImplementationOnce(async (upload) => {
    write.mockRestore()
    const result = await site.storage.create(upload)
    writeFileSync(join(site.directory, 'taken'), 'theirs')
    return result
  })
  const answer = await site.handle('POST', '/files', chunk, Buffer.from('hello'))
  expect([answer.status, typeof answer.headers.Location]).toEqual([500, 'string'])
  expect(readFileSync(join(site.directory, 'taken'), 'utf8')).toBe('theirs')
  expect((await site.handle('HEAD', String(answer.headers.Location))).status).toBe(423)
})

it('a final upload whose file can not get its name has no offset at HEAD before it has', async () => {
  const site = start()
  const partial = { ...LENGTH, 'Upload-Concat': 'partial', 'Content-Type': 'application/offset+octet-stream' }
  const { headers } = await site.handle('POST', '/files', partial, Buffer.from('hello'))
  const blocked = jest.spyOn(SQLiteStorage.prototype, 'publish').mockRejectedValue(new Error('EACCES'))
  const final = await site.handle('POST', '/files', { 'Upload-Concat': `final;${headers.Location}` })
  const path = String(final.headers.Location)
  expect((await site.handle('HEAD', path)).status).toBe(423)
  blocked.mockRestore()
  site.advance(60_000)
  expect(await site.offsetOf(path)).toBe(5)
  expect(readFileSync(join(site.directory, idOf(path)), 'utf8')).toBe('hello')
})

it('an unfinished file that was removed: the client goes on from what is there, and the log says so once', async () => {
  const site = start()
  const path = await site.create(LENGTH)
  await site.patch(path, 0, Buffer.from('hel'))
  rmSync(join(site.directory, '.resumable-upload/parts', idOf(path)))
  expect((await site.patch(path, 3, Buffer.from('lo'))).status).toBe(409)
  expect(await site.offsetOf(path)).toBe(0)
  expect((await site.patch(path, 0, Buffer.from('hello'))).status).toBe(204)
  expect(readFileSync(join(site.directory, idOf(path)), 'utf8')).toBe('hello')
  expect(site.logger.errors.map(String)).toEqual([expect.stringContaining('not all of the 3 bytes')])
})

describe('what an application chooses for an upload', () => {
  it.each([
    ['a number as id', { id: 7 }],
    ['a String as id', { id: new String('abc') }],
    ['a number as name', { name: 7 }],
    ['a string for overwrite', { overwrite: 'yes' }],
    ['a reserved name', { name: 'NUL' }],
    ['a reserved id', { id: 'con' }],
  ])('%s is an error at the creation, in the log, and nothing is created', async (_what, decision) => {
    for (const storage of [new MemoryStorage(), new SQLiteStorage({ directory: tempFolder() })]) {
      const { handle, logger } = startServer({ storage, onUploadCreate: () => decision as object })
      const answer = await handle('POST', '/files', LENGTH)
      expect([answer.status, answer.headers.Location]).toEqual([500, undefined])
      expect(logger.errors).toHaveLength(1)
      expect(logger.errors[0]).toBeInstanceOf(TypeError)
      for (const id of ['7', 'abc', 'con']) expect(await storage.get(id)).toBeUndefined()
    }
  })

  it('a number from generateId is one, too', async () => {
    const { handle, logger } = startServer({ generateId: (() => 42) as unknown as () => string })
    expect((await handle('POST', '/files', LENGTH)).status).toBe(500)
    expect(String(logger.errors[0])).toContain('an id must be a string')
  })

  it('names above each other are refused by 409, and the log names both', async () => {
    const names = ['a', 'a/b']
    const { handle, logger } = startServer({ onUploadCreate: () => ({ name: names.shift() }) })
    expect((await handle('POST', '/files', LENGTH)).status).toBe(201)
    expect((await handle('POST', '/files', LENGTH)).status).toBe(409)
    expect(logger.errors.map(String)).toEqual([expect.stringMatching(/"a\/b".*"a"/)])
  })
})
