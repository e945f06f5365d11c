// Uppy 5 and tus-js-client 4 in Chromium, as a page of another origin bundles them.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { build } from 'esbuild'
import type { Browser, Page } from 'playwright-core'
import { parseUploadMetadata } from '../../src/index.js'
import { launchChromium } from '../support/browser.js'
import { type ClientSite, idOf, sha256, startClientSite } from '../support/client-site.js'
import { afterTest } from '../support/example.js'

const SIZE = 3_000_000
const METADATA = { filename: 'Ferien – 休日.bin', empty: '', quotes: '"\'<>&', long: 'ä'.repeat(500) }

let browser: Browser
let script: string

beforeAll(async () => {
  const bundle = await build({
    stdin: {
      contents: `
        import Uppy from '@uppy/core'
        import Tus from '@uppy/tus'
        import { Upload } from 'tus-js-client'
        const bytes = (size) => {
          const content = new Uint8Array(size)
          for (let index = 0; index < size; index++) content[index] = (index * 31 + (index >> 8)) & 255
          return content
        }
        window.sendByUppy = async (options, size, meta) => {
          const uppy = new Uppy().use(Tus, options)
          uppy.addFile({ name: meta.filename, type: 'application/octet-stream', data: new Blob([bytes(size)]), meta })
          const { successful, failed } = await uppy.upload()
          return { urls: successful.map((file) => file.uploadURL), failed: failed.map((file) => String(file.error)) }
        }
        window.sendByTus = (options, size, metadata, asStream) => new Promise((resolve) => {
          const blob = new Blob([bytes(size)])
          const upload = new Upload(asStream ? blob.stream().getReader() : blob, {
            ...options, metadata, retryDelays: null,
            onSuccess: () => resolve({ urls: [upload.url], failed: [] }),
            onError: (error) => resolve({ urls: [], failed: [String(error)] }),
          })
          upload.start()
        })`,
      resolveDir: join(__dirname, '../..'),
    },
    bundle: true,
    format: 'iife',
    write: false,
  })
  script = bundle.outputFiles[0]?.text ?? ''
  browser = await launchChromium()
}, 60_000)

afterAll(async () => {
  await browser?.close()
})

/** What the page's script puts into its global object. */
interface Sending {
  sendByUppy(options: object, size: number, meta: object): Promise<Sent>
  sendByTus(options: object, size: number, metadata: object, asStream?: boolean): Promise<Sent>
}
interface Sent {
  readonly urls: string[]
  readonly failed: string[]
}

/** Opens a page of another origin than the upload server's. */
async function openPage(): Promise<{ page: Page; site: ClientSite }> {
  const site = await startClientSite({ cors: {} })
  const server = createServer((_req, res) => {
    res.setHeader('Content-Type', 'text/html; charset=utf-8')
    res.end(`<!doctype html><title>client</title><script>${script.replaceAll('</script', '<\\/script')}</script>`)
  }).listen(0)
  await once(server, 'listening')
  const context = await browser.newContext()
  afterTest(async () => {
    await context.close()
    server.closeAllConnections()
    server.close()
  })
  const page = await context.newPage()
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`)
  return { page, site }
}

async function assertStored({ tus, stored, storage }: ClientSite, { urls, failed }: Sent): Promise<void> {
  expect(failed).toEqual([])
  await tus.cleanUp()
  const content = Uint8Array.from({ length: SIZE }, (_, index) => (index * 31 + (index >> 8)) & 255)
  expect(stored(urls[0])).toBe(sha256(content))
  const { metadata = '' } = (await storage.get(idOf(urls[0]))) ?? {}
  expect(parseUploadMetadata(metadata)).toMatchObject(METADATA)
}

it.each([
  ['in one PATCH', {}],
  ['in chunks', { chunkSize: 500_000 }],
  ['in parallel', { parallelUploads: 4 }],
  ['with the creation', { uploadDataDuringCreation: true }],
])('Uppy sends a file %s', async (_title, options) => {
  const { page, site } = await openPage()
  const sent = await page.evaluate(
    ([endpoint, rest, size, meta]) => (globalThis as unknown as Sending).sendByUppy({ endpoint, ...rest }, size, meta),
    [site.endpoint, options, SIZE, METADATA] as const,
  )
  await assertStored(site, sent)
})

it.each([
  ['in one PATCH', {}, false],
  ['in parallel and in chunks', { parallelUploads: 3, chunkSize: 400_000 }, false],
  ['whose length it does not know', { uploadLengthDeferred: true, chunkSize: 700_000 }, true],
  // The last chunk is full then, and the length comes with an empty PATCH.
  ['whose length turns out a multiple of the chunk', { uploadLengthDeferred: true, chunkSize: 750_000 }, true],
  ['by other methods', { overridePatchMethod: true }, false],
])('tus-js-client sends a file %s', async (_title, options, asStream) => {
  const { page, site } = await openPage()
  const sent = await page.evaluate(
    ([endpoint, rest, size, meta, stream]) =>
      (globalThis as unknown as Sending).sendByTus({ endpoint, ...rest }, size, meta, stream),
    [site.endpoint, options, SIZE, METADATA, asStream] as const,
  )
  await assertStored(site, sent)
})
