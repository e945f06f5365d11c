// docs/moving-files.md: its ways to move files, and what it says of the uploads afterwards.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import * as files from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { SQLiteStorage, TusServer, type TusServerOptions, type Upload } from '../../src/index.js'
import { codeUnder, substitute } from '../support/docs.js'
import { afterTest, scratchFolder, waitUntil } from '../support/example.js'
import { runSnippet } from '../support/snippet.js'

const PAGE = 'moving-files.md'
const TUS = { 'Tus-Resumable': '1.0.0' }
const CHUNK = { ...TUS, 'Content-Type': 'application/offset+octet-stream' }

type Move = { move(upload: Upload): Promise<void> }

function startServer(options: Partial<TusServerOptions> = {}, directory = join(scratchFolder(), 'uploads')) {
  const storage = new SQLiteStorage({ directory })
  const tus = new TusServer({ storage, ...options })
  afterTest(() => tus.close())
  return { storage, tus, directory }
}

/** Uploads something; returns the record. */
async function upload({ tus, storage }: ReturnType<typeof startServer>, length = 5): Promise<Upload> {
  const headers = { ...CHUNK, 'Upload-Length': String(length) }
  const answer = await tus.handleRequest('POST', '/files', headers, Buffer.from('hello'))
  const record = await storage.get(answer.headers.Location?.split('/').at(-1) ?? '')
  if (record === undefined) throw new Error(`the upload was not created: ${answer.status}`)
  return record
}

/** The page's way to another folder, which is a new one here. */
async function moveToFolder(storage: SQLiteStorage, modules: Record<string, unknown> = {}) {
  const target = join(scratchFolder(), 'files')
  const code = substitute(codeUnder(PAGE, 'To another folder', 'js'), { '/srv/files': target })
  const { move } = await runSnippet<Move>(code, ['move'], { storage }, modules)
  return { move, target }
}

/** Another file system: renaming from one to the other fails. */
function acrossDevices(calls: string[]) {
  return {
    'node:fs/promises': {
      ...files,
      rename: async (from: string, to: string) => {
        calls.push(`rename ${from === `${to}.part` ? 'the copy' : 'the file'}`)
        if (from !== `${to}.part`) throw Object.assign(new Error('EXDEV'), { code: 'EXDEV' })
        await files.rename(from, to)
      },
      rm: async (path: string) => {
        calls.push('rm')
        await files.rm(path)
      },
    },
  }
}

describe('moving to another folder', () => {
  it('renames, and does nothing when it is repeated', async () => {
    const server = startServer()
    const record = await upload(server)
    const { move, target } = await moveToFolder(server.storage)
    for (let attempt = 0; attempt < 2; attempt++) {
      await move(record)
      expect(readFileSync(join(target, record.id), 'utf8')).toBe('hello')
      expect(existsSync(server.storage.pathOf(record))).toBe(false)
    }
  })

  it('copies to another file system, and leaves the original until the copy has its name', async () => {
    const server = startServer()
    const record = await upload(server)
    const calls: string[] = []
    const { move, target } = await moveToFolder(server.storage, acrossDevices(calls))
    await move(record)
    await move(record)
    expect(calls).toEqual(['rename the file', 'rename the copy', 'rm'])
    expect(readdirSync(target)).toEqual([record.id])
    expect(readFileSync(join(target, record.id), 'utf8')).toBe('hello')
    expect(existsSync(server.storage.pathOf(record))).toBe(false)
  })

  it('fails where the file is in neither place', async () => {
    const server = startServer()
    const record = await upload(server)
    const { move } = await moveToFolder(server.storage)
    await files.rm(server.storage.pathOf(record))
    await expect(move(record)).rejects.toThrow('ENOENT')
  })
})

it('moves to S3, and writes the same object again when it is repeated', async () => {
  const server = startServer()
  const record = await upload(server)
  const bucket: [string, string][] = []
  let failing = true
  class FakeUpload {
    readonly #params: { Bucket: string; Key: string; Body: Readable }
    constructor({ params }: { params: { Bucket: string; Key: string; Body: Readable } }) {
      this.#params = params
    }
    async done(): Promise<void> {
      const { Bucket, Key, Body } = this.#params
      bucket.push([`${Bucket}/${Key}`, (await buffer(Body)).toString()])
      if (failing) throw new Error('no answer')
    }
  }
  const sdk = { '@aws-sdk/client-s3': { S3Client: class {} }, '@aws-sdk/lib-storage': { Upload: FakeUpload } }
  const { move } = await runSnippet<Move>(codeUnder(PAGE, 'To S3', 'js'), ['move'], server, sdk)
  await expect(move(record)).rejects.toThrow('no answer')
  failing = false
  await move(record)
  await move(record)
  expect(bucket).toEqual(new Array(2).fill([`uploads/${record.id}`, 'hello']))
  expect(existsSync(server.storage.pathOf(record))).toBe(false)
})

