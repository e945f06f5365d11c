// docs/rate-limits.md: the limiter that it shows, and what it says of clients.
import type { RequestHandler } from 'express'
import type { UploadOptions } from 'tus-js-client'
import type { HookRequest, TusServer, TusServerOptions } from '../../src/index.js'
import { codeUnder } from '../support/docs.js'
import { runSnippet } from '../support/snippet.js'
import { createSite, startUpload } from './site.js'

const PAGE = 'rate-limits.md'
const TUS = { 'Tus-Resumable': '1.0.0' }
const LIMIT = 20
const content = Buffer.alloc(100, 'x')

async function startPlain(options: Partial<TusServerOptions> = {}) {
  const site = createSite()
  const code = 'const tus = new TusServer({ storage, ...options })'
  const { tus } = await runSnippet<{ tus: TusServer }>(code, ['tus'], { storage: site.storage, options })
  return { ...site, tus }
}

/** An application with the limiter of the page. */
async function startLimited() {
  const site = await startPlain()
  await runSnippet(codeUnder(PAGE, 'Rate limits', 'ts'), [], { ...site })
  return { ...site, endpoint: `${await site.listen(site.tus)}/files` }
}

async function statuses(endpoint: string, count: number, method: string, headers: Record<string, string> = {}) {
  const found = new Set<number>()
  for (let index = 0; index < count; index++)
    found.add((await fetch(endpoint, { method, headers: { ...TUS, ...headers } })).status)
  return [...found]
}

describe('the limiter of the page', () => {
  it('refuses creations beyond the limit', async () => {
    const { endpoint } = await startLimited()
    const length = { 'Upload-Length': '5' }
    expect(await statuses(endpoint, LIMIT, 'POST', length)).toEqual([201])
    expect(await statuses(endpoint, 1, 'POST', length)).toEqual([429])
    expect(await statuses(endpoint, 1, 'PATCH', { ...length, 'X-HTTP-Method-Override': 'post' })).toEqual([429])
    expect(await statuses(endpoint, 1, 'POST', { ...length, 'X-HTTP-Method-Override': '' })).toEqual([429])
  })

  it('counts neither PATCH nor HEAD, also where they look like POST', async () => {
    const { endpoint, methods } = await startLimited()
    const { end, upload } = startUpload(content, { endpoint, chunkSize: 1, overridePatchMethod: true })
    expect(await end).toBeUndefined()
    expect(methods).toEqual(new Array(content.length + 1).fill('POST'))
    expect(await statuses(upload.url ?? '', LIMIT + 1, 'HEAD')).toEqual([200])
    expect(await statuses(endpoint, LIMIT - 1, 'POST', { 'Upload-Length': '5' })).toEqual([201])
  })
})

it('knows how many creations a parallel upload has', async () => {
  const { app, listen, methods, tus } = await startPlain()
  await runSnippet(`app.use('/files', tusMiddleware(tus))`, [], { app, tus })
  const { end } = startUpload(content, { endpoint: `${await listen(tus)}/files`, parallelUploads: 4 })
  expect(await end).toBeUndefined()
  expect(methods.filter((method) => method === 'POST')).toHaveLength(5)
})

it('counts by user in onUploadCreate', async () => {
  const code = `const options = { ${codeUnder(PAGE, 'By user', 'ts')} }`
  let count = 0
  const tooMany = async (user: string): Promise<boolean> => user === 'ann' && ++count > 2
  const scope = { tooMany }
  const { options } = await runSnippet<{ options: Partial<TusServerOptions> }>(code, ['options'], scope)
  const { app, listen, tus } = await startPlain({
    onUploadCreate: ({ request, upload }) => {
      const { headers } = request.context as { headers: Record<string, string> }
      const named: HookRequest = { ...request, context: { user: headers['x-user'] } }
      return options.onUploadCreate?.({ request: named, upload })
    },
  })
  await runSnippet(`app.use('/files', tusMiddleware(tus))`, [], { app, tus })
  const endpoint = `${await listen(tus)}/files`
  const create = (user: string): Promise<Response> =>
    fetch(endpoint, { method: 'POST', headers: { ...TUS, 'Upload-Length': '5', 'X-User': user } })
  const answers = [await create('ann'), await create('ann'), await create('ann'), await create('bob')]
  expect(answers.map(({ status }) => status)).toEqual([201, 201, 429, 201])
  expect(answers[2]?.headers.get('Retry-After')).toBe('60')
})

