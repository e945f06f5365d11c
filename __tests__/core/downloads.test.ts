// GET: downloads of finished uploads.
import { MemoryStorage, type TusServerOptions } from '../../src/index.js'
import { errorWithCode, MIB, overriding, startServer } from './support.js'

const BODY = 'The quick brown fox jumps over the lazy dog'

async function withUpload(
  metadata: Record<string, string> = {},
  body: string | Buffer = BODY,
  options: Partial<TusServerOptions> = {},
) {
  const server = startServer({ downloads: true, ...options })
  const header = Object.entries(metadata)
    .map(([key, value]) => `${key} ${Buffer.from(value).toString('base64')}`)
    .join(',')
  const path = await server.create({ 'Upload-Length': `${body.length}`, ...(header && { 'Upload-Metadata': header }) })
  await server.patch(path, 0, Buffer.from(body))
  const get = async (headers = {}) => {
    const answer = await server.tus.handleRequest('GET', path, headers)
    const chunks: Uint8Array[] = []
    if (answer.body instanceof Uint8Array) chunks.push(answer.body)
    else for await (const chunk of answer.body ?? []) chunks.push(chunk)
    return { ...answer, text: Buffer.concat(chunks).toString('latin1') }
  }
  return { ...server, path, get }
}

it("is off by default: GET is the application's", async () => {
  const { tus, create } = startServer()
  const path = await create({ 'Upload-Length': '1' })
  expect(tus.serves('GET', path)).toBe(false)
  expect((await tus.handleRequest('GET', path, {})).status).toBe(405)
})

it('sends the whole file, without asking for Tus-Resumable', async () => {
  const { get, tus, path } = await withUpload()
  expect(tus.serves('GET', path)).toBe(true)
  expect(tus.serves('GET', '/files')).toBe(false)
  const answer = await get()
  expect(answer.text).toBe(BODY)
  expect(answer).toMatchObject({
    status: 200,
    headers: {
      'Accept-Ranges': 'bytes',
      'Content-Length': '43',
      'Content-Type': 'application/octet-stream',
      'X-Content-Type-Options': 'nosniff',
      'Content-Security-Policy': expect.stringMatching(/default-src 'none'.*sandbox/),
      'Cache-Control': 'private, no-transform',
      ETag: expect.stringMatching(/^"[^"]+"$/),
    },
  })
})

it('answers 404 while the upload is unfinished, and for unknown ones', async () => {
  const { tus, create, patch } = startServer({ downloads: true })
  const path = await create({ 'Upload-Length': '6' })
  await patch(path, 0, Buffer.from('abc'))
  expect((await tus.handleRequest('GET', path, {})).status).toBe(404)
  expect((await tus.handleRequest('GET', '/files/none', {})).status).toBe(404)
})

it('sends an empty file', async () => {
  const { tus, create } = startServer({ downloads: true })
  const path = await create({ 'Upload-Length': '0' })
  const answer = await tus.handleRequest('GET', path, {})
  expect(answer).toMatchObject({ status: 200, headers: { 'Content-Length': '0' } })
})

