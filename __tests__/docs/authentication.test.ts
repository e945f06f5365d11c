// docs/authentication.md: what it shows, and what it says of clients.
import express, { type RequestHandler } from 'express'
import session from 'express-session'
import jwt from 'jsonwebtoken'
import passport from 'passport'
import type { UploadOptions } from 'tus-js-client'
import { TusServer, type TusServerOptions, tusMiddleware } from '../../src/index.js'
import { codeUnder } from '../support/docs.js'
import { runSnippet } from '../support/snippet.js'
import { createSite, type Site, startUpload } from './site.js'

const PAGE = 'authentication.md'
const TUS = { 'Tus-Resumable': '1.0.0' }
const CHUNK = { ...TUS, 'Content-Type': 'application/offset+octet-stream' }
const ORIGIN = 'https://app.example'

/** The user is who a header says. */
const byHeader: RequestHandler = (req, _res, next) => {
  const id = req.get('X-User')
  Object.assign(req, { user: id === undefined ? undefined : { id } })
  next()
}

/** An application as the page has it, with a middleware that finds out who asks. */
async function startOwned(identify: RequestHandler, { site = createSite(), options = {} }: OwnedOptions = {}) {
  const code = codeUnder(PAGE, 'Only the creator may go on', 'ts').replace('  storage,', '  storage, ...options,')
  const { tus } = await runSnippet<{ tus: TusServer }>(code, ['tus'], { ...site, identify, options })
  return { ...site, endpoint: `${await site.listen(tus)}/files` }
}
interface OwnedOptions {
  readonly site?: Site
  readonly options?: Partial<TusServerOptions>
}

async function create(endpoint: string, headers: Record<string, string>): Promise<Response> {
  return fetch(endpoint, { method: 'POST', headers: { ...TUS, 'Upload-Length': '10', ...headers } })
}

async function createBy(endpoint: string, headers: Record<string, string>): Promise<string> {
  return new URL((await create(endpoint, headers)).headers.get('Location') ?? '', endpoint).href
}

describe('the three lines', () => {
  it('let only the creator go on', async () => {
    const { endpoint } = await startOwned(byHeader, { options: { downloads: true } })
    const url = await createBy(endpoint, { 'X-User': 'ann' })
    const chunk = (offset: string) => ({ headers: { ...CHUNK, 'Upload-Offset': offset }, body: 'hello' })
    const requests: Record<string, RequestInit> = { HEAD: {}, PATCH: chunk('0'), GET: {}, DELETE: {} }
    for (const [method, init] of Object.entries(requests)) {
      const ask = async (user: Record<string, string>): Promise<number> =>
        (await fetch(url, { ...init, method, headers: { ...TUS, ...init.headers, ...user } })).status
      expect([method, await ask({}), await ask({ 'X-User': 'bob' })]).toEqual([method, 401, 403])
    }
    for (const offset of ['0', '5']) {
      const { headers, body } = chunk(offset)
      const answer = await fetch(url, { method: 'PATCH', headers: { ...headers, 'X-User': 'ann' }, body })
      expect(answer.status).toBe(204)
    }
    expect(await (await fetch(url, { headers: { 'X-User': 'ann' } })).text()).toBe('hellohello')
    expect((await fetch(url, { headers: { 'X-User': 'bob' } })).status).toBe(403)
    expect((await fetch(url, { method: 'DELETE', headers: { ...TUS, 'X-User': 'ann' } })).status).toBe(204)
  })

  it("let nobody make an upload of somebody else's", async () => {
    const { endpoint } = await startOwned(byHeader)
    const { pathname } = new URL(await createBy(endpoint, { 'X-User': 'ann', 'Upload-Concat': 'partial' }))
    const concatenate = (user: string): Promise<Response> => {
      const headers = { ...TUS, 'X-User': user, 'Upload-Concat': `final;${pathname}` }
      return fetch(endpoint, { method: 'POST', headers })
    }
    expect([(await concatenate('bob')).status, (await concatenate('ann')).status]).toEqual([403, 201])
  })

  it('let nobody create who is not known', async () => {
    const { endpoint } = await startOwned(byHeader)
    expect((await create(endpoint, {})).status).toBe(401)
    expect((await create(endpoint, { 'X-HTTP-Method-Override': 'POST' })).status).toBe(401)
  })

  it('take a user without an id for nobody, not for all who have none', async () => {
    for (const user of [{}, { id: undefined }, { id: null }, { id: '' }]) {
      const { endpoint } = await startOwned((req, _res, next) => {
        Object.assign(req, { user: req.get('X-User') === 'ann' ? { id: 'ann' } : user })
        next()
      })
      expect((await create(endpoint, {})).status).toBe(401)
      const url = await createBy(endpoint, { 'X-User': 'ann' })
      expect((await fetch(url, { method: 'HEAD', headers: TUS })).status).toBe(401)
    }
  })

  it('leave an upload that has no owner to nobody', async () => {
    const site = createSite()
    const upload = { id: 'old', name: 'old', length: 5, metadata: undefined, createdAtMs: 0, expiresAtMs: undefined }
    await site.storage.create(upload)
    const { endpoint } = await startOwned(byHeader, { site })
    const ask = async (user: Record<string, string>): Promise<number> =>
      (await fetch(`${endpoint}/old`, { method: 'HEAD', headers: { ...TUS, ...user } })).status
    expect([await ask({}), await ask({ 'X-User': 'ann' }), await ask({ 'X-User': 'undefined' })]).toEqual([
      401, 403, 403,
    ])
  })

  it('answer preflights, and let pages of other origins see a refusal', async () => {
    const { endpoint } = await startOwned(byHeader, { options: { cors: { origin: ORIGIN } } })
    const preflight = { Origin: ORIGIN, 'Access-Control-Request-Method': 'POST' }
    expect((await fetch(endpoint, { method: 'OPTIONS', headers: preflight })).status).toBe(204)
    const refusal = await create(endpoint, { Origin: ORIGIN })
    expect([refusal.status, refusal.headers.get('Access-Control-Allow-Origin')]).toEqual([401, ORIGIN])
  })
})

