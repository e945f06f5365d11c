// Uppy 5 in Node. (In a browser: __tests__/browser/uppy.test.ts.)
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parseUploadMetadata } from '../../src/index.js'
import { idOf, sha256, startClientSite } from '../support/client-site.js'

const run = promisify(execFile)
const SIZE = 300_000

it.each([
  ['a file in one PATCH', {}],
  ['a file in chunks', { chunkSize: 70_000 }],
  ['data with the creation', { uploadDataDuringCreation: true }],
])('Uppy sends %s', async (_title, options) => {
  const site = await startClientSite()
  const script = join(__dirname, 'uppy.mjs')
  const { stdout } = await run(process.execPath, [script, site.endpoint, JSON.stringify(options), String(SIZE)])
  const { urls, failed } = JSON.parse(stdout) as { urls: string[]; failed: unknown[] }
  expect(failed).toEqual([])
  expect(site.stored(urls[0])).toBe(sha256(Buffer.alloc(SIZE, 'uppy')))
  const { metadata = '' } = (await site.storage.get(idOf(urls[0]))) ?? {}
  expect(parseUploadMetadata(metadata)).toMatchObject({ filename: 'Ferien – 休日.txt', empty: '', number: '7' })
})
