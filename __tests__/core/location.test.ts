// `Location`: what the application makes of it, and that nothing which a client or a proxy says leads to another host.
import { createHmac } from 'node:crypto'
import { MemoryStorage, TusError, TusServer, type TusServerOptions } from '../../src/index.js'
import { idOf, startServer } from './support.js'

const HERE = 'https://here.example'

async function locationOf(options: Partial<TusServerOptions>, request: { baseUrl?: string; origin?: string }) {
  const { handle } = startServer(options)
  return String((await handle('POST', '/files', { 'Upload-Length': '1' }, undefined, request)).headers.Location)
}

describe.each([false, true])('with absoluteLocation %p', (absoluteLocation) => {
  it.each([
    '//evil.example/files',
    '///evil.example/files',
    '/\\evil.example/files',
    '\\\\evil.example/files',
    '\\/evil.example',
    '/\t/evil.example/files',
    '/\n/evil.example',
    '/\r\nX-Evil: 1/files',
    ' //evil.example',
    '\u0000//evil.example',
    'evil.example:80/files',
    'javascript:alert(1)//',
    'data:text/html,x',
    '@evil.example/files',
    '.evil.example',
    '/caf\u00e9/files',
    '/\u{1f600}/files',
    '/..//evil.example/files',
  ])('a mount %j leads to no other host', async (baseUrl) => {
    const location = await locationOf({ absoluteLocation }, { baseUrl, origin: HERE })
    const { host, protocol } = new URL(location, `${HERE}/files`)
    expect({ host, protocol }).toEqual({ host: 'here.example', protocol: 'https:' })
    expect(location).toMatch(/^[\x21-\x7e\x80-\xff]+$/)
  })
})

it.each([
  'javascript://here.example',
  'https://evil.example/#//here.example',
  'https://user@evil.example',
  'https://evil.example\\here.example',
  'https://',
  'ftp://here.example',
  '//evil.example',
  'https://here.example/\n',
])('an origin %j is not used', async (origin) => {
  const location = await locationOf({ absoluteLocation: true }, { origin })
  expect(location).toMatch(/^\/files\/[0-9a-f]{40}$/)
})

describe('publicUrl as a function', () => {
  it('is asked for each creation', async () => {
    const { handle } = startServer({
      publicUrl: async ({ headers }) => (headers['x-tenant'] ? `https://${headers['x-tenant']}.example/up/` : '/files'),
    })
    const locationFor = async (headers: Record<string, string>) =>
      String((await handle('POST', '/files', { 'Upload-Length': '1', ...headers })).headers.Location)
    expect(await locationFor({ 'X-Tenant': 'acme' })).toMatch(/^https:\/\/acme\.example\/up\/[0-9a-f]{40}$/)
    expect(await locationFor({})).toMatch(/^\/files\/[0-9a-f]{40}$/)
  })

  it.each([
    '//evil.example',
    'ftp://a.example',
    'javascript:x',
    '/a?b',
    '/a\nb',
    'files',
    '',
    5,
    undefined,
    'https://',
  ])('returns %j, which is an error, and nothing is created', async (url) => {
    const { handle, logger, storage } = startServer({
      generateId: () => 'one',
      publicUrl: () => url as string,
    })
    const answer = await handle('POST', '/files', { 'Upload-Length': '1' })
    if (url === undefined) {
      expect(answer).toMatchObject({ status: 201, headers: { Location: '/files/one' } })
      return
    }
    expect(answer.status).toBe(500)
    expect(String(logger.errors[0])).toContain('publicUrl: it must return an http or https URL')
    expect(await storage.get('one')).toBeUndefined()
  })
})

describe('location', () => {
  const sign = (id: string): string => createHmac('sha256', 'secret').update(id).digest('base64url')

  it('gets the upload, the request and the URL, and may add a token, which only the application reads', async () => {
    const { create, patch, handle, offsetOf } = startServer({
      location: async ({ url, upload, request }) =>
        `${url}?token=${sign(upload.id)}&by=${request.headers['x-user']}&for=${upload.metadata.filename}`,
      onIncomingRequest: ({ request, upload }) => {
        const { context } = request as { context: { url?: string } | undefined }
        const token = new URL(context?.url ?? '/', 'http://x').searchParams.get('token')
        if (upload !== undefined && token !== sign(upload.id)) throw new TusError('ERR_FORBIDDEN')
      },
    })
    const path = await create({ 'Upload-Length': '5', 'X-User': 'ann', 'Upload-Metadata': 'filename YQ==' })
    const [plain = ''] = path.split('?')
    expect(path).toBe(`${plain}?token=${sign(idOf(plain))}&by=ann&for=a`)
    expect((await patch(path, 0, Buffer.from('hello'))).status).toBe(403)
    expect((await patch(path, 0, Buffer.from('hello'), {}, { context: { url: path } })).status).toBe(204)
    expect(await offsetOf(plain)).toBeNaN()
    expect((await handle('HEAD', path, {}, undefined, { context: { url: path } })).headers['Upload-Offset']).toBe('5')
  })

  it('is followed where a final upload names its partial ones', async () => {
    const { create, patch, handle } = startServer({ location: ({ url }) => `${url}?token=a/b%2Fc` })
    const parts = [await create({ 'Upload-Length': '3', 'Upload-Concat': 'partial' })]
    parts.push(await create({ 'Upload-Length': '3', 'Upload-Concat': 'partial' }))
    for (const part of parts) expect((await patch(part, 0, Buffer.from('abc'))).status).toBe(204)
    const final = await handle('POST', '/files', { 'Upload-Concat': `final;${parts.join(' ')}` })
    expect(final).toMatchObject({ status: 201, headers: { Location: expect.stringMatching(/\?token=a\/b%2Fc$/) } })
  })

  it('may be of another host, and of another path where the upload is on its own', async () => {
    const { create, handle, logger } = startServer({
      location: ({ upload }) => `https://cdn.example/u/${upload.length}`,
    })
    expect(await create({ 'Upload-Length': '7' })).toBe('https://cdn.example/u/7')
    expect((await handle('POST', '/files', { 'Upload-Length': '7', 'Upload-Concat': 'partial' })).status).toBe(500)
    expect(String(logger.errors[0])).toContain("location: the path of a partial upload's URL must end with its id")
  })

  it('may refuse the creation', async () => {
    const { handle } = startServer({
      location: () => {
        throw new TusError('ERR_FORBIDDEN')
      },
    })
    expect((await handle('POST', '/files', { 'Upload-Length': '1' })).status).toBe(403)
  })

  it.each([undefined, '', 'one', '//evil.example/one', '/a b', '/caf\u00e9', 'https://a.example\\one', 'data:,x', {}])(
    'returns %j, which is an error, and nothing is created',
    async (url) => {
      const { handle, storage, logger } = startServer({ generateId: () => 'one', location: () => url as string })
      expect((await handle('POST', '/files', { 'Upload-Length': '1' })).status).toBe(500)
      expect(String(logger.errors[0])).toContain('location: it must return')
      expect(await storage.get('one')).toBeUndefined()
    },
  )
})

it.each(['//cdn.example/up', 'cdn.example/up', 'ftp://cdn.example', '/up?x', 'https://cdn.example/#', '/a\\b', '', 5])(
  'a publicUrl %j is a TypeError',
  (publicUrl) => {
    const make = () => new TusServer({ storage: new MemoryStorage(), publicUrl: publicUrl as string })
    expect(make).toThrow(/TusServer: publicUrl must be an http or https URL, or a path/)
  },
)
