// tus-js-client from Node, against the middleware on a real socket.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises'
import express from 'express'
import { DefaultHttpStack, type HttpRequest, Upload, type UploadOptions } from 'tus-js-client'
import { parseUploadMetadata, prepareServer, SQLiteStorage, TusServer, tusMiddleware } from '../../src/index.js'
import { afterTest, scratchFolder, startExample, waitUntil } from '../support/example.js'

const MIB = 1024 * 1024

interface SeenRequest {
  readonly method: string
  readonly headers: IncomingHttpHeaders
  /** How many bytes of the body have arrived. */
  received: number
}

interface Site {
  readonly endpoint: string
  readonly storage: SQLiteStorage
  readonly seen: SeenRequest[]
}

interface SiteOptions {
  readonly requestTimeoutMs?: number
  readonly prepare?: boolean
  readonly onBytes?: (request: SeenRequest) => void
}

/** Starts an Express app with the middleware that notes what it is asked for. */
async function startSite({ requestTimeoutMs, prepare = true, onBytes }: SiteOptions = {}): Promise<Site> {
  const storage = new SQLiteStorage({ directory: join(scratchFolder(), 'uploads') })
  const tus = new TusServer({ storage, logger: { warn: () => {}, error: console.error } })
  const seen: SeenRequest[] = []
  const app = express()
  app.use((req, _res, next) => {
    const request: SeenRequest = { method: req.method, headers: req.headers, received: 0 }
    seen.push(request)
    const push = req.push.bind(req)
    req.push = (chunk, encoding) => {
      request.received += chunk?.length ?? 0
      onBytes?.(request)
      return push(chunk, encoding)
    }
    next()
  })
  app.use('/api/files', tusMiddleware(tus))
  const server = createServer({ connectionsCheckingInterval: 100 }, app)
  if (requestTimeoutMs !== undefined) {
    server.headersTimeout = requestTimeoutMs
    server.requestTimeout = requestTimeoutMs
  }
  if (prepare) prepareServer(server, tus)
  server.listen(0)
  await once(server, 'listening')
  afterTest(async () => {
    server.closeAllConnections()
    server.close()
    await tus.close({ timeoutMs: 0 })
  })
  return { endpoint: `http://localhost:${(server.address() as AddressInfo).port}/api/files`, storage, seen }
}

/** Node's streams and Buffers work as files, though the types of the client only know those of browsers. */
type Source = ConstructorParameters<typeof Upload>[0]

interface Uploading {
  readonly upload: Upload
  /** Settles with the end of the upload. */
  readonly end: Promise<void>
}

function start(source: Buffer | Readable | object, options: UploadOptions): Uploading {
  let upload!: Upload
  const end = new Promise<void>((resolve, reject) => {
    upload = new Upload(source as Source, {
      retryDelays: null,
      onSuccess: () => resolve(),
      onError: reject,
      ...options,
    })
  })
  upload.start()
  return { upload, end }
}

async function send(source: Buffer | Readable | object, options: UploadOptions): Promise<string> {
  const { upload, end } = start(source, options)
  await end
  return upload.url ?? ''
}

function idOf(url: string | null): string {
  return url?.split('/').at(-1) ?? ''
}

/** The hash of a finished file. (Jest takes minutes to compare megabytes.) */
function stored({ storage }: Site, url: string): string {
  return sha256(readFileSync(storage.pathOf({ name: idOf(url) })))
}

function patches({ seen }: Site): SeenRequest[] {
  return seen.filter(({ method }) => method === 'PATCH')
}

async function head(url: string): Promise<Response> {
  return fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
}

/** tus-js-client before 4.3 sends no Content-Length from Node: the length that it states comes from `size`. */
class UnstatedLengthStack extends DefaultHttpStack {
  override createRequest(method: string, url: string): HttpRequest {
    const request = super.createRequest(method, url)
    const sendBody = request.send.bind(request)
    request.send = (body: { size?: number } | null) => {
      if (body !== null && body !== undefined) delete body.size
      return sendBody(body)
    }
    return request
  }
}

