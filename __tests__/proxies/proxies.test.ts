// The proxies of docs/proxies.md, in the configurations that the page shows.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import type { UploadOptions } from 'tus-js-client'
import { codeUnder } from '../support/docs.js'
import { freePort, scratchFolder, waitUntil } from '../support/example.js'
import { runSnippet } from '../support/snippet.js'
import { type App, startApp } from './app.js'
import { ask, askHttp2, beginPatch, create, curlPatch, offsetOf, upload } from './client.js'
import { NGINX, PROXIES, startProxy } from './proxy.js'

const MIB = 1024 * 1024
/** What `maxMetadataSize` is by default, in bytes. */
const LARGEST_METADATA = 8192

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

function stored({ storage }: App, url: string): string {
  return sha256(readFileSync(storage.pathOf({ name: url.split('/').at(-1) ?? '' })))
}

function methods({ seen }: App): string[] {
  return seen.map(({ method }) => method)
}

const FRAMINGS = [
  ['of stated length', { 'Content-Length': 64 * MIB }],
  ['of unstated length', { 'Transfer-Encoding': 'chunked' }],
] as const

describe.each(PROXIES)('$name', (kind) => {
  it('brings a file through, in one PATCH or in several', async () => {
    const app = await startApp()
    const proxy = await startProxy(kind, app.port)
    const content = randomBytes(9 * MIB + 1)
    for (const chunkSize of [Number.POSITIVE_INFINITY, 4 * MIB]) {
      const url = await upload(proxy, content, { chunkSize })
      expect(stored(app, url)).toBe(sha256(content))
    }
    expect(methods(app)).toEqual(['POST', 'PATCH', 'POST', 'PATCH', 'PATCH', 'PATCH'])
  })

  it.each(FRAMINGS)('passes a body %s on as it comes: what was sent before a cut is kept', async (_how, framing) => {
    const app = await startApp()
    const proxy = await startProxy(kind, app.port)
    const path = await create(proxy, 64 * MIB)
    const patch = beginPatch(proxy, path, randomBytes(5 * MIB), framing)
    await waitUntil(() => app.seen[1]?.received === 5 * MIB)
    patch.destroy()
    expect(await offsetOf(proxy, path)).toBe(5 * MIB)
  })

  it.each([
    ['HTTP/1.1', ask],
    ['HTTP/2', askHttp2],
  ] as const)('passes the largest metadata both ways over %s', async (_version, send) => {
    const app = await startApp()
    const proxy = await startProxy(kind, app.port)
    const metadata = `thumbnail ${'A'.repeat(LARGEST_METADATA - 'thumbnail '.length)}`
    const creation = await send(proxy, 'POST', '/files', { 'Upload-Length': 5, 'Upload-Metadata': metadata })
    expect(creation.statusCode).toBe(201)
    const { statusCode, headers } = await send(proxy, 'HEAD', creation.headers.location ?? '')
    expect([statusCode, headers['upload-metadata']]).toEqual([200, metadata])
  })

  it('lets a client on that comes back while its old connection hangs', async () => {
    const app = await startApp({ tus: { claimWaitMs: 60_000 } })
    const proxy = await startProxy(kind, app.port)
    const path = await create(proxy, 64 * MIB)
    const stalled = beginPatch(proxy, path, randomBytes(MIB), { 'Content-Length': 64 * MIB })
    const statuses: unknown[] = []
    stalled.on('response', ({ statusCode }) => statuses.push(statusCode))
    await waitUntil(() => app.seen[1]?.received === MIB)
    expect(await offsetOf(proxy, path)).toBe(MIB)
    expect(statuses).not.toContain(204)
  })

  it('passes a refusal on while the body is still being sent', async () => {
    const app = await startApp()
    const proxy = await startProxy(kind, app.port)
    const file = join(scratchFolder(), 'large')
    writeFileSync(file, Buffer.alloc(48 * MIB))
    for (const version of kind.refusesOverHttp2 ? ['--http1.1', '--http2'] : ['--http1.1']) {
      let result = await curlPatch(proxy, await create(proxy, 5), file, [version])
      // A proxy that still writes when the server stops reading may break off, before the answer or in the middle of it: a
      // client tries again. What it never does is to take the body for stored.
      for (let again = 0; again < 9 && (result.status === 100 || result.body === ''); again++) {
        expect([100, 413]).toContain(result.status)
        result = await curlPatch(proxy, await create(proxy, 5), file, [version])
      }
      expect(result).toMatchObject({ status: 413, body: 'The body runs past the length of the upload\n' })
    }
    for (const { method, received } of app.seen) if (method === 'PATCH') expect(received).toBeLessThanOrEqual(MIB)
  })

  it(`${kind.passesTrailers ? 'passes trailers on' : 'drops trailers, which is never a success'}`, async () => {
    const app = await startApp()
    const proxy = await startProxy(kind, app.port)
    const path = await create(proxy, 5)
    const framing = { 'Transfer-Encoding': 'chunked', Trailer: 'Upload-Checksum' }
    const patch = beginPatch(proxy, path, Buffer.from('hello'), framing)
    patch.addTrailers({ 'Upload-Checksum': `sha1 ${createHash('sha1').update('hello').digest('base64')}` })
    const [response] = (await once(patch.end(), 'response')) as [IncomingMessage]
    expect(response.statusCode).toBe(kind.passesTrailers ? 204 : 400)
    expect(await offsetOf(proxy, path)).toBe(kind.passesTrailers ? 5 : 0)
  })

  it('speaks HTTP/2 to clients', async () => {
    const app = await startApp()
    const proxy = await startProxy(kind, app.port)
    const content = randomBytes(9 * MIB + 1)
    const file = join(scratchFolder(), 'file')
    writeFileSync(file, content)
    const path = await create(proxy, content.length)
    expect(await curlPatch(proxy, path, file, ['--http2'])).toMatchObject({ status: 204, httpVersion: '2' })
    expect(stored(app, path)).toBe(sha256(content))
  })

  it('has clients wait while the application is away, instead of starting over', async () => {
    const port = await freePort()
    const directory = scratchFolder()
    const app = await startApp({ port, directory })
    const proxy = await startProxy(kind, port)
    const content = randomBytes(9 * MIB + 1)
    const answers: string[] = []
    let away = false
    const url = await upload(proxy, content, {
      chunkSize: MIB,
      retryDelays: new Array(20).fill(100),
      onAfterResponse: async (request, response) => {
        const method = request.getMethod()
        const answer = `${method} ${response.getStatus()}`
        answers.push(answer)
        if (answer === 'PATCH 204' && answers.length === 4) {
          away = true
          await app.stop()
        } else if (answer === 'HEAD 423' && away) {
          away = false
          await startApp({ port, directory })
        }
      },
    })
    expect(stored(app, url)).toBe(sha256(content))
    expect(answers.filter((answer) => answer.startsWith('POST'))).toEqual(['POST 201'])
    expect(answers).toContain('HEAD 423')
    expect(answers).toContain('HEAD 200')
  }, 60_000)

  it('says under which scheme and host it was asked', async () => {
    const app = await startApp({ tus: { absoluteLocation: true } })
    const proxy = await startProxy(kind, app.port)
    const location = await create(proxy, 5)
    expect(location).toMatch(new RegExp(`^${proxy.origin}/files/[0-9a-f]{40}$`))
    expect((await ask(proxy, 'HEAD', location)).statusCode).toBe(200)
  })

  it('says nothing of the scheme and host that a client makes up', async () => {
    const app = await startApp({ tus: { absoluteLocation: true } })
    const proxy = await startProxy(kind, app.port)
    for (const send of [ask, askHttp2]) {
      const { headers } = await send(proxy, 'POST', '/files', {
        'Upload-Length': 5,
        'X-Forwarded-Host': 'evil.example',
        'X-Forwarded-Proto': 'http',
      })
      expect(headers.location).toMatch(new RegExp(`^${proxy.origin}/files/[0-9a-f]{40}$`))
    }
  })
})

