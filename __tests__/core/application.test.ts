// What the application itself asks for and does: inspect, list, terminate.
import { SQLiteStorage } from '../../src/index.js'
import type { TusServer } from '../../src/server.js'
import type { InspectedUpload } from '../../src/uploads/inspect.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { deferred, hookedStorage, idle, idOf, Source, startServer, VERSION } from './support.js'

const PARTIAL = { 'Upload-Concat': 'partial' }

async function ids(uploads: AsyncIterable<InspectedUpload>): Promise<string[]> {
  const found: string[] = []
  for await (const { id } of uploads) found.push(id)
  return found.sort()
}

describe.each([
  ['MemoryStorage', () => undefined],
  ['SQLiteStorage', () => new SQLiteStorage({ directory: tempFolder() })],
])('%s: inspect', (_name, storage) => {
  const start = (options: Parameters<typeof startServer>[0] = {}) => {
    const own = storage()
    return startServer({ ...options, ...(own && { storage: own }) })
  }

  it('tells of an upload what is known of it', async () => {
    const { tus, create, patch } = start({ expiration: { unfinishedAfterMs: 60_000 } })
    const path = await create({ 'Upload-Length': '10', 'Upload-Metadata': 'filename YS50eHQ=' })
    await patch(path, 0, Buffer.from('hello'))
    const found = await tus.inspect(idOf(path))
    expect(found).toMatchObject({
      id: idOf(path),
      length: 10,
      offset: 5,
      position: 5,
      state: 'unfinished',
      complete: false,
    })
    expect(found).toMatchObject({ held: false, expired: false })
    expect({ ...found?.metadata }).toEqual({ filename: 'a.txt' })
    expect(found?.expiresAtMs).toBeGreaterThan(Date.now())
    for (const inner of ['holder', 'completion', 'fence', 'pieces'])
      expect(Object.keys(found ?? {})).not.toContain(inner)
  })

  it('nobody who writes is disturbed, and what has arrived is told before it is committed', async () => {
    const { tus, create, patch, offsetOf } = start()
    const path = await create({ 'Upload-Length': '10' })
    const source = new Source().push('hello')
    const writing = patch(path, 0, source)
    await idle()
    for (let look = 0; look < 3; look++) {
      expect(await tus.inspect(idOf(path))).toMatchObject({ offset: 0, position: 5, held: true, state: 'unfinished' })
      expect((await tus.list()).uploads).toMatchObject([{ position: 5, held: true }])
    }
    source.push('world').end()
    expect((await writing).status).toBe(204)
    expect(await offsetOf(path)).toBe(10)
    expect(await tus.inspect(idOf(path))).toMatchObject({ offset: 10, position: 10, held: false, state: 'finished' })
  })

  it('nothing lives longer for it, and what has expired is told as that', async () => {
    let now = Date.now()
    const { tus, create, handle } = start({ now: () => now, expiration: { unfinishedAfterMs: 1000 } })
    const path = await create({ 'Upload-Length': '10' })
    const before = await tus.inspect(idOf(path))
    now += 999
    expect(await tus.inspect(idOf(path))).toEqual(before)
    now += 1
    expect(await tus.inspect(idOf(path))).toMatchObject({ expired: true, state: 'unfinished' })
    expect((await handle('HEAD', path)).status).toBe(410)
    await tus.cleanUp()
    expect(await tus.inspect(idOf(path))).toBeUndefined()
  })

  it('while the hook has not succeeded an upload is being processed', async () => {
    const [hook, began] = [deferred(), deferred()]
    const { tus, create, patch } = start({
      onUploadComplete: () => {
        began.resolve()
        return hook.promise
      },
    })
    const path = await create({ 'Upload-Length': '5' })
    const finishing = patch(path, 0, Buffer.from('hello'))
    await began.promise
    expect(await tus.inspect(idOf(path))).toMatchObject({ state: 'processing', complete: true })
    hook.resolve()
    await finishing
    expect(await tus.inspect(idOf(path))).toMatchObject({ state: 'finished' })
  })

  it('a final upload waits until its partial uploads are complete', async () => {
    const { tus, create, patch } = start()
    const partial = await create({ ...PARTIAL, 'Upload-Length': '5' })
    const final = await create({ 'Upload-Concat': `final;${partial}` })
    expect(await tus.inspect(idOf(final))).toMatchObject({ state: 'waiting', concat: { partials: [idOf(partial)] } })
    expect(await tus.inspect(idOf(partial))).toMatchObject({ state: 'unfinished' })
    await patch(partial, 0, Buffer.from('hello'))
    await tus.cleanUp()
    expect(await tus.inspect(idOf(final))).toMatchObject({ state: 'finished', length: 5 })
  })

  it.each(['unknown', '../etc', 'a/b', 'x'.repeat(300)])('of what is no upload (%j) it tells nothing', async (id) => {
    const { tus } = start()
    expect(await tus.inspect(id)).toBeUndefined()
    expect(await tus.terminate(id)).toBe('not-found')
  })

  it('lists by state, in pages that go on where the one before ended', async () => {
    const { tus, create, patch } = start({
      onUploadComplete: ({ upload }) => {
        if (upload.length === 3) throw new Error('not now')
      },
    })
    const made = async (length: number, content: string): Promise<string> => {
      const path = await create({ 'Upload-Length': `${length}` })
      await patch(path, 0, Buffer.from(content))
      return idOf(path)
    }
    const unfinished = [await made(9, 'a'), await made(9, 'b'), await made(9, 'c')].sort()
    const finished = [await made(1, 'a'), await made(2, 'bb')].sort()
    const processing = [await made(3, 'ccc')]
    const partial = idOf(await create({ ...PARTIAL, 'Upload-Length': '5' }))
    const waiting = [idOf(await create({ 'Upload-Concat': `final;/files/${partial}` }))]
    const expected = { unfinished: [...unfinished, partial].sort(), finished, processing, waiting }
    for (const [state, wanted] of Object.entries(expected)) {
      for (const limit of [1, 2, 1000]) {
        expect(await ids(tus.listAll({ state: state as InspectedUpload['state'], limit }))).toEqual(wanted)
      }
    }
    expect(await ids(tus.listAll())).toHaveLength(8)
    const first = await tus.list({ limit: 5 })
    const second = await tus.list({ limit: 5, cursor: first.cursor })
    expect(first.uploads).toHaveLength(5)
    expect(new Set([...first.uploads, ...second.uploads].map(({ id }) => id)).size).toBe(8)
    expect(second.cursor).toBeUndefined()
  })
})