describe('ranges', () => {
  it.each([
    ['bytes=0-2', 'The', 'bytes 0-2/43'],
    ['bytes=40-', 'dog', 'bytes 40-42/43'],
    ['bytes=-3', 'dog', 'bytes 40-42/43'],
    ['bytes=40-100', 'dog', 'bytes 40-42/43'],
    ['bytes=0-0', 'T', 'bytes 0-0/43'],
    ['bytes=0-1,2-2', 'The', 'bytes 0-2/43'],
  ])('%s', async (range, text, contentRange) => {
    const { get } = await withUpload()
    const answer = await get({ Range: range })
    expect(answer.text).toBe(text)
    expect(answer).toMatchObject({
      status: 206,
      headers: { 'Content-Range': contentRange, 'Content-Length': String(text.length) },
    })
  })

  it('several come as multipart/byteranges of the right length', async () => {
    const { get } = await withUpload({ filetype: 'text/plain' })
    const answer = await get({ Range: 'bytes=0-2,40-42' })
    const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(answer.headers['Content-Type'] as string)?.[1]
    expect(answer.text).toBe(
      `--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-2/43\r\n\r\nThe\r\n` +
        `--${boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 40-42/43\r\n\r\ndog\r\n` +
        `--${boundary}--\r\n`,
    )
    expect(answer).toMatchObject({ status: 206, headers: { 'Content-Length': String(answer.text.length) } })
  })

  it.each(['bytes=43-', 'bytes=100-200', 'bytes=-0'])('%s can not be satisfied', async (range) => {
    const { get } = await withUpload()
    expect(await get({ Range: range })).toMatchObject({ status: 416, headers: { 'Content-Range': 'bytes */43' } })
  })

  it.each(['lines=1-2', 'bytes', 'x'])('%s is none, so the whole is sent', async (range) => {
    const { get } = await withUpload()
    expect(await get({ Range: range })).toMatchObject({ status: 200, text: BODY })
  })

  it('too many are taken for an attack, and the whole is sent', async () => {
    const { get } = await withUpload({}, Buffer.alloc(1000, 'x'))
    const range = `bytes=${Array.from({ length: 100 }, (_, index) => `${index * 4}-${index * 4}`).join(',')}`
    expect((await get({ Range: range })).status).toBe(200)
  })

  it('If-Range sends the range only of the very file', async () => {
    const { get } = await withUpload()
    const { ETag } = (await get()).headers
    expect((await get({ Range: 'bytes=0-2', 'If-Range': ETag })).status).toBe(206)
    expect((await get({ Range: 'bytes=0-2', 'If-Range': '"other"' })).status).toBe(200)
    expect((await get({ Range: 'bytes=0-2', 'If-Range': 'Sun, 22 Nov 2026 10:00:00 GMT' })).status).toBe(200)
  })
})

it('an upload that has the id of a removed one is another file', async () => {
  const clock = { ms: 1_000_000 }
  const server = startServer({ downloads: true, now: () => clock.ms, generateId: () => 'report' })
  const tags: unknown[] = []
  for (const body of ['one', 'two']) {
    const path = await server.create({ 'Upload-Length': '3' })
    await server.patch(path, 0, Buffer.from(body))
    tags.push((await server.tus.handleRequest('GET', path, {})).headers.ETag)
    await server.handle('DELETE', path)
    clock.ms++
  }
  expect(new Set(tags).size).toBe(2)
})

it('If-None-Match is answered by 304', async () => {
  const { get } = await withUpload()
  const { ETag } = (await get()).headers
  for (const tag of [ETag, `W/${ETag}`, `"x", ${ETag}`, '*']) {
    expect(await get({ 'If-None-Match': tag })).toMatchObject({ status: 304, text: '' })
  }
  // Conditions come before ranges (RFC 9110, 13.2.2).
  expect((await get({ 'If-None-Match': String(ETag), Range: 'bytes=0-2' })).status).toBe(304)
  expect((await get({ 'If-None-Match': '"x"' })).status).toBe(200)
})

describe('Content-Disposition', () => {
  it.each([
    [{ filename: 'a.txt' }, 'attachment; filename=a.txt'],
    [{ name: 'a.txt' }, 'attachment; filename=a.txt'],
    [
      { filename: 'na\u00efve \u20ac.txt' },
      /^attachment; filename="[^"]*"; filename\*=UTF-8''na%C3%AFve%20%E2%82%AC\.txt$/,
    ],
    [{ filename: '"; evil="x' }, /^attachment; filename="\\"; evil=\\"x"$/],
    [{ filename: 'a.png', filetype: 'image/png' }, 'inline; filename=a.png'],
    [{ filename: 'a.png', filetype: 'Image/PNG' }, 'inline; filename=a.png'],
    [{ filename: 'a.svg', filetype: 'image/svg+xml' }, /^attachment/],
    [{ filename: 'a.html', filetype: 'text/html' }, /^attachment/],
    [{ filename: 'a', filetype: 'text/html;x' }, /^attachment/],
    [{ filename: 'a.js', filetype: 'text/javascript' }, 'attachment; filename=a.js'],
  ])('%j', async (metadata, expected) => {
    const { get } = await withUpload(metadata as Record<string, string>)
    const { headers } = await get()
    expect(headers['Content-Disposition']).toMatch(expected)
  })

  it('never lets a name or a type break out of its header', async () => {
    const { get } = await withUpload({ filename: 'a\r\nX-Evil: 1', filetype: 'text/plain\r\nX-Evil: 1' })
    const { headers } = await get()
    for (const value of Object.values(headers)) expect(value).not.toMatch(/[\r\n]/)
  })
})

