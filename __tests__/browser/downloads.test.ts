// Downloads in Chromium: what it shows of them, and what it only saves.
import type { Browser, Page } from 'playwright-core'
import { launchChromium } from '../support/browser.js'
import { startClientSite } from '../support/client-site.js'
import { afterTest } from '../support/example.js'

/** A tenth of a second of silence. */
const WAV = Buffer.concat([
  Buffer.from(
    'RIFF\x44\x03\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x20\x03\0\0',
    'latin1',
  ),
  Buffer.alloc(800, 128),
])
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
)
const SCRIPT = '<script>document.title = "it ran"</script>'

let browser: Browser

beforeAll(async () => {
  browser = await launchChromium()
}, 60_000)

afterAll(async () => {
  await browser?.close()
})

/** Uploads a file, and opens a tab to show it in. */
async function upload(content: Buffer, filetype: string): Promise<{ url: string; page: Page }> {
  const site = await startClientSite({ downloads: true })
  const answer = await fetch(site.endpoint, {
    method: 'POST',
    headers: {
      'Tus-Resumable': '1.0.0',
      'Upload-Length': String(content.length),
      'Upload-Metadata': `filetype ${Buffer.from(filetype).toString('base64')}`,
      'Content-Type': 'application/offset+octet-stream',
    },
    body: new Uint8Array(content),
  })
  expect(answer.status).toBe(201)
  const context = await browser.newContext()
  afterTest(() => context.close())
  return { url: String(new URL(String(answer.headers.get('Location')), site.endpoint)), page: await context.newPage() }
}

it('plays audio', async () => {
  const { url, page } = await upload(WAV, 'audio/wav')
  await page.goto(url)
  await page.waitForFunction('document.querySelector("video, audio").readyState >= 2')
})

it('shows an image', async () => {
  const { url, page } = await upload(PNG, 'image/png')
  await page.goto(url)
  await page.waitForFunction('document.querySelector("img").naturalWidth === 1')
})

it('shows text as text', async () => {
  const { url, page } = await upload(Buffer.from(SCRIPT), 'text/plain')
  await page.goto(url)
  expect(await page.textContent('body')).toBe(SCRIPT)
  expect(await page.title()).toBe('')
})

it('saves a page instead of showing it', async () => {
  const { url, page } = await upload(Buffer.from(SCRIPT), 'text/html')
  const saving = page.waitForEvent('download')
  await page.goto(url).catch(() => {})
  await (await saving).cancel()
  expect(page.url()).toBe('about:blank')
})
