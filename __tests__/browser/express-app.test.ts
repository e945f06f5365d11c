// The example's page in a real browser: what a new user sees, and does.
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { launchChromium, UploadPage } from '../support/browser.js'
import {
  afterTest,
  type Program,
  type RecordedRequest,
  scratchFolder,
  startExample,
  waitUntil,
} from '../support/example.js'
import { startWire, type Wire } from '../support/wire.js'

const MB = 1_000_000

let browser: Browser

beforeAll(async () => {
  browser = await launchChromium()
}, 60_000)

afterAll(async () => {
  await browser?.close()
})

/** What the tests use of a browser's global object: Node's types do not know it. */
interface BrowserGlobals {
  readonly navigator: { readonly storage: { getDirectory(): Promise<BrowserFolder> } }
}
interface BrowserFolder {
  getFileHandle(name: string, options: { create: true }): Promise<BrowserFile>
}
interface BrowserFile {
  createWritable(): Promise<{ write(bytes: Uint8Array): Promise<void>; close(): Promise<void> }>
}

interface Site {
  readonly directory: string
  readonly server: Program
  readonly tab: UploadPage
  /** Opens the page in another tab of the same browser. */
  openTab(): Promise<UploadPage>
}

interface SiteOptions {
  /** Runs in every page before its own scripts. */
  readonly prepare?: () => void
  /** Puts something between the server and the browser: from the port of the one to the port for the other. */
  readonly between?: (port: number) => Promise<number>
}

async function openSite({ prepare, between }: SiteOptions = {}): Promise<Site> {
  const directory = scratchFolder()
  const server = await startExample('server/express-app.ts', { directory })
  const port = between === undefined ? server.port : await between(server.port)
  const context = await browser.newContext()
  afterTest(() => context.close())
  if (prepare !== undefined) await context.addInitScript(prepare)
  const openTab = async () => UploadPage.open(await context.newPage(), `http://localhost:${port}/`)
  return { directory, server, tab: await openTab(), openTab }
}

