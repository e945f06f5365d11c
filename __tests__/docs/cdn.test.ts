// docs/cdn.md: its route for downloads hands out nothing that a hook may still refuse. With a cache in front: __tests__/proxies.
import { TusError, TusServer, type TusServerOptions, tusMiddleware } from '../../src/index.js'
import { codeUnder } from '../support/docs.js'
import { runSnippet } from '../support/snippet.js'
import { createSite } from './site.js'

const CREATION = {
  'Tus-Resumable': '1.0.0',
  'Content-Type': 'application/offset+octet-stream',
  'Upload-Length': '5',
}

/** The application of the page; it tells the ids of its uploads. */
async function startWithRoute(options: Partial<TusServerOptions>) {
  const site = createSite()
  const ids: string[] = []
  const tus = new TusServer({
    storage: site.storage,
    ...options,
    onUploadCreate: (event) => {
      ids.push(event.upload.id)
      return options.onUploadCreate?.(event)
    },
  })
  await runSnippet(codeUnder('cdn.md', 'Downloads behind it', 'ts'), [], { app: site.app, storage: site.storage })
  site.app.use('/files', tusMiddleware(tus))
  const origin = await site.listen(tus)
  return {
    ids,
    upload: (headers: Record<string, string> = {}) =>
      fetch(`${origin}/files`, { method: 'POST', headers: { ...CREATION, ...headers }, body: 'hello' }),
    download: (id = '') => fetch(`${origin}/download/${id}`),
  }
}

it('sends no file before its verdict, and none after a bad one', async () => {
  const seen: number[] = []
  const site = await startWithRoute({
    onUploadComplete: async ({ upload }) => {
      seen.push((await site.download(upload.id)).status)
      throw new TusError('ERR_UNPROCESSABLE', { message: 'This file has a virus' })
    },
  })
  expect((await site.upload()).status).toBe(422)
  expect(seen).toEqual([404])
  expect((await site.download(site.ids[0])).status).toBe(404)
})

it('sends it after a good one, as bytes to save, whatever its name and type', async () => {
  const site = await startWithRoute({
    onUploadCreate: () => ({ name: 'page.html' }),
    onUploadComplete: () => {},
  })
  const filetype = Buffer.from('text/html').toString('base64')
  expect((await site.upload({ 'Upload-Metadata': `filetype ${filetype}` })).status).toBe(201)
  const answer = await site.download(site.ids[0])
  expect(await answer.text()).toBe('hello')
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'cache-control': 'public, max-age=31536000, immutable',
    'content-type': 'application/octet-stream',
    'content-disposition': 'attachment',
    'x-content-type-options': 'nosniff',
  })
})

it('sends no partial upload', async () => {
  const site = await startWithRoute({})
  await site.upload({ 'Upload-Concat': 'partial' })
  expect((await site.download(site.ids[0])).status).toBe(404)
})

it.each(['.resumable-upload', '..%2f..%2fetc%2fpasswd', '.resumable-upload%2fuploads.sqlite', '%00'])(
  'sends nothing for %s',
  async (id) => {
    const site = await startWithRoute({})
    expect((await site.download(id)).status).toBe(404)
  },
)
