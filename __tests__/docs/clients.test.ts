// docs/clients.md: what it says of tus-js-client, and of headers.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Upload, type UploadOptions, type UrlStorage } from 'tus-js-client'
import { TusServer, type TusServerOptions, tusListener, tusMiddleware } from '../../src/index.js'
import { codeUnder } from '../support/docs.js'
import { afterTest } from '../support/example.js'
import { runSnippet } from '../support/snippet.js'
import { createSite, startUpload } from './site.js'

const PAGE = 'clients.md'
const TUS = { 'Tus-Resumable': '1.0.0' }
const content = Buffer.from('hello')

/** What `localStorage` is in a browser. */
function memoryUrlStorage(): UrlStorage {
  const uploads = new Map<string, Awaited<ReturnType<UrlStorage['findAllUploads']>>[number]>()
  return {
    findAllUploads: async () => [...uploads.values()],
    findUploadsByFingerprint: async (fingerprint) =>
      [...uploads.entries()].filter(([key]) => key.startsWith(fingerprint)).map(([, upload]) => upload),
    removeUpload: async (key) => void uploads.delete(key),
    addUpload: async (fingerprint, upload) => {
      const key = `${fingerprint}::${uploads.size}`
      uploads.set(key, { ...upload, urlStorageKey: key })
      return key
    },
  }
}

/** Uploads as a page does that resumes what it finds. */
function sendFile(options: UploadOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const upload = new Upload(content as unknown as Blob, {
      fingerprint: async () => 'the-same-file',
      ...options,
      onSuccess: () => resolve(upload.url ?? ''),
      onError: reject,
    })
    upload.findPreviousUploads().then(([previous]) => {
      if (previous !== undefined) upload.resumeFromPreviousUpload(previous)
      upload.start()
    }, reject)
  })
}

async function startSite(options: Partial<TusServerOptions> = {}) {
  const site = createSite()
  const tus = new TusServer({ storage: site.storage, ...options })
  site.app.use('/files', tusMiddleware(tus))
  return { ...site, endpoint: `${await site.listen(tus)}/files` }
}

describe('the same file, sent again,', () => {
  it('is not sent by default: the client is told that it is there', async () => {
    const { endpoint, methods } = await startSite()
    const options = { endpoint, urlStorage: memoryUrlStorage() }
    const first = await sendFile(options)
    expect(await sendFile(options)).toBe(first)
    expect(methods).toEqual(['POST', 'PATCH', 'HEAD'])
  })

  it('is a new upload with the options of the page', async () => {
    const code = codeUnder(PAGE, 'The same file sent again', 'js')
    const { options } = await runSnippet<{ options: UploadOptions }>(code, ['options'])
    const { endpoint, methods } = await startSite()
    const urlStorage = memoryUrlStorage()
    const first = await sendFile({ ...options, endpoint, urlStorage })
    expect(await sendFile({ ...options, endpoint, urlStorage })).not.toBe(first)
    expect(methods).toEqual(['POST', 'PATCH', 'POST', 'PATCH'])
  })

  it('is a new upload where the old one was deleted', async () => {
    const { endpoint, methods } = await startSite()
    const options = { endpoint, urlStorage: memoryUrlStorage() }
    const first = await sendFile(options)
    expect((await fetch(first, { method: 'DELETE', headers: TUS })).status).toBe(204)
    expect(await sendFile(options)).not.toBe(first)
    expect(methods).toEqual(['POST', 'PATCH', 'DELETE', 'HEAD', 'POST', 'PATCH'])
  })
})

describe("headers of the application's own", () => {
  it('reach the hook, and are kept with the upload, unseen by clients', async () => {
    const { options } = await runSnippet<{ options: UploadOptions }>(codeUnder(PAGE, 'Headers of your own', 'js'), [
      'options',
    ])
    const [hook = ''] = codeUnder(PAGE, 'Headers of your own', 'ts').split('\n')
    type Code = { server: Partial<TusServerOptions> }
    const { server } = await runSnippet<Code>(`const server = { ${hook} }`, ['server'])
    const { endpoint, storage } = await startSite(server)
    const { upload, end } = startUpload(content, { ...options, endpoint })
    expect(await end).toBeUndefined()
    const record = await storage.get(upload.url?.split('/').at(-1) ?? '')
    expect(record?.attributes).toEqual({ project: 'apollo' })
    const head = await fetch(upload.url ?? '', { method: 'HEAD', headers: TUS })
    expect(JSON.stringify([...head.headers])).not.toContain('apollo')
  })

  it('come with the answer to the creation', async () => {
    const [, ...rest] = codeUnder(PAGE, 'Headers of your own', 'ts').split('\n')
    const site = createSite()
    const { tus } = await runSnippet<{ tus: TusServer }>(rest.join('\n'), ['tus'], { storage: site.storage })
    site.app.use('/files', tusMiddleware(tus))
    const headers = { ...TUS, 'Upload-Length': '5', Origin: 'https://app.example' }
    const answer = await fetch(`${await site.listen(tus)}/files`, { method: 'POST', headers })
    expect([answer.status, answer.headers.get('X-Project-Quota')]).toEqual([201, '42'])
    expect(answer.headers.get('Access-Control-Expose-Headers')?.split(', ')).toContain('X-Project-Quota')
  })
})

it('a whole URL is sent as Location where the page says so', async () => {
  const site = createSite()
  const code = codeUnder(PAGE, 'Clients that need a whole URL', 'ts')
  const { tus } = await runSnippet<{ tus: TusServer }>(code, ['tus'], { storage: site.storage })
  site.app.use('/files', tusMiddleware(tus))
  const origin = await site.listen(tus)
  const answer = await fetch(`${origin}/files`, { method: 'POST', headers: { ...TUS, 'Upload-Length': '5' } })
  expect(answer.headers.get('Location')).toMatch(new RegExp(`^${origin}/files/[0-9a-f]{40}$`))
})

describe('a final upload of many', () => {
  const url = `https://uploads.example/files/${'a'.repeat(40)}`

  async function statusOf(port: number, count: number): Promise<number> {
    const headers = { ...TUS, 'Upload-Concat': `final;${new Array(count).fill(url).join(' ')}` }
    return (await fetch(`http://127.0.0.1:${port}/files`, { method: 'POST', headers })).status
  }

  async function listen(server: ReturnType<typeof createServer>): Promise<number> {
    await once(server.listen(0, '127.0.0.1'), 'listening')
    afterTest(() => {
      server.closeAllConnections()
      server.close()
    })
    return (server.address() as AddressInfo).port
  }

  it('is refused by Node beyond some 220 URLs, unless it is told otherwise', async () => {
    const { storage } = createSite()
    const tus = new TusServer({ storage, concatenation: { maxPartials: 1000 } })
    afterTest(() => tus.close({ timeoutMs: 0 }))
    const app = tusListener(tus)
    const port = await listen(createServer(app))
    expect([await statusOf(port, 200), await statusOf(port, 240)]).toEqual([400, 431])
    const code = codeUnder(PAGE, '431 Request Header Fields Too Large', 'js')
    type Code = { server: ReturnType<typeof createServer> }
    const { server } = await runSnippet<Code>(code, ['server'], { createServer, app })
    expect(await statusOf(await listen(server), 240)).toBe(400)
  })
})