/** A source whose bytes come when the test lets them. */
function slowSource(
  size: number,
  chunks: (start: number) => AsyncIterable<Buffer>,
): NonNullable<UploadOptions['fileReader']> {
  const source = {
    size,
    slice: async (from: number) => ({
      value: Object.assign(Readable.from(chunks(from), { objectMode: false }), { size: size - from }),
      done: true,
    }),
    close: () => {},
  }
  return { openFile: async () => source }
}

describe('tus-js-client', () => {
  it('sends a whole file in one PATCH', async () => {
    const site = await startSite()
    const content = randomBytes(9 * MIB + 1)
    const file = join(scratchFolder(), 'file')
    writeFileSync(file, content)

    const url = await send(createReadStream(file), { endpoint: site.endpoint })

    expect(patches(site)).toMatchObject([{ headers: { 'content-length': String(content.length) } }])
    expect(stored(site, url)).toBe(sha256(content))
  })

  it('sends a whole file in one PATCH whose length nothing states', async () => {
    const site = await startSite()
    const content = randomBytes(9 * MIB + 1)

    const httpStack = new UnstatedLengthStack({})
    const url = await send(content, { endpoint: site.endpoint, httpStack })

    expect(patches(site)).toMatchObject([{ headers: { 'transfer-encoding': 'chunked' }, received: content.length }])
    expect(patches(site)[0]?.headers).not.toHaveProperty('content-length')
    expect(stored(site, url)).toBe(sha256(content))
  })

  it('sends a file in chunks', async () => {
    const site = await startSite()
    const content = randomBytes(3.5 * MIB)

    const url = await send(content, { endpoint: site.endpoint, chunkSize: MIB })

    expect(patches(site).map(({ headers }) => headers['upload-offset'])).toEqual([0, MIB, 2 * MIB, 3 * MIB].map(String))
    expect(stored(site, url)).toBe(sha256(content))
  })

  it('sends an empty file', async () => {
    const site = await startSite()

    const url = await send(Buffer.alloc(0), { endpoint: site.endpoint })

    expect(site.seen.map(({ method }) => method)).toEqual(['POST'])
    expect(stored(site, url)).toBe(sha256(Buffer.alloc(0)))
  })

  describe('with a stream of unknown length', () => {
    it('brings the length with the last chunk', async () => {
      const site = await startSite()
      const content = randomBytes(2.5 * MIB)

      const url = await send(Readable.from(pieces(content), { objectMode: false }), {
        endpoint: site.endpoint,
        chunkSize: MIB,
        uploadLengthDeferred: true,
      })

      expect(patches(site).map(({ headers }) => headers['upload-length'])).toEqual([
        undefined,
        undefined,
        String(content.length),
      ])
      expect(stored(site, url)).toBe(sha256(content))
    })

    it('brings the length with an empty chunk if the last one was full', async () => {
      const site = await startSite()
      const content = randomBytes(2 * MIB)
      const stream = Readable.from(pieces(content), { objectMode: false })

      const url = await send(stream, {
        endpoint: site.endpoint,
        chunkSize: MIB,
        uploadLengthDeferred: true,
        // From Node the client does not see by itself that a stream ended with a full chunk; it would wait for ever.
        onAfterResponse: async () => {
          if (patches(site).length < 2) return
          while (!stream.readableEnded) {
            stream.read(0)
            await nextTurn()
          }
        },
      })

      expect(patches(site).at(-1)).toMatchObject({
        headers: { 'upload-offset': String(content.length), 'upload-length': String(content.length) },
        received: 0,
      })
      expect(stored(site, url)).toBe(sha256(content))
    })
  })

  describe('that sends data with the creation', () => {
    it('needs no PATCH for a file in one chunk', async () => {
      const site = await startSite()
      const content = randomBytes(3 * MIB)

      const url = await send(content, { endpoint: site.endpoint, uploadDataDuringCreation: true })

      expect(site.seen.map(({ method }) => method)).toEqual(['POST'])
      expect(stored(site, url)).toBe(sha256(content))
    })

    it('goes on by PATCH after the first chunk', async () => {
      const site = await startSite()
      const content = randomBytes(3 * MIB)

      const url = await send(content, { endpoint: site.endpoint, uploadDataDuringCreation: true, chunkSize: MIB })

      expect(site.seen.map(({ method }) => method)).toEqual(['POST', 'PATCH', 'PATCH'])
      expect(stored(site, url)).toBe(sha256(content))
    })
  })

  it('stops in the middle of a PATCH, and goes on where the server says that it is', async () => {
    let stop = () => {}
    const site = await startSite({
      onBytes: ({ received }) => {
        if (received > 16 * MIB) stop()
      },
    })
    const content = randomBytes(64 * MIB)

    const { upload } = start(content, { endpoint: site.endpoint })
    await new Promise<void>((resolve) => {
      stop = resolve
    })
    await upload.abort()
    stop = () => {}
    const { url } = upload
    expect(existsSync(site.storage.pathOf({ name: idOf(url) }))).toBe(false)
    await send(content, { uploadUrl: url })

    const [first, second] = patches(site)
    const offset = Number(second?.headers['upload-offset'])
    // Chunks that come in after another request has asked the first one to let go do not count.
    expect(offset).toBeGreaterThan((first?.received ?? 0) - 256 * 1024)
    expect(offset).toBeLessThanOrEqual(first?.received ?? 0)
    expect(offset).toBeLessThan(content.length)
    expect(second?.received).toBe(content.length - offset)
    expect(stored(site, url ?? '')).toBe(sha256(content))
  })

  it('finds an upload of an earlier time by the fingerprint of the file', async () => {
    const site = await startSite()
    const content = randomBytes(2 * MIB)
    const urls = new Map<string, object>()
    // The store of the browser build keeps them in localStorage; this one has the same methods.
    const urlStorage = {
      findAllUploads: async () => [...urls.values()],
      findUploadsByFingerprint: async (fingerprint: string) => (urls.has(fingerprint) ? [urls.get(fingerprint)] : []),
      removeUpload: async (key: string) => {
        urls.delete(key)
      },
      addUpload: async (fingerprint: string, upload: object) => {
        urls.set(fingerprint, { ...upload, urlStorageKey: fingerprint })
        return fingerprint
      },
    } as NonNullable<UploadOptions['urlStorage']>
    const options: UploadOptions = { endpoint: site.endpoint, chunkSize: MIB, urlStorage }

    const first = start(content, { ...options, onChunkComplete: () => void first.upload.abort() })
    await waitUntil(() => patches(site)[0]?.received === MIB && urls.size > 0)
    const second = new Upload(content as unknown as Source, { ...options, retryDelays: null })
    const [previous] = await second.findPreviousUploads()
    if (previous === undefined) throw new Error('nothing was found')
    second.resumeFromPreviousUpload(previous)
    await new Promise<void>((resolve, reject) => {
      Object.assign(second.options, { onSuccess: resolve, onError: reject })
      second.start()
    })

    expect(second.url).toBe(first.upload.url)
    expect(patches(site).map(({ headers }) => headers['upload-offset'])).toEqual(['0', String(MIB)])
    expect(stored(site, second.url ?? '')).toBe(sha256(content))
  })

  it('terminates an upload in the middle of a PATCH', async () => {
    let reached = () => {}
    const site = await startSite({
      onBytes: ({ received }) => {
        if (received > 4 * MIB) reached()
      },
    })
    const { upload } = start(randomBytes(64 * MIB), { endpoint: site.endpoint })
    await new Promise<void>((resolve) => {
      reached = resolve
    })

    await upload.abort(true)

    expect((await head(upload.url ?? '')).status).toBe(404)
    expect(await site.storage.get(idOf(upload.url))).toBeUndefined()
    expect(readdirSync(join(site.storage.directory, '.resumable-upload', 'parts'))).toEqual([])
  })

  it('terminates a finished upload', async () => {
    const site = await startSite()
    const url = await send(randomBytes(MIB), { endpoint: site.endpoint })

    await Upload.terminate(url, { retryDelays: null })

    expect((await head(url)).status).toBe(404)
    expect(existsSync(site.storage.pathOf({ name: idOf(url) }))).toBe(false)
  })

  it('has its metadata stored as it is, with empty values and any script', async () => {
    const site = await startSite()
    const metadata = { empty: '', filename: 'naïve – 日本 🎬.txt', constructor: 'a key like any other', last: '' }

    const url = await send(Buffer.from('x'), { endpoint: site.endpoint, metadata })

    const sent = site.seen[0]?.headers['upload-metadata'] as string
    const upload = await site.storage.get(idOf(url))
    expect(upload?.metadata).toBe(sent)
    expect({ ...parseUploadMetadata(upload?.metadata ?? '') }).toEqual(metadata)
    expect((await head(url)).headers.get('upload-metadata')).toBe(sent)
  })

  it('goes on by itself after kill -9 and a restart of the server', async () => {
    const directory = scratchFolder()
    const server = await startExample('server/express-app.ts', { directory })
    const content = randomBytes(64 * MIB)
    const half = content.length / 2
    let restarted = () => {}
    const restart = new Promise<void>((resolve) => {
      restarted = resolve
    })
    const fileReader = slowSource(content.length, async function* (from) {
      yield* pieces(content.subarray(from, Math.max(from, half)))
      await restart
      yield* pieces(content.subarray(Math.max(from, half)))
    })

    const { upload, end } = start(
      {},
      {
        endpoint: new URL('/files', server.url).href,
        fileReader,
        fingerprint: async () => 'a file',
        retryDelays: new Array(100).fill(100),
      },
    )
    end.catch(() => {})
    const parts = join(directory, 'uploads', '.resumable-upload', 'parts')
    await waitUntil(() => readdirSync(parts).some((part) => statSync(join(parts, part)).size > half - 2 * MIB))
    await server.end('SIGKILL')
    const again = await startExample('server/express-app.ts', { directory, port: server.port })
    restarted()
    await end

    const requests = await again.answered('PATCH', 204)
    const first = requests.find(({ method }) => method === 'HEAD')
    // Nobody waits for the lease of a process that is dead.
    expect(first?.ms).toBeLessThan(2_000)
    const offset = first?.answer['upload-offset']
    expect(Number(offset)).toBeGreaterThanOrEqual(half / 2)
    expect(Number(offset)).toBeLessThanOrEqual(half)
    expect(requests.find(({ method }) => method === 'PATCH')).toMatchObject({
      headers: { 'upload-offset': offset },
      received: content.length - Number(offset),
      status: 204,
    })
    const file = readFileSync(join(directory, 'uploads', idOf(upload.url)))
    expect(sha256(file)).toBe(sha256(content))
  }, 60_000)

  describe('on a server that ends requests after 2 s', () => {
    const SENDS_MS = 10_000
    const content = randomBytes(40 * 1024)
    const fileReader = slowSource(content.length, async function* (from) {
      for (const piece of pieces(content.subarray(from), 1024)) {
        yield piece
        await wait((SENDS_MS * 1024) / content.length, undefined, { ref: false })
      }
    })
    const fingerprint = async () => 'a file'

    it('sends one PATCH for 10 s if the server was prepared', async () => {
      const site = await startSite({ requestTimeoutMs: 2_000 })
      const startedAtMs = performance.now()

      const url = await send({}, { endpoint: site.endpoint, fileReader, fingerprint })

      expect(performance.now() - startedAtMs).toBeGreaterThan(SENDS_MS * 0.95)
      expect(patches(site)).toHaveLength(1)
      expect(stored(site, url)).toBe(sha256(content))
    })

    it('is cut off if it was not', async () => {
      const site = await startSite({ requestTimeoutMs: 2_000, prepare: false })

      // Node closes the connection behind its answer, and what is on its way then may cost the client the answer.
      const cutOff = /response code: 408|ECONNRESET|EPIPE/
      await expect(send({}, { endpoint: site.endpoint, fileReader, fingerprint })).rejects.toThrow(cutOff)
    })
  })
})

function* pieces(content: Buffer, size = 64 * 1024): Generator<Buffer> {
  for (let at = 0; at < content.length; at += size) yield content.subarray(at, at + size)
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}
