// Downloads and hooks' answers through every host: the same headers, and a file that can't be read is answered and logged.

import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, truncateSync } from 'node:fs'
import { connect, createServer as createHttp2 } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryStorage, offload, SQLiteStorage, type Storage, TusServer, tusListener } from '../../src/index.js'
import { MIB, overriding, pattern, quietLogger } from '../core/support.js'
import { fixture } from '../storage/support/odd-storage.js'
import { CHUNK, create, open, patch, send, TUS } from './client.js'
import { HOSTS, type HostOptions, NODE_HTTP, type Running, start } from './hosts.js'

const BYTES = 'application/octet-stream'
const GONE = 'The file of this upload is not there any more\n'
const INTERNAL = 'Internal server error\n'

const folders: string[] = []

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'resumable-upload-downloads-'))
  folders.push(folder)
  return folder
}

/** Uploads something, in one chunk; returns its path. */
async function upload(port: number, content: string | Uint8Array, metadata?: Record<string, string>): Promise<string> {
  const encoded = Object.entries(metadata ?? {}).map(
    ([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`,
  )
  const headers = { ...TUS, 'Upload-Length': `${content.length}`, 'Upload-Metadata': encoded.join() || undefined }
  const { headers: answer } = await send(port, { method: 'POST', path: '/files', headers })
  if (content.length > 0) await patch(port, String(answer.location), 0, content)
  return String(answer.location)
}

/** How many descriptors of this process are files below a folder. */
function openFiles(folder: string): number {
  const targets = readdirSync('/proc/self/fd').map((descriptor) => {
    try {
      return readlinkSync(join('/proc/self/fd', descriptor))
    } catch {
      return ''
    }
  })
  return targets.filter((target) => target.startsWith(folder) && !target.includes('.sqlite')).length
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

describe.each(HOSTS)('$name says of what it sends', (host) => {
  test.each([
    ['text/plain', 'text/plain'],
    ['text/plain; charset=iso-8859-1', 'text/plain; charset=iso-8859-1'],
    ['video/mp4; codecs="avc1.42E01E, mp4a.40.2"', 'video/mp4; codecs="avc1.42E01E, mp4a.40.2"'],
    ['image/png', 'image/png'],
    ['application/pdf', 'application/pdf'],
    ['text/csv', BYTES],
    ['text/html', BYTES],
    ['application/json', BYTES],
    ['nonsense', BYTES],
  ])('the type of a file as it was declared: %s', async (filetype, sent) => {
    const { port } = await start(host, { tus: { downloads: true } })
    const path = await upload(port, 'hello', { filetype })
    for (const headers of [{}, { Range: 'bytes=1-2' }]) {
      const answer = await send(port, { method: 'GET', path, headers })
      expect(answer.headers).toMatchObject({ 'content-type': sent, 'cross-origin-resource-policy': 'same-origin' })
    }
  })

  test.each([
    [{}, 'text/plain; charset=utf-8'],
    [{ 'Content-Type': 'application/json' }, 'application/json'],
    [{ 'content-type': 'text/csv; charset=utf-16' }, 'text/csv; charset=utf-16'],
    [{ 'Content-Type': 'text/html' }, 'text/html'],
  ])('what a hook answers with %j: its type, or plain text, and no entity tag', async (headers, type) => {
    const tus = { onUploadComplete: () => ({ headers, body: 'd\u00f6ne' }) }
    const { port } = await start(host, { tus })
    const path = await create(port, 5)
    const creation = { ...CHUNK, 'Upload-Length': '2' }
    const answers = [
      await patch(port, path, 0, 'hello'),
      await patch(port, path, 5, ''),
      await send(port, { method: 'POST', path: '/files', headers: creation, body: 'hi' }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 201])
    for (const answer of answers) {
      expect(answer.headers).toMatchObject({ 'content-type': type, 'content-length': '5' })
      expect(answer.headers.etag).toBeUndefined()
      expect(answer.body).toBe('d\u00f6ne')
    }
  })

  test('a refusal: no entity tag either', async () => {
    const { port } = await start(host)
    const { status, headers } = await patch(port, '/files/unknown', 0, 'x')
    expect([status, headers.etag]).toEqual([404, undefined])
  })

  test('what a hook answers with 204: neither a type nor a body', async () => {
    const result = { status: 204, headers: { 'Content-Type': 'text/html', 'X-A': 'b' }, body: 'x' }
    const { port } = await start(host, { tus: { onUploadComplete: () => result } })
    const answer = await patch(port, await create(port, 5), 0, 'hello')
    expect(answer).toMatchObject({ status: 204, body: '', headers: { 'x-a': 'b', 'upload-offset': '5' } })
    expect(answer.headers['content-type']).toBeUndefined()
  })

  test('which pages may embed a file: what the application has said before', async () => {
    const before: HostOptions['before'] = [
      (_req, res, next) => {
        res.setHeader('Cross-Origin-Resource-Policy', 'cross-origin')
        next()
      },
    ]
    const { port } = await start(host, { before, tus: { downloads: true } })
    const { headers } = await send(port, { method: 'GET', path: await upload(port, 'hello') })
    expect(headers['cross-origin-resource-policy']).toBe('cross-origin')
  })
})

function becomeFolder(file: string): void {
  rmSync(file)
  mkdirSync(file)
}

/** What may have become of a finished file, and the answer. */
const HARMS = [
  ['is gone', 404, GONE, (file: string) => rmSync(file)],
  ['became a folder, which is none of its own', 404, GONE, becomeFolder],
  ['is shorter than it was', 500, INTERNAL, (file: string) => truncateSync(file, 4)],
  ['is empty', 500, INTERNAL, (file: string) => truncateSync(file, 0)],
] as const

const STORAGES: ReadonlyArray<readonly [string, (directory: string) => Storage]> = [
  ['SQLite', (directory) => new SQLiteStorage({ directory })],
  ['SQLite in a worker', (directory) => offload(fixture('hosted.cjs'), { directory })],
]

async function startStored(host = NODE_HTTP, make = STORAGES[0]?.[1]): Promise<Running & { directory: string }> {
  const directory = newFolder()
  const storage = make?.(directory)
  return { ...(await start(host, { tus: { downloads: true, ...(storage && { storage }) } })), directory }
}

function checkLog({ errors }: Running, file: string, count: number): void {
  expect(errors).toHaveLength(count)
  for (const error of errors) expect(String(error)).toContain(file)
}

describe.each(HOSTS)('$name, where a finished file', (host) => {
  test.each(HARMS)('%s, answers %i and logs where', async (_what, status, body, harm) => {
    const running = await startStored(host)
    const path = await upload(running.port, 'helloworld')
    const file = join(running.directory, path.split('/').at(-1) ?? '')
    harm(file)
    for (const headers of [{}, { Range: 'bytes=2-7' }, { Range: 'bytes=0-1,8-9' }]) {
      const answer = await send(running.port, { method: 'GET', path, headers })
      expect(answer).toMatchObject({ status, body, headers: { 'content-type': 'text/plain; charset=utf-8' } })
    }
    checkLog(running, file, 3)
    await until(() => openFiles(running.directory) === 0)
  })

  test('breaks off in the middle, cuts the connection and logs why', async () => {
    const inner = new MemoryStorage()
    const failing = overriding(inner, {
      async *read(...range) {
        for await (const chunk of inner.read(...range)) yield chunk.subarray(0, chunk.length / 2)
        throw new Error('EIO in /srv/uploads/abc')
      },
    })
    const { port, errors } = await start(host, { tus: { downloads: true, storage: failing } })
    const path = await upload(port, pattern(2 * MIB))
    await expect(send(port, { method: 'GET', path })).rejects.toThrow(/aborted|ECONNRESET/)
    await until(() => errors.length > 0)
    expect(errors).toEqual([expect.objectContaining({ message: 'EIO in /srv/uploads/abc' })])
  })

  test('has a client that leaves in the middle, frees it and logs nothing', async () => {
    const running = await startStored(host)
    const path = await upload(running.port, pattern(8 * MIB))
    const client = open(running.port, { method: 'GET', path })
    client.on('error', () => {})
    await new Promise((resolve) => client.once('response', (response) => response.once('readable', resolve)))
    expect(openFiles(running.directory)).toBe(1)
    client.destroy()
    await until(() => openFiles(running.directory) === 0)
    expect(running.errors).toEqual([])
  })

  test('is not to be sent after all, frees it', async () => {
    const running = await startStored(host)
    const path = await upload(running.port, 'helloworld')
    const headers = { ...TUS, 'X-HTTP-Method-Override': 'GET' }
    expect((await send(running.port, { method: 'HEAD', path, headers })).status).toBe(200)
    await until(() => openFiles(running.directory) === 0)
  })
})

describe.each(STORAGES)('%s, where a finished file', (_name, make) => {
  test.each(HARMS)('%s, has it answered by %i', async (_what, status, body, harm) => {
    const running = await startStored(NODE_HTTP, make)
    const path = await upload(running.port, 'helloworld')
    const file = join(running.directory, path.split('/').at(-1) ?? '')
    harm(file)
    expect(await send(running.port, { method: 'GET', path })).toMatchObject({ status, body })
    checkLog(running, file, 1)
  })

  test('of no bytes is gone, has it answered by 404', async () => {
    const running = await startStored(NODE_HTTP, make)
    const path = await upload(running.port, '')
    expect(await send(running.port, { method: 'GET', path })).toMatchObject({ status: 200, body: '' })
    rmSync(join(running.directory, path.split('/').at(-1) ?? ''))
    expect(await send(running.port, { method: 'GET', path })).toMatchObject({ status: 404, body: GONE })
  })

  test('was made of others and is gone, has it answered by 404', async () => {
    const running = await startStored(NODE_HTTP, make)
    const partials: string[] = []
    for (const body of ['hello', 'world']) {
      const headers = { ...CHUNK, 'Upload-Length': '5', 'Upload-Concat': 'partial' }
      const { headers: answer } = await send(running.port, { method: 'POST', path: '/files', headers, body })
      partials.push(String(answer.location))
    }
    const headers = { ...TUS, 'Upload-Concat': `final;${partials.join(' ')}` }
    const path = String((await send(running.port, { method: 'POST', path: '/files', headers })).headers.location)
    await running.tus.cleanUp()
    expect(await send(running.port, { method: 'GET', path })).toMatchObject({ status: 200, body: 'helloworld' })
    rmSync(join(running.directory, path.split('/').at(-1) ?? ''))
    expect(await send(running.port, { method: 'GET', path })).toMatchObject({ status: 404, body: GONE })
  })
})

test('HTTP/2: a file that is gone is answered, one that fails in the middle ends its stream alone', async () => {
  const inner = new MemoryStorage()
  let failure = 'EIO'
  const storage = overriding(inner, {
    async *read(...range) {
      if (failure === 'gone') throw Object.assign(new Error('gone'), { code: 'ERR_BYTES_GONE' })
      for await (const chunk of inner.read(...range)) yield chunk.subarray(0, 10)
      throw new Error('EIO')
    },
  })
  const logger = quietLogger()
  const tus = new TusServer({ storage, downloads: true, logger })
  const server = createHttp2(tusListener(tus) as unknown as Parameters<typeof createHttp2>[0])
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  try {
    const creation = await tus.handleRequest('POST', '/files', { ...CHUNK, 'Upload-Length': '20' }, pattern(20))
    const path = String(creation.headers.Location)
    const get = (): Promise<string> =>
      new Promise((resolve) => {
        const stream = session.request({ ':path': path })
        let status: unknown
        stream.on('response', (headers) => {
          status = headers[':status']
        })
        stream.resume()
        stream.on('error', () => {})
        stream.on('close', () => resolve(`${status} ${stream.rstCode}`))
      })
    expect(await get()).toMatch(/^200 [1-9]/)
    failure = 'gone'
    expect(await get()).toBe('404 0')
    expect(logger.errors).toHaveLength(2)
  } finally {
    session.destroy()
    server.close()
    await tus.close({ timeoutMs: 0 })
  }
})
