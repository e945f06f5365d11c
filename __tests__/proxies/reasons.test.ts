// What docs/proxies.md says of single lines: that without them things are as bad as it says.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { codeUnder, substitute } from '../support/docs.js'
import { scratchFolder } from '../support/example.js'
import { runSnippet } from '../support/snippet.js'
import { startApp } from './app.js'
import { ask, beginPatch, create, curlPatch, offsetOf, upload } from './client.js'
import { APACHE, NGINX, startProxy } from './proxy.js'

const MIB = 1024 * 1024

function without(config: string, ...parts: readonly string[]): string {
  return substitute(config, Object.fromEntries(parts.map((part) => [part, ''])))
}

describe('Apache', () => {
  it('without `responsefieldsize` lets uploads be created that can not be resumed', async () => {
    const app = await startApp()
    const proxy = await startProxy(APACHE, app.port, without(APACHE.config, ' responsefieldsize=16384'))
    const headers = { 'Upload-Length': 5, 'Upload-Metadata': `a ${'A'.repeat(8188)}`, 'Content-Length': 0 }
    const creation = await ask(proxy, 'POST', '/files', headers)
    const head = await ask(proxy, 'HEAD', creation.headers.location ?? '')
    expect(head.statusCode).toBe(423)
  })

  it('without `LimitRequestFieldSize` refuses the largest metadata itself', async () => {
    const app = await startApp()
    const proxy = await startProxy(APACHE, app.port, without(APACHE.config, 'LimitRequestFieldSize 16380'))
    const headers = { 'Upload-Length': 5, 'Upload-Metadata': `a ${'A'.repeat(8188)}`, 'Content-Length': 0 }
    expect((await ask(proxy, 'POST', '/files', headers)).statusCode).toBe(400)
    expect(app.seen).toEqual([])
  })
})

describe('nginx', () => {
  it.each([
    ['proxy_request_buffering off;', { 'Content-Length': 64 * MIB }],
    ['proxy_http_version 1.1;', { 'Transfer-Encoding': 'chunked' }],
  ])('without `%s` loses what was sent before a cut', async (line, framing) => {
    const app = await startApp()
    const proxy = await startProxy(NGINX, app.port, without(NGINX.config, line))
    const path = await create(proxy, 64 * MIB)
    const patch = beginPatch(proxy, path, randomBytes(5 * MIB), framing)
    // All of it is with nginx, or on the way to it.
    while (patch.writableLength > 0) await once(patch, 'drain')
    patch.destroy()
    expect(await offsetOf(proxy, path)).toBe(0)
    expect(app.seen.map(({ method }) => method)).toEqual(['POST', 'HEAD'])
  })

  it('without `client_max_body_size 0;` refuses bodies over 1 MB itself', async () => {
    const app = await startApp()
    const proxy = await startProxy(NGINX, app.port, without(NGINX.config, 'client_max_body_size 0;'))
    const file = join(scratchFolder(), 'file')
    writeFileSync(file, Buffer.alloc(MIB + 1))
    const result = await curlPatch(proxy, await create(proxy, MIB + 1), file, [])
    expect(result.status).toBe(413)
    expect(result.body).toContain('<center>nginx')
    expect(app.seen.map(({ method }) => method)).toEqual(['POST'])
  })

  it('without `proxy_buffer_size` and `proxy_buffers` lets uploads be created that can not be resumed', async () => {
    const app = await startApp()
    const lines = ['proxy_buffer_size 32k;', 'proxy_buffers 4 32k;']
    const proxy = await startProxy(NGINX, app.port, without(NGINX.config, ...lines))
    const headers = { 'Upload-Length': 5, 'Upload-Metadata': `thumbnail ${'A'.repeat(6000)}`, 'Content-Length': 0 }
    const creation = await ask(proxy, 'POST', '/files', headers)
    expect(creation.statusCode).toBe(201)
    expect((await ask(proxy, 'HEAD', creation.headers.location ?? '')).statusCode).toBe(423)
    expect(app.seen.map(({ method }) => method)).toEqual(['POST', 'HEAD'])
  })

  it('without `large_client_header_buffers` refuses the largest metadata itself', async () => {
    const app = await startApp()
    const line = 'large_client_header_buffers 4 16k;'
    const proxy = await startProxy(NGINX, app.port, without(NGINX.config, line))
    const headers = { 'Upload-Length': 5, 'Upload-Metadata': `a ${'A'.repeat(8188)}`, 'Content-Length': 0 }
    expect((await ask(proxy, 'POST', '/files', headers)).statusCode).toBe(400)
    expect(app.seen).toEqual([])
  })

  it('redirects where the location has a slash at its end', async () => {
    const app = await startApp()
    const proxy = await startProxy(
      NGINX,
      app.port,
      substitute(NGINX.config, { 'location /files {': 'location /files/ {' }),
    )
    expect((await ask(proxy, 'POST', '/files', { 'Upload-Length': 5 })).statusCode).toBe(301)
    expect(app.seen).toEqual([])
  })

  it('may change the path, where publicUrl says what to', async () => {
    const heading = 'A proxy that changes the path'
    const { tus } = await runSnippet<{ tus: { publicUrl: string } }>(codeUnder('proxies.md', heading, 'ts'), ['tus'], {
      storage: undefined,
      TusServer: class {
        constructor(options: object) {
          Object.assign(this, options)
        }
      },
    })
    const [location = '', proxyPass = ''] = codeUnder('proxies.md', heading, 'nginx').trim().split('\n')
    const app = await startApp({ tus: { publicUrl: tus.publicUrl } })
    const config = { 'location /files {': location.trim(), 'proxy_pass http://127.0.0.1:3000;': proxyPass.trim() }
    const proxy = await startProxy(NGINX, app.port, substitute(NGINX.config, config))
    const content = randomBytes(MIB)
    const url = await upload(proxy, content, { endpoint: `${proxy.origin}/uploads` })
    expect(url).toMatch(new RegExp(`^${proxy.origin}/uploads/[0-9a-f]{40}$`))
    expect(await offsetOf(proxy, url)).toBe(MIB)
  })
})
