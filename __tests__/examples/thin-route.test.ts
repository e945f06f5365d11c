// Routes that call the upload server without the middleware.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Upload } from 'tus-js-client'
import { type Program, scratchFolder, startExample } from '../support/example.js'
import { answerTo, ask, createUpload, offsetOf, openPatch, openRequest, sendChunk } from '../support/requests.js'

const MIB = 1024 * 1024

let directory: string
let server: Program
let endpoint: string

beforeEach(async () => {
  directory = scratchFolder()
  server = await startExample('server/thin-route.ts', { directory })
  endpoint = new URL('/projects/a%20b/uploads', server.url).href
}, 60_000)

function stored(url: string): Buffer {
  return readFileSync(join(directory, 'uploads', url.split('/').at(-1) ?? ''))
}

describe('examples/server/thin-route.ts', () => {
  it('takes an upload by tus-js-client', async () => {
    const content = randomBytes(5 * MIB)
    const upload = await new Promise<Upload>((resolve, reject) => {
      // Buffers are files to the client in Node, though not to its types.
      const started: Upload = new Upload(content as unknown as Blob, {
        endpoint,
        chunkSize: 2 * MIB,
        retryDelays: null,
        onSuccess: () => resolve(started),
        onError: reject,
      })
      started.start()
    })

    expect(upload.url).toMatch(`${endpoint}/`)
    expect(stored(upload.url ?? '').equals(content)).toBe(true)
  })

  it('names the URL of the route in Location', async () => {
    const { status, headers } = await ask('POST', endpoint, { 'Upload-Length': 1 })

    expect(status).toBe(201)
    expect(headers.location).toMatch(/^\/projects\/a%20b\/uploads\/[0-9a-f]{40}$/)
  })

  it('answers HEAD by 200, whatever the client has in its cache', async () => {
    const url = await createUpload(endpoint, 10)

    const { status, headers } = await ask('HEAD', url, { 'If-None-Match': '*' })

    expect(status).toBe(200)
    expect(headers).toMatchObject({ 'upload-offset': '0', 'upload-length': '10', 'cache-control': 'no-store' })
  })

  it('terminates', async () => {
    const url = await createUpload(endpoint, 10)

    expect((await ask('DELETE', url)).status).toBe(204)
    expect((await ask('HEAD', url)).status).toBe(404)
  })

  it('keeps what arrived when the client goes away', async () => {
    const url = await createUpload(endpoint, 8 * MIB)
    const patch = await openPatch(url, 0, 8 * MIB)
    await new Promise((sent) => patch.write(randomBytes(4 * MIB), sent))
    patch.destroy()

    await server.answered('PATCH', 0)
    expect(await offsetOf(url)).toBeGreaterThan(3 * MIB)
  })

  it('cuts a request off that stalls when another one wants the upload', async () => {
    const url = await createUpload(endpoint, 8 * MIB)
    const patch = await openPatch(url, 0, 8 * MIB)
    const closed = new Promise((resolve) => patch.once('close', resolve))
    const content = randomBytes(4 * MIB)
    await new Promise((sent) => patch.write(content, sent))

    const offset = (await offsetOf(url)) ?? 0
    await closed
    const rest = randomBytes(8 * MIB - offset)
    expect((await sendChunk(url, offset, rest)).status).toBe(204)

    expect(stored(url).equals(Buffer.concat([content.subarray(0, offset), rest]))).toBe(true)
  })

  it.each([
    ['before a large body was sent', { 'Content-Length': 32 * MIB }],
    ['in the middle of a body that turns out too long', { 'Transfer-Encoding': 'chunked' }],
  ])('refuses %s, and lets it be sent', async (_when, length) => {
    const url = await createUpload(endpoint, 10)
    const headers = { 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': 0, ...length }
    const patch = openRequest('PATCH', url, headers)
    const answer = answerTo(patch)
    patch.end(randomBytes(32 * MIB))

    // Browsers look for an answer after they have sent everything.
    await once(patch, 'finish')
    expect(await answer).toMatchObject({ status: 413, body: 'The body runs past the length of the upload\n' })
    expect(await offsetOf(url)).toBe(0)
  })

  it('takes a POST that says nothing of a body, as curl sends it', async () => {
    const { host, port, pathname } = new URL(endpoint)
    const socket = connect(Number(port), 'localhost')
    socket.end(`POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nTus-Resumable: 1.0.0\r\nUpload-Length: 9\r\n\r\n`)

    expect(await text(socket)).toMatch(/^HTTP\/1\.1 201 /)
  })

  it('ends on SIGTERM', async () => {
    expect(await server.end('SIGTERM')).toMatchObject({ code: 0, signal: null })
  })

  it('leaves other methods and paths to others', async () => {
    expect((await ask('GET', await createUpload(endpoint, 1))).status).toBe(405)
    expect((await ask('HEAD', `${endpoint}/a/b`)).status).toBe(404)
  })
})