/** Writes a file of random bytes; returns its path. */
function createFile(name: string, size: number): string {
  const path = join(scratchFolder(), name)
  writeFileSync(path, randomBytes(size))
  return path
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

function storedFile({ directory }: Site, url: string): string {
  return join(directory, 'uploads', url.split('/').at(-1) ?? '')
}

function progressOf(tab: UploadPage, name: string, atLeast: number): Promise<number> {
  return waitUntil(async () => {
    const progress = await tab.progress(name)
    return progress >= atLeast && progress
  }, 60_000)
}

/** Each PATCH after a HEAD begins where that said that the upload is. Returns those offsets. */
function resumedAt(requests: readonly RecordedRequest[]): number[] {
  const offsets: number[] = []
  for (const [index, { method, headers, status }] of requests.entries()) {
    const before = requests[index - 1]
    if (method !== 'PATCH' || before?.method === 'POST') continue
    if (before?.method === 'HEAD') {
      expect(headers['upload-offset']).toBe(before.answer['upload-offset'])
      offsets.push(Number(headers['upload-offset']))
    } else {
      // Chromium itself repeats a request whose connection broke; the client does not know of it.
      expect(status).toBe(409)
    }
  }
  return offsets
}

/**
 * Stands in for the dialog that gives the page a handle of a file, and that nobody can press a button of: it gives one
 * of the browser's own file system.
 */
function pickOwnFile(): void {
  Object.assign(globalThis, {
    showOpenFilePicker: async () => {
      const folder = await (globalThis as unknown as BrowserGlobals).navigator.storage.getDirectory()
      const handle = await folder.getFileHandle('own.bin', { create: true })
      const writable = await handle.createWritable()
      await writable.write(new Uint8Array(30_000_000).fill(7))
      await writable.close()
      return [handle]
    },
  })
}

describe('the page of the Express example', () => {
  it('brings a dropped file of 200 MB through kill -9 of the server and a cut network', async () => {
    const site = await openSite()
    const { tab, directory } = site
    const name = 'Ferien – 休日 200.bin'
    const size = 200 * MB
    const file = createFile(name, size)

    await tab.throttle(25 * MB)
    await tab.drop(file)
    const beforeKill = await progressOf(tab, name, 30)
    expect(beforeKill).toBeLessThan(90)
    expect((await site.server.end('SIGKILL')).signal).toBe('SIGKILL')
    await tab.row(name, 'waiting').waitFor()

    const again = await startExample('server/express-app.ts', { directory, port: site.server.port })
    await tab.row(name, 'uploading').waitFor()
    const beforeCut = await progressOf(tab, name, 60)
    expect(beforeCut).toBeLessThan(90)
    // CDP keeps the browser from making new connections; the one that there is breaks as in any network.
    await tab.cutNetwork()
    again.breakConnections()
    await tab.row(name, 'waiting').waitFor()
    expect(await tab.row(name).textContent()).toContain('You are offline.')
    await tab.restoreNetwork()
    await tab.row(name, 'done').waitFor({ timeout: 60_000 })

    expect(await tab.progress(name)).toBe(100)
    expect(await sha256(storedFile(site, await tab.url(name)))).toBe(await sha256(file))
    const requests = await again.answered('PATCH', 204)
    const offsets = resumedAt(requests)
    expect(offsets).toHaveLength(2)
    // Nobody waits for the lease of a process that is dead.
    expect(requests.find(({ method }) => method === 'HEAD')?.ms).toBeLessThan(2_000)
    expect(offsets[0]).toBeGreaterThan(0.1 * size)
    expect(offsets[1]).toBeGreaterThan(0.5 * size)
    expect(requests.at(-1)).toMatchObject({ method: 'PATCH', status: 204, received: size - (offsets[1] ?? 0) })
    expect(requests.filter(({ method }) => method === 'POST')).toEqual([])
  }, 180_000)

  it('goes on at once after a cut of which the server has heard nothing', async () => {
    let wire: Wire | undefined
    const site = await openSite({
      between: async (port) => {
        wire = await startWire(port)
        return wire.port
      },
    })
    const { tab, server } = site
    const file = createFile('cut.bin', 60 * MB)

    await tab.throttle(15 * MB)
    await tab.drop(file)
    await progressOf(tab, 'cut.bin', 30)
    wire?.cut()
    await tab.row('cut.bin', 'done').waitFor({ timeout: 30_000 })

    const requests = await server.answered('PATCH', 204)
    const [offset] = resumedAt(requests)
    expect(offset).toBeGreaterThan(6 * MB)
    // It waits for no timeout: the request that still holds the upload lets go of it.
    expect(requests.find(({ method }) => method === 'HEAD')?.ms).toBeLessThan(2_000)
    expect(await sha256(storedFile(site, await tab.url('cut.bin')))).toBe(await sha256(file))
  }, 60_000)

  it('goes on after a reload with a file that is dropped again, from what the server has', async () => {
    const site = await openSite()
    const { tab, server } = site
    const size = 60 * MB
    const file = createFile('again.bin', size)

    await tab.throttle(15 * MB)
    await tab.choose(file)
    await progressOf(tab, 'again.bin', 30)
    const url = await tab.url('again.bin')
    await tab.page.reload()
    await tab.row('again.bin', 'file').waitFor()
    expect(await tab.row('again.bin').textContent()).toContain('Drop the file again to go on.')
    expect(await tab.progress('again.bin')).toBeGreaterThan(10)
    await tab.drop(file)
    await tab.row('again.bin', 'done').waitFor({ timeout: 30_000 })

    expect(await tab.page.getByRole('listitem').count()).toBe(1)
    expect(await tab.url('again.bin')).toBe(url)
    const requests = await server.answered('PATCH', 204)
    const offset = resumedAt(requests).at(-1) ?? 0
    expect(offset).toBeGreaterThan(0.1 * size)
    expect(requests.at(-1)).toMatchObject({ method: 'PATCH', status: 204, received: size - offset })
    expect(await sha256(storedFile(site, url))).toBe(await sha256(file))
  }, 90_000)

  it('goes on by itself after a reload where the browser lets it open the file again', async () => {
    const site = await openSite({ prepare: pickOwnFile })
    const { tab, server } = site

    await tab.throttle(10 * MB)
    await tab.page.getByRole('button', { name: 'Choose files' }).click()
    await progressOf(tab, 'own.bin', 30)
    await tab.page.reload()
    await tab.row('own.bin', 'done').waitFor({ timeout: 30_000 })

    const requests = await server.answered('PATCH', 204)
    const offset = resumedAt(requests).at(-1) ?? 0
    expect(offset).toBeGreaterThan(3 * MB)
    expect(requests.at(-1)).toMatchObject({ method: 'PATCH', status: 204, received: 30 * MB - offset })
    const file = storedFile(site, await tab.url('own.bin'))
    expect(await sha256(file)).toBe(
      createHash('sha256')
        .update(Buffer.alloc(30 * MB, 7))
        .digest('hex'),
    )
  }, 90_000)

  it('pauses, and goes on when it is told to, also by keyboard', async () => {
    const site = await openSite()
    const { tab, server } = site
    const file = createFile('pause.bin', 40 * MB)

    await tab.throttle(10 * MB)
    await tab.drop(file)
    await progressOf(tab, 'pause.bin', 20)
    await tab.page.getByRole('button', { name: 'Pause pause.bin' }).focus()
    await tab.page.keyboard.press('Enter')
    await tab.row('pause.bin', 'paused').waitFor()
    await waitUntil(() => server.requests().some(({ method }) => method === 'PATCH'))
    expect(await tab.progress('pause.bin')).toBeLessThan(90)
    // The focus is where the button was, on the one that takes it back.
    expect(await tab.page.locator(':focus').getAttribute('aria-label')).toBe('Go on with pause.bin')
    await tab.page.keyboard.press('Enter')
    await tab.row('pause.bin', 'done').waitFor({ timeout: 30_000 })

    expect(resumedAt(await server.answered('PATCH', 204))).toHaveLength(1)
    expect(await sha256(storedFile(site, await tab.url('pause.bin')))).toBe(await sha256(file))
  }, 60_000)

  it('keeps an upload paused over a reload', async () => {
    const { tab, server } = await openSite({ prepare: pickOwnFile })

    await tab.throttle(10 * MB)
    await tab.page.getByRole('button', { name: 'Choose files' }).click()
    await progressOf(tab, 'own.bin', 20)
    await tab.press('Pause', 'own.bin')
    await tab.row('own.bin', 'paused').waitFor()
    await tab.page.reload()
    await tab.row('own.bin', 'paused').waitFor()
    expect(await tab.progress('own.bin')).toBeGreaterThan(10)
    expect(server.requests().filter(({ method }) => method === 'PATCH')).toHaveLength(1)
    await tab.press('Go on with', 'own.bin')
    await tab.row('own.bin', 'done').waitFor({ timeout: 30_000 })
  }, 60_000)

  it('has a cancelled upload deleted on the server', async () => {
    const { tab, server, directory } = await openSite()

    await tab.throttle(10 * MB)
    await tab.drop(createFile('cancel.bin', 40 * MB))
    await progressOf(tab, 'cancel.bin', 20)
    const url = await tab.url('cancel.bin')
    await tab.press('Cancel', 'cancel.bin')
    await tab.row('cancel.bin').waitFor({ state: 'detached' })

    await server.answered('DELETE', 204)
    expect((await fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })).status).toBe(404)
    expect(readdirSync(join(directory, 'uploads', '.resumable-upload', 'parts'))).toEqual([])
    await tab.page.reload()
    await tab.page.getByText('Drop files here').waitFor()
    expect(await tab.page.getByRole('listitem').count()).toBe(0)
  }, 60_000)

  it('cancels an upload while the server is away as soon as it is back', async () => {
    const { tab, server, directory } = await openSite()

    await tab.throttle(10 * MB)
    await tab.drop(createFile('cancel.bin', 40 * MB))
    await progressOf(tab, 'cancel.bin', 20)
    await server.end('SIGKILL')
    await tab.row('cancel.bin', 'waiting').waitFor()
    await tab.press('Cancel', 'cancel.bin')
    await tab.row('cancel.bin', 'cancelling').waitFor()
    const again = await startExample('server/express-app.ts', { directory, port: server.port })
    await tab.row('cancel.bin').waitFor({ state: 'detached' })

    expect(await again.answered('DELETE', 204)).toHaveLength(1)
  }, 60_000)

  it('uploads several files at once, of the same name, in any script, and empty ones', async () => {
    const site = await openSite()
    const { tab } = site
    const folder = scratchFolder()
    const files = [
      createFile('same.txt', 1000),
      createFile('same.txt', 2 * MB),
      createFile('日本語 – ñ & "quotes" <b>.txt', 3 * MB),
      createFile('empty.txt', 0),
      createFile('plain', 5 * MB),
    ]
    mkdirSync(join(folder, 'a folder'))

    await tab.drop(...files, join(folder, 'a folder'))
    await waitUntil(async () => (await tab.page.locator('li[data-state="done"]').count()) === files.length, 30_000)

    expect(await tab.page.getByRole('alert').textContent()).toBe('“a folder” is a folder. Drop the files in it.')
    const urls = await tab.page
      .locator('li')
      .evaluateAll((rows) => rows.map((row) => row.getAttribute('data-url') ?? ''))
    const stored = await Promise.all(urls.map((url) => sha256(storedFile(site, url))))
    expect(stored.reverse()).toEqual(await Promise.all(files.map(sha256)))
    expect(statSync(storedFile(site, await tab.url('empty.txt'))).size).toBe(0)
    await tab.page.getByRole('button', { name: 'Clear finished' }).click()
    expect(await tab.page.getByRole('listitem').count()).toBe(0)
  }, 60_000)

  it('says what the server has against an upload, and tries again', async () => {
    const { tab } = await openSite()

    await tab.page.route('**/files', (route) => route.fulfill({ status: 413 }))
    await tab.drop(createFile('large.bin', MB))
    await tab.row('large.bin', 'failed').waitFor()
    expect(await tab.row('large.bin').textContent()).toContain('The file is larger than the server accepts.')
    await tab.page.unroute('**/files')
    await tab.press('Try again:', 'large.bin')
    await tab.row('large.bin', 'done').waitFor()
  }, 60_000)

  it('does not start over because something else answers in place of the server', async () => {
    const { tab } = await openSite()
    const file = createFile('kept.bin', 20 * MB)

    await tab.throttle(10 * MB)
    await tab.drop(file)
    await progressOf(tab, 'kept.bin', 20)
    await tab.press('Pause', 'kept.bin')
    await tab.row('kept.bin', 'paused').waitFor()
    const url = await tab.url('kept.bin')
    await tab.page.route('**/files/*', (route) => route.fulfill({ status: 502 }))
    await tab.press('Go on with', 'kept.bin')
    await tab.row('kept.bin', 'waiting').waitFor()
    expect(await tab.row('kept.bin').textContent()).toContain('The server has a problem (502).')
    await tab.page.unroute('**/files/*')
    await tab.row('kept.bin', 'done').waitFor({ timeout: 30_000 })

    expect(await tab.url('kept.bin')).toBe(url)
  }, 60_000)

  it('starts over with an upload that the server no longer has', async () => {
    const site = await openSite()
    const { tab } = site
    const file = createFile('gone.bin', 20 * MB)

    await tab.throttle(10 * MB)
    await tab.drop(file)
    await progressOf(tab, 'gone.bin', 20)
    await tab.press('Pause', 'gone.bin')
    await tab.row('gone.bin', 'paused').waitFor()
    const url = await tab.url('gone.bin')
    await fetch(url, { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0' } })
    await tab.press('Go on with', 'gone.bin')
    await tab.row('gone.bin', 'done').waitFor({ timeout: 30_000 })

    expect(await tab.url('gone.bin')).not.toBe(url)
    expect(await sha256(storedFile(site, await tab.url('gone.bin')))).toBe(await sha256(file))
  }, 60_000)

  it('asks for the file again if it has changed on the disk', async () => {
    const { tab } = await openSite()
    const file = createFile('changing.bin', 20 * MB)

    await tab.throttle(5 * MB)
    await tab.drop(file)
    await progressOf(tab, 'changing.bin', 10)
    await tab.press('Pause', 'changing.bin')
    writeFileSync(file, 'something else')
    await tab.press('Go on with', 'changing.bin')

    await tab.row('changing.bin', 'file').waitFor()
    expect(await tab.row('changing.bin').textContent()).toContain('The file has changed, or is gone')
  }, 60_000)

  it('leaves an upload to the tab that has it, until that is closed', async () => {
    const { tab, openTab } = await openSite()

    await tab.throttle(5 * MB)
    await tab.choose(createFile('mine.bin', 40 * MB))
    await progressOf(tab, 'mine.bin', 10)
    const other = await openTab()
    await other.drop(createFile('other.bin', 1000))
    await other.row('other.bin', 'done').waitFor()
    expect(await other.row('mine.bin').count()).toBe(0)
    await tab.page.close()
    await other.row('mine.bin', 'file').waitFor()
  }, 60_000)
})
