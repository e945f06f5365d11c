// CORS options that are no data.
import { type CorsOptions, MemoryStorage, TusServer } from '../../src/index.js'
import { startServer } from './support.js'

it('a function decides, and may take its time', async () => {
  const { handle } = startServer({ cors: { origin: async (origin) => origin.endsWith('.example') } })
  const allowedFor = async (Origin: string) =>
    (await handle('POST', '/files', { 'Upload-Length': '1', Origin })).headers['Access-Control-Allow-Origin']
  expect(await allowedFor('https://app.example')).toBe('https://app.example')
  expect(await allowedFor('https://example.org')).toBeUndefined()
})

it('a function that fails has allowed nothing, and does not undo what the request has done', async () => {
  const { create, patch, logger, offsetOf } = startServer({
    cors: {
      origin: async () => {
        throw new Error('database is down')
      },
    },
  })
  const path = await create({ 'Upload-Length': '3' })
  const answer = await patch(path, 0, Buffer.from('abc'), { Origin: 'https://app.example' })
  expect(answer).toMatchObject({ status: 204, headers: { 'Upload-Offset': '3', Vary: 'Origin' } })
  expect(answer.headers).not.toHaveProperty('Access-Control-Allow-Origin')
  expect(logger.errors).toHaveLength(1)
  expect(await offsetOf(path)).toBe(3)
})

it('an answer that varies for reasons of its own says both', async () => {
  const { create, patch } = startServer({
    cors: { origin: 'https://app.example' },
    onUploadComplete: () => ({ headers: { Vary: 'Accept-Language' }, body: 'ok' }),
  })
  const answer = await patch(await create({ 'Upload-Length': '3' }), 0, Buffer.from('abc'))
  expect(answer.headers.Vary).toBe('Accept-Language, Origin')
})

it('credentials for everybody are a mistake that browsers refuse', () => {
  const storage = new MemoryStorage()
  expect(() => new TusServer({ storage, cors: { credentials: true } })).toThrow(TypeError)
})

it('preflights are answered before hooks run, and refusals of hooks carry the headers', async () => {
  const { handle } = startServer({
    cors: {},
    onIncomingRequest: () => {
      throw new Error('no')
    },
  })
  const headers = { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST' }
  expect((await handle('OPTIONS', '/files', headers)).status).toBe(204)
  const refused = await handle('POST', '/files', { 'Upload-Length': '1', Origin: 'https://app.example' })
  expect(refused).toMatchObject({ status: 500, headers: { 'Access-Control-Allow-Origin': '*' } })
})

describe('an origin that no browser sends is a TypeError that names it, and what is meant', () => {
  it.each([
    ['https://app.example/', "such as 'https://app.example', not 'https://app.example/'"],
    ['https://app.example/path', "such as 'https://app.example'"],
    ['https://App.Example', "such as 'https://app.example'"],
    ['https://app.example:443', "such as 'https://app.example'"],
    ['http://app.example:80', "such as 'http://app.example'"],
    ['https://bücher.example', "such as 'https://xn--bcher-kva.example'"],
    ['https://a.example, https://b.example', 'as browsers send it'],
    ['app.example', 'as browsers send it'],
    ['capacitor://localhost/', 'as browsers send it'],
    ['', "an origin as browsers send it, such as 'https://app.example', not ''"],
    ['null', 'null is what any sandboxed page sends'],
    [/\.example$/, '(for this one write (origin) => /\\.example$/.test(origin)), not /\\.example$/'],
    [true, "(for this one write '*'), not true"],
    [false, 'not false'],
    [null, 'not null'],
    [['https://app.example', 'https://b.example/'], "'https://b.example/' must be an origin as browsers send it"],
    [['*'], "'*' must be without '*', which stands alone"],
    [[/x/], '/x/ must be an origin'],
  ])('%p', (origin, message) => {
    const make = () => new TusServer({ storage: new MemoryStorage(), cors: { origin } as CorsOptions })
    expect(make).toThrow(TypeError)
    expect(make).toThrow('TusServer: cors.origin must be ')
    expect(make).toThrow(message)
  })

  it.each([
    'https://app.example',
    'http://localhost:3000',
    'http://[::1]:8080',
    'capacitor://localhost',
    'app://obsidian.md',
  ])('%s is one that they send', async (origin) => {
    const { handle } = startServer({ cors: { origin: ['https://other.example', origin] } })
    const { headers } = await handle('POST', '/files', { 'Upload-Length': '1', Origin: origin })
    expect(headers['Access-Control-Allow-Origin']).toBe(origin)
  })
})

it.each([
  [{ allowedHeaders: 'Authorization' }, /cors\.allowedHeaders must be a list of header names.*, not 'Authorization'/],
  [{ allowedHeaders: ['X-A, X-B'] }, /cors\.allowedHeaders must be a list/],
  [{ exposedHeaders: [5] }, /cors\.exposedHeaders must be a list/],
  [{ maxAge: '60' }, /cors\.maxAge must be an integer of at least 0, not '60'/],
  [{ maxAge: -1 }, /cors\.maxAge must be/],
  [{ credentials: 'include' }, /cors\.credentials must be true or false, not 'include'/],
  [{ origins: [] }, /unknown option cors\.origins: did you mean cors\.origin\?/],
  [true, /cors must be an object of options, or false, not true/],
  ['https://app.example', /cors must be an object of options, or false/],
])('%p is a TypeError', (cors, message) => {
  const make = () => new TusServer({ storage: new MemoryStorage(), cors: cors as CorsOptions })
  expect(make).toThrow(TypeError)
  expect(make).toThrow(message)
})