describe('who asks', () => {
  it('is known by a session', async () => {
    const site = createSite()
    const code = codeUnder(PAGE, 'Sessions', 'ts')
    const scope = { app: site.app, session, secret: 'a secret' }
    const { identify } = await runSnippet<{ identify: RequestHandler }>(code, ['identify'], scope)
    site.app.post('/login', (req, res) => {
      Object.assign(req.session, { user: { id: 'ann' } })
      res.end()
    })
    const { endpoint } = await startOwned(identify, { site })
    const login = await fetch(new URL('/login', endpoint), { method: 'POST' })
    const cookie = { Cookie: login.headers.get('Set-Cookie')?.split(';')[0] ?? '' }
    expect((await create(endpoint, {})).status).toBe(401)
    const url = await createBy(endpoint, cookie)
    expect((await fetch(url, { method: 'HEAD', headers: TUS })).status).toBe(401)
    expect((await fetch(url, { method: 'HEAD', headers: { ...TUS, ...cookie } })).status).toBe(200)
  })

  it('is known by a token, which pages of another origin may send', async () => {
    const secret = 'a secret'
    const code = codeUnder(PAGE, 'Tokens', 'ts')
    type Code = { identify: RequestHandler; cors: TusServerOptions['cors'] & object }
    const { identify, cors } = await runSnippet<Code>(code, ['identify', 'cors'], { jwt, secret })
    const { endpoint } = await startOwned(identify, { options: { cors } })
    const createWith = async (token: string): Promise<number> =>
      (await create(endpoint, { Authorization: `Bearer ${token}` })).status
    expect(await createWith(jwt.sign({ sub: 'ann' }, secret))).toBe(201)
    expect(await createWith(jwt.sign({ sub: 'ann' }, 'another secret'))).toBe(401)
    // Valid, and nobody's.
    for (const claims of [{}, { user: 'ann' }, { sub: '' }, 'ann']) {
      expect(await createWith(jwt.sign(claims, secret))).toBe(401)
    }
    expect(await createWith(jwt.sign({ sub: 'ann' }, secret, { expiresIn: -1 }))).toBe(401)
    expect(await createWith(jwt.sign({ sub: 'ann' }, null as unknown as string, { algorithm: 'none' }))).toBe(401)

    const preflight = { Origin: 'https://app.example', 'Access-Control-Request-Method': 'PATCH' }
    const { headers } = await fetch(endpoint, { method: 'OPTIONS', headers: preflight })
    expect(headers.get('Access-Control-Allow-Headers')?.split(', ')).toContain('Authorization')
  })

  it('is known by Passport, with any of its strategies', async () => {
    const strategy: passport.Strategy & passport.StrategyCreatedStatic = Object.create({
      name: 'bearer',
      authenticate(this: passport.StrategyCreatedStatic, req: express.Request) {
        const [, id] = /^Bearer (.+)$/.exec(req.get('Authorization') ?? '') ?? []
        if (id === 'broken') this.error(new Error('the database is away'))
        else if (id === undefined) this.fail('who?', 401)
        else this.success({ id })
      },
    })
    const ours = new passport.Passport()
    ours.use('bearer', strategy)
    const code = codeUnder(PAGE, 'Passport', 'ts')
    const { identify } = await runSnippet<{ identify: RequestHandler }>(code, ['identify'], { passport: ours })
    const { endpoint } = await startOwned(identify, { options: { cors: { origin: ORIGIN } } })
    expect((await create(endpoint, {})).status).toBe(401)
    const preflight = { Origin: ORIGIN, 'Access-Control-Request-Method': 'POST' }
    expect((await fetch(endpoint, { method: 'OPTIONS', headers: preflight })).status).toBe(204)
    const url = await createBy(endpoint, { Authorization: 'Bearer ann' })
    const head = async (Authorization: string): Promise<number> =>
      (await fetch(url, { method: 'HEAD', headers: { ...TUS, Authorization } })).status
    expect([await head('Bearer ann'), await head('Bearer bob'), await head('Bearer broken')]).toEqual([200, 403, 500])
  })
})

