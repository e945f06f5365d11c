// docs/downloads.md: web servers that serve the directory of uploads hand out finished files, as bytes, and nothing else of it.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { codeUnder, substitute } from '../support/docs.js'
import { scratchFolder } from '../support/example.js'
import { type App, startApp } from './app.js'
import { upload } from './client.js'
import { APACHE, CADDY, NGINX, type ProxyKind, startProxy } from './proxy.js'

const PAGE = 'downloads.md'

/** What the page shows goes before this line of the proxy's configuration. */
const SERVERS: ReadonlyArray<readonly [ProxyKind, language: string, before: string]> = [
  [NGINX, 'nginx', '  location @away {'],
  [CADDY, 'caddyfile', '  handle_errors {'],
  [APACHE, 'apache', '</VirtualHost>'],
]

const SECRETS = [
  '.resumable-upload/uploads.sqlite',
  '.resumable-upload/parts/',
  '.resumable-upload',
  '%2eresumable-upload/uploads.sqlite',
  '/.resumable-upload/uploads.sqlite',
  'x/../.resumable-upload/uploads.sqlite',
  'folder/.hidden',
]

/** What is sent for a path, which is not tidied up before. */
function get({ origin, ca }: { origin: string; ca?: Buffer }, path: string) {
  return new Promise<{ status: number; headers: Record<string, unknown>; body: string }>((resolve, reject) => {
    const { protocol, hostname, port } = new URL(origin)
    request({ protocol, hostname, port, path, ca, agent: false }, (response) => {
      text(response).then(
        (body) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        reject,
      )
    })
      .on('error', reject)
      .end()
  })
}

async function startUploads(): Promise<{ app: App; directory: string }> {
  const directory = join(scratchFolder(), 'uploads')
  const app = await startApp({ directory, tus: { onUploadCreate: () => ({ name: 'page.html' }) } })
  // The web server may be another user.
  chmodSync(dirname(directory), 0o755)
  mkdirSync(join(directory, 'folder'))
  writeFileSync(join(directory, 'folder/.hidden'), 'a secret')
  return { app, directory }
}

const AS_BYTES = {
  'content-type': 'application/octet-stream',
  'x-content-type-options': 'nosniff',
  'content-disposition': 'attachment',
}

/** Starts a web server as the page shows it, in front of an application that has one finished upload. */
async function start([kind, language, before]: (typeof SERVERS)[number], without: string) {
  const { app, directory } = await startUploads()
  const shown = substitute(codeUnder(PAGE, kind.name, language), without === '' ? {} : { [without]: '' })
  const added = shown.replaceAll('/srv/uploads', directory)
  const proxy = await startProxy(kind, app.port, substitute(kind.config, { [before]: `${added}${before}` }))
  await upload(proxy, Buffer.from('<script>'), {})
  chmodSync(join(directory, 'page.html'), 0o644)
  return proxy
}

it.each(SERVERS)('$name hands out finished files as bytes, and nothing that begins with a dot', async (...server) => {
  const proxy = await start(server, '')
  expect(await get(proxy, '/download/page.html')).toMatchObject({ status: 200, headers: AS_BYTES, body: '<script>' })
  for (const path of SECRETS) {
    const { status, body } = await get(proxy, `/download/${path}`)
    expect([path, body.includes('SQLite') || body.includes('a secret')]).toEqual([path, false])
    expect([403, 404]).toContain(status)
  }
})

it.each([
  [SERVERS[0], '      return 404;\n'],
  [SERVERS[1], '      hide .*\n'],
] as const)('without that line hands out the database: %#', async (server, line) => {
  const proxy = await start(server as (typeof SERVERS)[number], line)
  const { status } = await get(proxy, '/download/.resumable-upload/uploads.sqlite')
  expect(status).toBe(200)
})