it('moves in onUploadComplete, again if an attempt fails after it has moved', async () => {
  const storage = new SQLiteStorage({ directory: join(scratchFolder(), 'uploads') })
  const { move, target } = await moveToFolder(storage)
  const attempts: string[] = []
  const moveAndFail = async (record: Upload): Promise<void> => {
    await move(record)
    attempts.push(record.id)
    if (attempts.length === 1) throw new Error('the database is away')
  }
  const code = substitute(codeUnder(PAGE, 'When to move them', 'ts'), { '  storage,': '  storage, logger,' })
  const logger = { warn: () => {}, error: () => {} }
  const scope = { storage, move: moveAndFail, logger }
  const { tus } = await runSnippet<{ tus: TusServer }>(code, ['tus'], scope)
  afterTest(() => tus.close())
  const headers = { ...CHUNK, 'Upload-Length': '5' }
  expect((await tus.handleRequest('POST', '/files', headers, Buffer.from('hello'))).status).toBe(500)
  const [id = ''] = attempts
  await waitUntil(async () => (await tus.handleRequest('HEAD', `/files/${id}`, TUS)).status === 200)
  expect(attempts).toEqual([id, id])
  expect(readdirSync(target)).toEqual([id])
})

it('finds what is finished in the directory', async () => {
  const server = startServer()
  const finished = await upload(server)
  await upload(server, 10)
  await files.writeFile(join(server.directory, 'something-else'), '')
  const moved: Upload[] = []
  const scope = { storage: server.storage, move: async (record: Upload) => moved.push(record) }
  const code = codeUnder(PAGE, 'When to move them', 'js')
  const { moveAll } = await runSnippet<{ moveAll(): Promise<void> }>(code, ['moveAll'], scope)
  await moveAll()
  expect(moved).toEqual([finished])
})

it('has no need to move where the name is chosen before', async () => {
  const code = `const options = { ${codeUnder(PAGE, 'Where they are', 'ts')} }`
  const ownerOf = (context: { user: { id: string } }): string => context.user.id
  const { options } = await runSnippet<{ options: TusServerOptions }>(code, ['options'], { ownerOf })
  const context = { user: { id: 'ann/../bob' } }
  const server = startServer({
    onUploadCreate: ({ request, ...rest }) => options.onUploadCreate?.({ ...rest, request: { ...request, context } }),
  })
  const { id } = await upload(server)
  expect(readFileSync(join(server.directory, 'ann%2F..%2Fbob', `${id}.bin`), 'utf8')).toBe('hello')
})

describe('after a move', () => {
  const terminated: string[] = []
  const options: Partial<TusServerOptions> = {
    downloads: true,
    onUploadCreate: ({ request }) => (request.headers['x-name'] ? { name: request.headers['x-name'] } : undefined),
    onUploadTerminate: ({ upload }) => void terminated.push(upload.id),
  }

  async function moved() {
    const server = startServer(options)
    const record = await upload(server)
    const { move, target } = await moveToFolder(server.storage)
    await move(record)
    return { ...server, record, target, path: `/files/${record.id}` }
  }

  it.each(['before', 'after'])('clients see what they saw, %s a restart', async (when) => {
    const first = await moved()
    const { record, path, target } = first
    if (when === 'after') await first.tus.close()
    const { tus } = when === 'after' ? startServer(options, first.directory) : first
    await tus.cleanUp()
    const head = await tus.handleRequest('HEAD', path, TUS)
    expect(head).toMatchObject({ status: 200, headers: { 'Upload-Offset': '5', 'Upload-Length': '5' } })
    expect(await tus.handleRequest('PATCH', path, { ...CHUNK, 'Upload-Offset': '5' })).toMatchObject({ status: 204 })
    expect(await tus.handleRequest('GET', path, {})).toMatchObject({ status: 404 })
    expect((await tus.handleRequest('DELETE', path, TUS)).status).toBe(204)
    expect(terminated).toContain(record.id)
    expect(readdirSync(target)).toEqual([record.id])
    expect((await tus.handleRequest('HEAD', path, TUS)).status).toBe(404)
  })

  it('a name that was chosen is taken until the record goes', async () => {
    const { tus, storage } = startServer(options)
    const create = async () =>
      tus.handleRequest('POST', '/files', { ...CHUNK, 'Upload-Length': '5', 'X-Name': 'report' }, Buffer.from('hello'))
    const { headers } = await create()
    await files.rm(storage.pathOf({ name: 'report' }))
    expect((await create()).status).toBe(409)
    await tus.handleRequest('DELETE', headers.Location ?? '', TUS)
    expect((await create()).status).toBe(201)
  })

  it('expiration removes the record, and files that were not moved yet', async () => {
    const code = codeUnder(PAGE, 'What becomes of the record', 'ts')
    type Code = { expiration: TusServerOptions['expiration'] & object; day: number }
    const { expiration, day } = await runSnippet<Code>(code, ['expiration', 'day'])
    let now = Date.now()
    const directory = join(scratchFolder(), 'uploads')
    const storage = new SQLiteStorage({ directory, now: () => now })
    const tus = new TusServer({ storage, expiration, now: () => now })
    afterTest(() => tus.close())
    const server = { tus, storage, directory }
    const [mine, left] = [await upload(server), await upload(server)]
    const { move, target } = await moveToFolder(storage)
    await move(mine)
    now += 29 * day
    await tus.cleanUp()
    expect(existsSync(storage.pathOf(left))).toBe(true)
    now += 2 * day
    await tus.cleanUp()
    expect(existsSync(storage.pathOf(left))).toBe(false)
    expect(readdirSync(target)).toEqual([mine.id])
    expect((await tus.handleRequest('HEAD', `/files/${mine.id}`, TUS)).status).toBe(410)
  })
})
