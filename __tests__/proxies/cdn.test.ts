// docs/cdn.md, with nginx as the cache in front of the application.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { buffer } from 'node:stream/consumers'
import type { UploadOptions } from 'tus-js-client'
import type { HookUpload, TusServerOptions } from '../../src/index.js'
import { codeUnder, substitute } from '../support/docs.js'
import { runSnippet } from '../support/snippet.js'
import { type App, startApp } from './app.js'
import { ask, upload } from './client.js'
import { NGINX, type RunningProxy, startProxy } from './proxy.js'

const PAGE = 'cdn.md'
const KIB = 1024

/** nginx with a cache for everything below a path; uploads pass as ever unless that is theirs. */
function startCache(path: '/download' | '/files', port: number): Promise<RunningProxy> {
  const cached = { 'location /files {': 'location /files {\nproxy_cache cache;' }
  const added = {
    'location @away {':
      'location /download {\nproxy_cache cache;\nproxy_pass http://127.0.0.1:3000;\n}\nlocation @away {',
  }
  const zone = { 'server {': 'proxy_cache_path /etc/ssl/cache keys_zone=cache:1m;\nserver {' }
  return startProxy(NGINX, port, substitute(NGINX.config, { ...zone, ...(path === '/files' ? cached : added) }))
}

function startWithRoute(): Promise<App> {
  const code = codeUnder(PAGE, 'Downloads behind it', 'ts')
  return startApp({ extend: (app, storage) => runSnippet(code, [], { app, storage }) })
}

async function get({ origin, ca }: RunningProxy, path: string, headers: Record<string, string> = {}) {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(new URL(path, origin), { ca, agent: false, headers }, resolve).on('error', reject).end()
  })
  return { status: response.statusCode, headers: response.headers, body: await buffer(response) }
}

function downloadOf(url: string): string {
  return `/download/${url.split('/').at(-1)}`
}

function count({ seen }: App, method: string): number {
  return seen.filter((request) => request.method === method).length
}

it('serves finished files from the cache by the route of the page, parts of them, too', async () => {
  const app = await startWithRoute()
  const proxy = await startCache('/download', app.port)
  const content = randomBytes(300 * KIB)
  const path = downloadOf(await upload(proxy, content, {}))
  for (let round = 0; round < 3; round++) {
    const { status, headers, body } = await get(proxy, path)
    expect(status).toBe(200)
    expect(headers).toMatchObject({
      'cache-control': 'public, max-age=31536000, immutable',
      'content-disposition': 'attachment',
      'content-type': 'application/octet-stream',
      'x-content-type-options': 'nosniff',
    })
    expect(body.equals(content)).toBe(true)
  }
  const part = await get(proxy, path, { Range: 'bytes=1000-1999' })
  expect([part.status, part.headers['content-range']]).toEqual([206, `bytes 1000-1999/${content.length}`])
  expect(part.body.equals(content.subarray(1000, 2000))).toBe(true)
  expect(count(app, 'GET')).toBe(1)
})

it('keeps unfinished uploads and what is none from the route of the page', async () => {
  const app = await startWithRoute()
  const proxy = await startCache('/download', app.port)
  const { headers } = await ask(proxy, 'POST', '/files', { 'Upload-Length': 5 })
  for (const path of [downloadOf(headers.location ?? ''), '/download/.resumable-upload', '/download/%2e%2e%2fetc']) {
    expect((await get(proxy, path)).status).toBe(404)
  }
})

it('caches nothing of what the upload server sends itself', async () => {
  const app = await startApp({ tus: { downloads: true } })
  const proxy = await startCache('/files', app.port)
  const location = (await ask(proxy, 'POST', '/files', { 'Upload-Length': 0 })).headers.location ?? ''
  for (let round = 0; round < 2; round++) expect((await get(proxy, location)).status).toBe(200)
  expect(count(app, 'GET')).toBe(2)
})

it('shows why uploads must not be cached: HEAD comes as GET', async () => {
  const app = await startApp()
  const proxy = await startCache('/files', app.port)
  const location = (await ask(proxy, 'POST', '/files', { 'Upload-Length': 5 })).headers.location ?? ''
  expect((await ask(proxy, 'HEAD', location)).statusCode).toBe(404)
  expect([count(app, 'HEAD'), count(app, 'GET')]).toEqual([0, 1])
})

describe('a limit on bodies', () => {
  it('is kept to by the client, and refused by the server otherwise', async () => {
    const ofClient = codeUnder(PAGE, 'Size limits', 'js')
    const { options } = await runSnippet<{ options: UploadOptions }>(ofClient, ['options'])
    const ofServer = codeUnder(PAGE, 'Size limits', 'ts').replace('new TusServer', '')
    const { tus } = await runSnippet<{ tus: TusServerOptions }>(ofServer, ['tus'], { storage: undefined })
    expect(options.chunkSize).toBe(tus.maxChunkSize)

    const app = await startApp({ tus: { maxChunkSize: 64 * KIB } })
    const proxy = await startProxy(NGINX, app.port)
    const content = randomBytes(150 * KIB)
    await upload(proxy, content, { chunkSize: 64 * KIB })
    expect(count(app, 'PATCH')).toBe(3)
    let url = ''
    const whole = upload(proxy, content, {
      onAfterResponse: (_request, response) => {
        url ||= response.getHeader('Location') ?? ''
      },
    })
    await expect(whole).rejects.toThrow(/413/)
    expect((await ask(proxy, 'HEAD', url)).headers['upload-offset']).toBe('0')
    expect(count(app, 'PATCH')).toBe(4)
  })

  it('may be met by POST where PATCH does not pass', async () => {
    const app = await startApp()
    const proxy = await startProxy(NGINX, app.port)
    await upload(proxy, randomBytes(10), { overridePatchMethod: true })
    expect(app.seen.map(({ method }) => method)).toEqual(['POST', 'POST'])
  })
})

it('is told of removed files', async () => {
  const purged: string[] = []
  const code = `const options = { ${codeUnder(PAGE, 'When a file is removed', 'ts')} }`
  type Code = { options: { onUploadTerminate(event: { upload: HookUpload }): void } }
  const { options } = await runSnippet<Code>(code, ['options'], { purge: (url: string) => purged.push(url) })
  const app = await startApp({ tus: options })
  const proxy = await startProxy(NGINX, app.port)
  const url = await upload(proxy, randomBytes(10), {})
  expect((await ask(proxy, 'DELETE', url)).statusCode).toBe(204)
  expect(purged).toEqual([`https://cdn.example${downloadOf(url)}`])
})
