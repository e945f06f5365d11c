// minFreeBytes: what would not leave enough space is refused at its creation.

import { MemoryStorage, type TusServerOptions } from '../../src/index.js'
import { CHUNK, deferred, idle, idOf, overriding, startServer } from './support.js'

function withFree(free: number, minFreeBytes?: number, options: Partial<TusServerOptions> = {}) {
  const freeBytes = jest.fn(async () => free)
  const storage = overriding(options.storage ?? new MemoryStorage(), { freeBytes })
  const onUploadCreate = jest.fn()
  const server = startServer({ onUploadCreate, minFreeBytes, ...options, storage })
  return { ...server, freeBytes, onUploadCreate }
}

test.each([
  [{ 'Upload-Length': '60' }, 201],
  [{ 'Upload-Length': '61' }, 507],
  [{ 'Upload-Defer-Length': '1' }, 201],
])('100 bytes are free, 40 must stay so: %p is answered by %d', async (headers, status) => {
  expect((await withFree(100, 40).handle('POST', '/files', headers)).status).toBe(status)
})

test('with less than that free, nothing is created, not even an upload of unknown length, or of none', async () => {
  const { handle, onUploadCreate, logger } = withFree(39, 40)
  for (const headers of [{ 'Upload-Length': '0' }, { 'Upload-Defer-Length': '1' }]) {
    const { status, body } = await handle('POST', '/files', headers)
    expect([status, String(body)]).toEqual([507, 'There is not enough space left for the upload\n'])
  }
  const read = jest.fn()
  const body = { [Symbol.asyncIterator]: read }
  expect((await handle('POST', '/files', { ...CHUNK, 'Upload-Length': '5' }, body)).status).toBe(507)
  // Before any of the body is read, the application is asked, and nothing has gone wrong that the log must know of.
  expect([read, onUploadCreate].map(({ mock }) => mock.calls.length)).toEqual([0, 0])
  expect(logger.errors).toEqual([])
})

test('uploads that exist go on', async () => {
  const { patch, create, freeBytes } = withFree(100, 40)
  const path = await create({ 'Upload-Length': '5' })
  freeBytes.mockResolvedValue(0)
  expect((await patch(path, 0, Buffer.from('hello'))).status).toBe(204)
})

describe('a final upload', () => {
  const final = (...paths: readonly string[]) => ({ 'Upload-Concat': `final;${paths.join(' ')}` })
  const partialOf = async ({ create, patch }: ReturnType<typeof withFree>, content: string): Promise<string> => {
    const path = await create({ 'Upload-Length': `${content.length}`, 'Upload-Concat': 'partial' })
    expect((await patch(path, 0, Buffer.from(content))).status).toBe(204)
    return path
  }

  test('is refused where its bytes, which become a file of its own, would not leave so much', async () => {
    const server = withFree(100, 40)
    const { handle, freeBytes, onUploadCreate } = server
    const path = await partialOf(server, 'hello')
    onUploadCreate.mockClear()
    freeBytes.mockResolvedValue(54)
    expect((await handle('POST', '/files', final(path, path, path))).status).toBe(507)
    expect(onUploadCreate).not.toHaveBeenCalled()
    freeBytes.mockResolvedValue(55)
    expect((await handle('POST', '/files', final(path, path, path))).status).toBe(201)
  })

  test('of deferred lengths is refused by the bytes that are known', async () => {
    const { handle, create, freeBytes } = withFree(100, 40)
    const path = await create({ 'Upload-Length': '30', 'Upload-Concat': 'partial' })
    const deferred = await create({ 'Upload-Defer-Length': '1', 'Upload-Concat': 'partial' })
    freeBytes.mockResolvedValue(69)
    expect((await handle('POST', '/files', final(path, deferred))).status).toBe(507)
    freeBytes.mockResolvedValue(70)
    expect((await handle('POST', '/files', final(path, deferred))).status).toBe(201)
  })

  test('gets its file as soon as there is space for it; until then it can be read, and one warning says so', async () => {
    const clock = { ms: 1_000_000 }
    const now = (): number => clock.ms
    const server = withFree(100, 40, { storage: new MemoryStorage({ now }), now, downloads: true })
    const { handle, storage, freeBytes, logger, tus } = server
    const paths = [await partialOf(server, 'hello'), await partialOf(server, 'world')]
    const answers = await Promise.all(paths.map((path) => handle('POST', '/files', final(path))))
    const made = answers.map(({ headers }) => String(headers.Location))
    // Something else has taken the space since.
    freeBytes.mockResolvedValue(44)
    for (let round = 0; round < 3; round++) {
      await tus.cleanUp()
      clock.ms += 10_000
    }
    for (const path of made) expect((await handle('GET', path)).status).toBe(200)
    for (const path of made) expect((await storage.get(idOf(path)))?.completion?.settled).toBe(false)
    expect(logger.warnings).toHaveLength(1)
    freeBytes.mockResolvedValue(50)
    clock.ms += 600_000
    await tus.cleanUp()
    for (const path of made) expect((await storage.get(idOf(path)))?.completion?.settled).toBe(true)
    expect([logger.warnings.length, logger.errors]).toEqual([1, []])
  })

  test('is not copied into space that a copy under way will need', async () => {
    const memory = new MemoryStorage()
    const [begun, gate] = [deferred(), deferred()]
    const copied: string[] = []
    const storage = overriding(memory, {
      flatten: async (id, attempt, durable) => {
        copied.push(id)
        begun.resolve()
        await gate.promise
        return memory.flatten(id, attempt, durable)
      },
    })
    const server = withFree(100, 40, { storage })
    const { handle, freeBytes, tus } = server
    const paths = [await partialOf(server, 'hello'), await partialOf(server, 'world')]
    freeBytes.mockResolvedValue(49)
    for (const path of paths) expect((await handle('POST', '/files', final(path))).status).toBe(201)
    const cleaning = tus.cleanUp()
    await begun.promise
    await idle()
    expect(copied).toHaveLength(1)
    gate.resolve()
    await cleaning
    expect(copied).toHaveLength(1)
  })

  test('is answered by 507, and told where it is, if its hook has to wait for space', async () => {
    const server = withFree(100, 40, { onUploadComplete: () => {} })
    const { handle, freeBytes, logger } = server
    const path = await partialOf(server, 'hello')
    freeBytes.mockResolvedValueOnce(100).mockResolvedValue(44)
    const { status, headers } = await handle('POST', '/files', final(path))
    expect([status, headers.Location]).toEqual([507, expect.stringMatching(/^\/files\//)])
    expect((await handle('HEAD', String(headers.Location))).status).toBe(423)
    expect(logger.warnings).toHaveLength(1)
  })
})

test('without the option nobody asks how much is free', async () => {
  const { create, freeBytes } = withFree(0)
  await create({ 'Upload-Length': '5' })
  await create({ 'Upload-Defer-Length': '1' })
  expect(freeBytes).not.toHaveBeenCalled()
})