describe('terminate', () => {
  it('removes an upload as DELETE does, and tells the hook without a request; nobody is asked', async () => {
    const terminated: unknown[] = []
    const onBeforeTerminate = jest.fn()
    const { tus, create, patch, handle } = startServer({
      onBeforeTerminate,
      onUploadTerminate: ({ request, upload }) => void terminated.push([request, upload.offset]),
    })
    const path = await create({ 'Upload-Length': '10' })
    await patch(path, 0, Buffer.from('hello'))
    expect(await tus.terminate(idOf(path))).toBe('removed')
    expect(terminated).toEqual([[undefined, 5]])
    expect(onBeforeTerminate).not.toHaveBeenCalled()
    expect((await handle('HEAD', path)).status).toBe(404)
    expect(await tus.terminate(idOf(path))).toBe('not-found')
    expect(terminated).toHaveLength(1)
  })

  it('asks a request that writes to let go', async () => {
    const { tus, create, patch } = startServer()
    const path = await create({ 'Upload-Length': '10' })
    const writing = patch(path, 0, new Source().push('hello'))
    await idle()
    expect(await tus.terminate(idOf(path))).toBe('removed')
    expect((await writing).status).toBeGreaterThanOrEqual(400)
    expect(await tus.inspect(idOf(path))).toBeUndefined()
  })

  it('removes what has expired, too', async () => {
    let now = Date.now()
    const { tus, create } = startServer({ now: () => now, expiration: { unfinishedAfterMs: 1000 } })
    const path = await create({ 'Upload-Length': '10' })
    now += 2000
    expect(await tus.terminate(idOf(path))).toBe('removed')
  })

  it('says why an upload stays: its hook runs, a final upload needs it, a request does not let go', async () => {
    const hook = deferred()
    const stuck = deferred()
    const storage = hookedStorage({ write: (_chunks, write) => stuck.promise.then(write) })
    const { tus, create, patch } = startServer({ storage, claimWaitMs: 20, onUploadComplete: () => hook.promise })
    const partial = await create({ ...PARTIAL, 'Upload-Length': '5' })
    await create({ 'Upload-Concat': `final;${partial}` })
    expect(await tus.terminate(idOf(partial))).toBe('needed')

    const held = await create({ 'Upload-Length': '5' })
    const writing = patch(held, 0, Buffer.from('hello'))
    await idle()
    expect(await tus.terminate(idOf(held))).toBe('in-use')
    stuck.resolve()
    await idle()
    expect(await tus.terminate(idOf(held))).toBe('processing')
    hook.resolve()
    expect((await writing).status).toBe(204)
    expect(await tus.terminate(idOf(held))).toBe('removed')
  })
})

describe('inspect, list and terminate', () => {
  it('name what is wrong with their arguments', async () => {
    const { tus } = startServer()
    const wrong = (call: (server: TusServer) => unknown): Promise<unknown> => (async () => call(tus))()
    await expect(wrong(() => tus.inspect(undefined as unknown as string))).rejects.toThrow(/^inspect: id must be/)
    await expect(wrong(() => tus.terminate(5 as unknown as string))).rejects.toThrow(/^terminate: id must be/)
    await expect(wrong(() => tus.list({ limit: 0 }))).rejects.toThrow(/^list: limit must be/)
    await expect(wrong(() => tus.list({ limit: 5000 }))).rejects.toThrow(/^list: limit must be/)
    await expect(wrong(() => tus.list({ state: 'done' as 'finished' }))).rejects.toThrow(/^list: state must be/)
    await expect(wrong(() => tus.list({ sate: 'finished' } as object))).rejects.toThrow(/did you mean state/)
  })

  it('a storage that can not list says so', async () => {
    const { tus, storage } = startServer()
    Object.assign(storage, { list: undefined })
    await expect(tus.list()).rejects.toThrow('the storage has no list()')
  })

  it('are refused once the server closes, and waited for by its end', async () => {
    const { tus, create, handle } = startServer()
    const path = await create({ 'Upload-Length': '10' })
    const removing = tus.terminate(idOf(path))
    await tus.close()
    expect(await removing).toBe('removed')
    await expect(tus.inspect(idOf(path))).rejects.toMatchObject({ code: 'ERR_CLOSING' })
    await expect(tus.list()).rejects.toMatchObject({ code: 'ERR_CLOSING' })
    await expect(tus.terminate(idOf(path))).rejects.toMatchObject({ code: 'ERR_CLOSING' })
    expect((await handle('HEAD', path, VERSION)).status).toBe(423)
  })
})