describe('tenants', () => {
  it('see their own uploads, and members alone see those', async () => {
    const site = createSite()
    const isMember = (user: { id: string } | undefined, tenant: string): boolean =>
      user?.id.endsWith(`@${tenant}`) === true
    const code = codeUnder(PAGE, 'Tenants', 'ts')
    const { tus } = await runSnippet<{ tus: TusServer }>(code, ['tus'], {
      ...site,
      express,
      identify: byHeader,
      isMember,
    })
    const origin = await site.listen(tus)
    const url = await createBy(`${origin}/tenants/acme/files`, { 'X-User': 'ann@acme' })
    expect(url).toContain('/tenants/acme/files/')
    const ask = async (address: string, user: string): Promise<number> =>
      (await fetch(address, { method: 'HEAD', headers: { ...TUS, 'X-User': user } })).status
    expect(await ask(url, 'ann@acme')).toBe(200)
    expect(await ask(url, 'bob@other')).toBe(403)
    expect(await ask(url.replace('acme', 'other'), 'bob@other')).toBe(404)
    expect((await create(`${origin}/tenants/acme/files`, { 'X-User': 'bob@other' })).status).toBe(403)
  })
})

describe('a link', () => {
  it('lets others read, and nothing else', async () => {
    const owned = codeUnder(PAGE, 'Only the creator may go on', 'ts')
    const [ownerOf] = /^function ownerOf[\s\S]*?^}$/m.exec(owned) ?? []
    const code = `const options = { ${codeUnder(PAGE, 'Links', 'ts')} }\n${ownerOf}`
    type Code = { options: Partial<TusServerOptions> }
    const { options } = await runSnippet<Code>(code, ['options'])
    const site = createSite()
    const tus = new TusServer({
      storage: site.storage,
      downloads: true,
      onUploadCreate: ({ request }) => ({ attributes: { owner: request.headers['x-user'] } }),
      ...options,
    })
    site.app.use('/files', byHeader, tusMiddleware(tus))
    const url = await createBy(`${await site.listen(tus)}/files`, { 'X-User': 'ann', 'Upload-Length': '0' })
    const ask = async (method: string, headers: Record<string, string>): Promise<number> =>
      (await fetch(url, { method, headers: { ...TUS, ...headers } })).status
    expect(await ask('GET', {})).toBe(200)
    for (const method of ['HEAD', 'DELETE', 'PATCH']) {
      expect([await ask(method, {}), await ask(method, { 'X-User': 'bob' })]).toEqual([401, 403])
    }
    expect(await ask('GET', { 'X-HTTP-Method-Override': 'DELETE' })).toBe(401)
  })
})

