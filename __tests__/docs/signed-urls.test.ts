// docs/express.md: URLs with a token, as the page has them.
import { createHmac } from 'node:crypto'
import { type TusServer, tusMiddleware } from '../../src/index.js'
import { codeUnder } from '../support/docs.js'
import { runSnippet } from '../support/snippet.js'
import { createSite, startUpload } from './site.js'

it('a client that knows nothing of the token uploads by it, and without it nothing can be done', async () => {
  const site = createSite()
  const scope = { storage: site.storage, secret: 'secret', createHmac }
  const { tus } = await runSnippet<{ tus: TusServer }>(codeUnder('express.md', 'URLs', 'ts'), ['tus'], scope)
  site.app.use('/files', tusMiddleware(tus))
  const endpoint = `${await site.listen(tus)}/files`
  const { upload, end } = startUpload(Buffer.from('hello world'), { endpoint, chunkSize: 4 })
  expect(await end).toBeUndefined()
  expect(upload.url).toMatch(/\/files\/[0-9a-f]{40}\?token=[\w-]{43}$/)
  const url = String(upload.url)
  const statusOf = async (method: string, wanted: string): Promise<number> =>
    (await fetch(wanted, { method, headers: { 'Tus-Resumable': '1.0.0' } })).status
  for (const wrong of [url.replace(/\?.*/, ''), url.replace(/.$/, '!'), `${url}&token=x`]) {
    expect([wrong, await statusOf('HEAD', wrong), await statusOf('DELETE', wrong)]).toEqual([wrong, 403, 403])
  }
  expect(await statusOf('HEAD', url)).toBe(200)
  expect(await statusOf('DELETE', url)).toBe(204)
})