it('holds no claim: an upload can be removed while it is sent, and the reader goes away at any time', async () => {
  const { tus, path, handle } = await withUpload({}, Buffer.alloc(3 * MIB, 'x'))
  const { body } = await tus.handleRequest('GET', path, {})
  const reader = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]()
  await reader.next()
  await reader.return?.()
  expect((await handle('DELETE', path)).status).toBe(204)
})

describe('Content-Type', () => {
  const BYTES = 'application/octet-stream'

  it.each([
    ['text/plain', 'text/plain'],
    ['text/plain; charset=iso-8859-1', 'text/plain; charset=iso-8859-1'],
    ['TEXT/Plain;Charset=UTF-8', 'text/plain; Charset=UTF-8'],
    ['video/mp4; codecs="avc1.42E01E, mp4a.40.2"', 'video/mp4; codecs="avc1.42E01E, mp4a.40.2"'],
    ['video/mp4 ; a="\\"x\\\\" ; b=c', 'video/mp4; a="\\"x\\\\"; b=c'],
    ['image/png;', 'image/png'],
    // As browsers say of what they record: no parameter by the grammar.
    ['video/webm;codecs=vp8,opus', 'video/webm'],
    ['audio/ogg; codecs="opus', 'audio/ogg'],
    ['image/png; a = b', 'image/png'],
    ['image/png; a="\u00e9"', 'image/png'],
    ['image/png; a="x\r\nX-Evil: 1"', 'image/png'],
    ['text/plain\r\nX-Evil: 1', BYTES],
    ['image/png foo', BYTES],
    ['image', BYTES],
    ['/', BYTES],
    [`image/png; a=${'x'.repeat(300)}`, BYTES],
  ])('a declared %j is sent as %s', async (filetype, sent) => {
    const { get } = await withUpload({ filetype })
    expect((await get()).headers['Content-Type']).toBe(sent)
  })

  it('takes no longer for one that is made to take long', async () => {
    const { get } = await withUpload({ filetype: `a/${'b'.repeat(2000)};${' ;'.repeat(1000)}"` })
    expect((await get()).headers['Content-Type']).toBe(BYTES)
  })

  it.each([
    'text/javascript',
    'application/javascript',
    'application/ecmascript',
    'text/css',
    'application/wasm',
    'application/json',
    'application/manifest+json',
    'text/html',
    'text/xml',
    'application/xhtml+xml',
    'image/svg+xml',
  ])('%s is bytes to be saved, so that no page can use it as what it says it is', async (filetype) => {
    const { get } = await withUpload({ filename: 'a.x', filetype })
    expect((await get()).headers).toMatchObject({
      'Content-Type': BYTES,
      'Content-Disposition': 'attachment; filename=a.x',
      'X-Content-Type-Options': 'nosniff',
    })
  })
})

it.each([
  [false, 'same-origin'],
  [{ origin: 'https://app.example' }, 'same-site'],
  [{ origin: ['https://app.example', 'https://other.example'] }, 'same-site'],
  [{ origin: () => true }, 'same-site'],
  [{ origin: '*' }, 'cross-origin'],
  [{}, 'cross-origin'],
] as const)('with cors %j files may be embedded by: %s', async (cors, policy) => {
  const { get } = await withUpload({ filetype: 'image/png' }, BODY, { cors })
  expect((await get()).headers).toMatchObject({ 'Cross-Origin-Resource-Policy': policy })
})