it('limits how many uploads a user may have', async () => {
  const site = createSite()
  const code = codeUnder(PAGE, 'How many uploads a user may have', 'ts')
  const identify: RequestHandler = (req, _res, next) => {
    const id = req.get('X-User')
    if (id !== undefined) Object.assign(req, { user: { id } })
    next()
  }
  const { tus } = await runSnippet<{ tus: TusServer }>(code, ['tus'], { ...site, identify })
  const endpoint = `${await site.listen(tus)}/files`
  const length = { 'Upload-Length': '5' }
  const ann = { ...length, 'X-User': 'ann' }
  expect(await statuses(endpoint, 100, 'POST', ann)).toEqual([201])
  expect(await statuses(endpoint, 1, 'POST', ann)).toEqual([429])
  expect(await statuses(endpoint, 1, 'POST', { ...length, 'X-User': 'bob' })).toEqual([201])
  // Whoever is not known is counted by address.
  expect(await statuses(endpoint, 101, 'POST', length)).toEqual([201, 429])
  const creation = await fetch(endpoint, { method: 'POST', headers: { ...TUS, 'X-User': 'cid', ...length } })
  expect(Date.parse(creation.headers.get('Upload-Expires') ?? '')).toBeGreaterThan(Date.now())
})

describe('tus-js-client', () => {
  /** Uploads past something that answers requests by 429, as often as it is told. */
  async function uploadPast(limit: Record<string, number>, options: UploadOptions = {}) {
    const site = await startPlain()
    site.app.use('/files', (req, res, next) => {
      const left = limit[req.method] ?? 0
      limit[req.method] = left - 1
      if (left > 0) res.sendStatus(429)
      // The second PATCH is cut, so that there is a HEAD.
      else if (req.method === 'PATCH' && left === -1) req.socket.destroy()
      else next()
    })
    await runSnippet(`app.use('/files', tusMiddleware(tus))`, [], { ...site })
    const endpoint = `${await site.listen(site.tus)}/files`
    const { end } = startUpload(content, { ...options, endpoint, retryDelays: [0, 0, 0], chunkSize: 50 })
    return { error: await end, methods: site.methods }
  }

  it('gives up after a 429 to POST, unless it is told to try again as the page has it', async () => {
    const refused = await uploadPast({ POST: 1 })
    expect(String(refused.error)).toContain('429')
    expect(refused.methods).toEqual(['POST'])
    const { options } = await runSnippet<{ options: UploadOptions }>(codeUnder(PAGE, 'Have clients try again', 'js'), [
      'options',
    ])
    const patient = await uploadPast({ POST: 2 }, options)
    expect(patient).toEqual({ error: undefined, methods: ['POST', 'POST', 'POST', 'PATCH', 'PATCH', 'HEAD', 'PATCH'] })
  })

  it('gives up after a 429 to PATCH', async () => {
    const { error, methods } = await uploadPast({ PATCH: 1 })
    expect(String(error)).toContain('429')
    expect(methods).toEqual(['POST', 'PATCH'])
  })

  it('starts over after a 429 to HEAD, unless it is told which answers count', async () => {
    expect((await uploadPast({ HEAD: 1 })).methods).toEqual([
      'POST',
      'PATCH',
      'PATCH',
      'HEAD',
      'POST',
      'PATCH',
      'PATCH',
    ])
    const { options } = await runSnippet<{ options: UploadOptions }>(codeUnder('proxies.md', 'In the client', 'js'), [
      'options',
    ])
    const { error, methods } = await uploadPast({ HEAD: 1 }, options)
    expect(error).toBeUndefined()
    expect(methods).toEqual(['POST', 'PATCH', 'PATCH', 'HEAD', 'HEAD', 'PATCH'])
  })
})
