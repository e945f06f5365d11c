// GET: downloads of finished uploads.
import { MIB, startServer } from './support.js'

const BODY = 'The quick brown fox jumps over the lazy dog'

async function withUpload(metadata: Record<string, string> = {}, body: string | Buffer = BODY) {
  const server = startServer({ downloads: true })
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
      `--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 0-2/43\r\n\r\nThe\r\n` +
        `--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes 40-42/43\r\n\r\ndog\r\n` +
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

it('fails rather than ending early where the upload is removed before its bytes are read', async () => {
  for (const headers of [{}, { Range: 'bytes=3-7' }, { Range: 'bytes=0-1,5-6' }]) {
    const { tus, path, handle } = await withUpload()
    const { status, body } = await tus.handleRequest('GET', path, headers)
    expect(status).toBeLessThan(300)
    expect((await handle('DELETE', path)).status).toBe(204)
    const read = async (): Promise<void> => {
      for await (const chunk of body as AsyncIterable<Uint8Array>) void chunk
    }
    await expect(read()).rejects.toThrow(/removed/)
  }
})