describe('a file that can not be read', () => {
  /** A finished upload whose storage reads by other means. */
  async function startReading(read: (upload: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>) {
    const inner = new MemoryStorage()
    const closed: string[] = []
    const storage = overriding(inner, {
      async *read(...range) {
        try {
          yield* read(inner.read(...range))
        } finally {
          closed.push('closed')
        }
      },
    })
    const server = startServer({ downloads: true, storage })
    const path = await server.create({ 'Upload-Length': '10' })
    await server.patch(path, 0, Buffer.from('helloworld'))
    return { ...server, path, inner, closed }
  }

  const REQUESTS = [{}, { Range: 'bytes=3-7' }, { Range: 'bytes=0-1,5-6' }]

  it.each(REQUESTS)('is answered by 500 before anything of it is sent, and logged: %j', async (headers) => {
    const error = errorWithCode('EIO', '/srv/uploads/abc can\u2019t be read: EIO')
    // biome-ignore lint/correctness/useYield: it fails at once
    const { tus, path, logger } = await startReading(async function* () {
      throw error
    })
    const answer = await tus.handleRequest('GET', path, headers)
    expect(answer).toMatchObject({ status: 500, body: Buffer.from('Internal server error\n') })
    expect(logger.errors).toEqual([error])
  })

  it('is answered by 404 if it is gone, and logged', async () => {
    const error = errorWithCode('ERR_BYTES_GONE', '/srv/uploads/abc is not there')
    // biome-ignore lint/correctness/useYield: it fails at once
    const { tus, path, logger } = await startReading(async function* () {
      throw error
    })
    const answer = await tus.handleRequest('GET', path, {})
    expect(answer.status).toBe(404)
    expect(String(answer.body)).toBe('The file of this upload is not there any more\n')
    expect(logger.errors).toEqual([error])
  })

  it('is answered by 404 without a word if the upload was removed at that moment', async () => {
    // biome-ignore lint/correctness/useYield: it fails at once
    const { tus, path, logger, handle } = await startReading(async function* () {
      expect((await handle('DELETE', path)).status).toBe(204)
      throw errorWithCode('ERR_BYTES_GONE')
    })
    expect((await tus.handleRequest('GET', path, {})).status).toBe(404)
    expect(logger.errors).toEqual([])
  })

  it.each(REQUESTS)('to its end breaks off, and is logged: %j', async (headers) => {
    const { tus, path, logger } = await startReading(async function* (chunks) {
      for await (const chunk of chunks) yield chunk.subarray(0, 1)
    })
    const { status, body } = await tus.handleRequest('GET', path, headers)
    expect(status).toBeLessThan(300)
    const read = async (): Promise<void> => {
      for await (const chunk of body as AsyncIterable<Uint8Array>) void chunk
    }
    await expect(read()).rejects.toThrow(/bytes are missing/)
    expect(logger.errors).toEqual([expect.objectContaining({ message: expect.stringContaining('bytes are missing') })])
  })

  it('frees what it was read by, whenever the reader goes away, and logs nothing', async () => {
    const { tus, path, logger, closed } = await startReading((chunks) => chunks)
    for (const chunks of [0, 1]) {
      const { body } = await tus.handleRequest('GET', path, {})
      const reader = (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]()
      for (let index = 0; index < chunks; index++) await reader.next()
      await reader.return?.()
      expect(closed.splice(0)).toEqual(['closed'])
    }
    expect(logger.errors).toEqual([])
  })

  it('is not opened for a 304 or a 416', async () => {
    const { tus, path, closed } = await startReading((chunks) => chunks)
    const { ETag } = (await tus.handleRequest('GET', path, { Range: 'bytes=99-' })).headers
    expect(ETag).toBeUndefined()
    await tus.handleRequest('GET', path, { 'If-None-Match': '*' })
    expect(closed).toEqual([])
  })
})