describe('the options for tus-js-client', () => {
  const withoutLine = NGINX.config.replace(/ *error_page .*\n/, '')

  async function uploadOverRestart(options: UploadOptions): Promise<App> {
    const port = await freePort()
    const directory = scratchFolder()
    const app = await startApp({ port, directory })
    const proxy = await startProxy(NGINX, port, withoutLine)
    let again: App | undefined
    await upload(proxy, randomBytes(3 * MIB), {
      chunkSize: MIB,
      ...options,
      endpoint: `${proxy.origin}/files`,
      retryDelays: new Array(20).fill(100),
      onAfterResponse: async (request, response) => {
        if (request.getMethod() === 'PATCH' && response.getStatus() === 204 && again === undefined) await app.stop()
        if (response.getStatus() === 502 && request.getMethod() === 'HEAD')
          again ??= await startApp({ port, directory })
        await options.onAfterResponse?.(request, response)
      },
    })
    if (again === undefined) throw new Error('no HEAD was answered by 502')
    return again
  }

  it('have it go on behind a proxy that answers HEAD by 502', async () => {
    const code = codeUnder('proxies.md', 'In the client', 'js')
    const { options } = await runSnippet<{ options: UploadOptions }>(code, ['options'])
    expect(methods(await uploadOverRestart(options))).toEqual(['HEAD', 'PATCH', 'PATCH'])
  })

  it('are what it needs: without them it starts over', async () => {
    expect(methods(await uploadOverRestart({}))).toEqual(['POST', 'PATCH', 'PATCH', 'PATCH'])
  })
})