describe('a request that another site has forged', () => {
  it('comes to nothing, whatever cookies it has', async () => {
    const { endpoint } = await startOwned(byHeader)
    // A form sends no header of its own; the cookie is the part of X-User here.
    const form = {
      'X-User': 'ann',
      'Content-Type': 'application/x-www-form-urlencoded',
      Origin: 'https://evil.example',
    }
    const answer = await fetch(endpoint, { method: 'POST', headers: form, body: 'a=b' })
    expect(answer.status).toBe(412)
    expect(answer.headers.has('Location')).toBe(false)
  })

  it('gets no preflight granted', async () => {
    for (const cors of [false, { origin: ORIGIN, credentials: true }] as const) {
      const { endpoint } = await startOwned(byHeader, { options: { cors } })
      const preflight = { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'POST' }
      const { headers } = await fetch(endpoint, { method: 'OPTIONS', headers: preflight })
      expect([...headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([])
    }
  })

  it('is not invited by all origins with credentials', async () => {
    const code = codeUnder(PAGE, 'Only the creator may go on', 'ts').replace('  storage,', '  storage, cors,')
    const cors = { origin: '*', credentials: true }
    await expect(runSnippet(code, [], { ...createSite(), identify: byHeader, cors })).rejects.toThrow(TypeError)
  })
})

describe('tus-js-client', () => {
  const content = Buffer.alloc(30, 'x')

  /** An upload in three chunks, before the second or third of which the user is logged out. */
  async function uploadUntilLoggedOut(options: UploadOptions = {}) {
    let user: string | undefined = 'ann'
    const { endpoint, methods } = await startOwned((req, _res, next) => {
      Object.assign(req, { user: user && { id: user } })
      next()
    })
    const uploading = startUpload(content, {
      endpoint,
      chunkSize: 10,
      onChunkComplete: (_size, sent) => {
        if (sent === 10) user = undefined
      },
      ...options,
    })
    const logIn = (): void => {
      user = 'ann'
    }
    return { ...uploading, methods, logIn }
  }

  it.each([401, 403])('does not try again after a %i to POST', async (status) => {
    const { app, listen, methods, storage } = createSite()
    const { tus } = await runSnippet<{ tus: TusServer }>('const tus = new TusServer({ storage })', ['tus'], { storage })
    app.use('/files', (_req, res) => void res.sendStatus(status))
    const { end } = startUpload(content, { endpoint: `${await listen(tus)}/files` })
    expect(await end).toBeInstanceOf(Error)
    expect(methods).toEqual(['POST'])
  })

  it('does not try again after a 401 to PATCH, and goes on where it is started once more', async () => {
    const { upload, end, methods, logIn } = await uploadUntilLoggedOut()
    expect(String(await end)).toContain('401')
    expect(methods).toEqual(['POST', 'PATCH', 'PATCH'])
    logIn()
    const url = upload.url
    await new Promise<void>((resolve) => {
      upload.options.onSuccess = () => resolve()
      upload.start()
    })
    expect(methods.slice(3)).toEqual(['HEAD', 'PATCH', 'PATCH'])
    expect(upload.url).toBe(url)
  })

  it('starts a new upload after a 401 to HEAD', async () => {
    const { upload, end, methods } = await uploadUntilLoggedOut()
    await end
    upload.start()
    await new Promise((resolve) => {
      upload.options.onError = resolve
    })
    expect(methods.slice(3)).toEqual(['HEAD', 'POST'])
  })

  it('goes on with fresh tokens, as the page has it', async () => {
    const secret = 'a secret'
    const { identify } = await runSnippet<{ identify: RequestHandler }>(codeUnder(PAGE, 'Tokens', 'ts'), ['identify'], {
      jwt,
      secret,
    })
    const { endpoint, methods } = await startOwned(identify)
    let count = 0
    // Every third token has run out by the time it is used.
    const getToken = async () => jwt.sign({ sub: 'ann' }, secret, { expiresIn: ++count % 3 === 0 ? -1 : 60 })
    const code = codeUnder(PAGE, 'What tus-js-client does', 'js')
    const { options } = await runSnippet<{ options: UploadOptions }>(code, ['options'], { getToken })
    const { end } = startUpload(content, { ...options, endpoint, chunkSize: 10 })
    expect(await end).toBeUndefined()
    expect(methods).toEqual(['POST', 'PATCH', 'PATCH', 'HEAD', 'PATCH', 'PATCH', 'HEAD', 'PATCH'])
  })
})
