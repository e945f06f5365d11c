// What `npm start` runs.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { scratchFolder, startExample } from '../support/example.js'
import { createUpload, offsetOf, openPatch, sendChunk } from '../support/requests.js'

const SCRIPT = 'server/express-app.ts'

describe('examples/server/express-app.ts', () => {
  it('says where it is, and has a page that needs nothing from elsewhere', async () => {
    const { url, output } = await startExample(SCRIPT)

    expect(output()).toMatch(/^Drop files on http:\/\/localhost:\d+\/ /m)
    const page = await (await fetch(url)).text()
    expect(page).toContain('<title>Resumable upload</title>')
    const links = [...page.matchAll(/(?:src|href)="([^#"]+)"/g)].map(([, link]) => link as string)
    expect(links.filter((link) => !link.startsWith('data:'))).toEqual(['style.css', 'app.js'])
    expect((await fetch(new URL('style.css', url))).headers.get('content-type')).toMatch('text/css')
    const script = await fetch(new URL('app.js', url))
    expect(script.headers.get('content-type')).toMatch('text/javascript')
    // The tus client is in it, as it is made for browsers.
    expect(await script.text()).toContain('XHRHttpStack')
  }, 60_000)

  it('takes uploads into UPLOAD_DIR, and ends on SIGTERM', async () => {
    const directory = scratchFolder()
    const { url, end } = await startExample(SCRIPT, { directory })
    const content = randomBytes(3_000_000)

    const upload = await createUpload(new URL('/files', url).href, content.length)
    expect((await sendChunk(upload, 0, content)).status).toBe(204)

    const stored = readFileSync(join(directory, 'uploads', upload.split('/').at(-1) ?? ''))
    expect(stored.equals(content)).toBe(true)
    expect(await end('SIGTERM')).toMatchObject({ code: 0, signal: null })
  }, 60_000)

  it('ends on SIGINT with an upload under way, and keeps what arrived', async () => {
    const directory = scratchFolder()
    const server = await startExample(SCRIPT, { directory })
    const half = randomBytes(1_000_000)

    const upload = await createUpload(new URL('/files', server.url).href, 2 * half.length)
    const patch = await openPatch(upload, 0, 2 * half.length)
    await new Promise((sent) => patch.write(half, sent))
    expect(await server.end('SIGINT')).toMatchObject({ code: 0, signal: null })
    await startExample(SCRIPT, { directory, port: server.port })

    expect(await offsetOf(upload)).toBe(half.length)
  }, 60_000)

  it('says so if its port is taken', async () => {
    const { port } = await startExample(SCRIPT)

    await expect(startExample(SCRIPT, { port })).rejects.toThrow('EADDRINUSE')
  }, 60_000)
})
