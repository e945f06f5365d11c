// CORS options that are no data.
import { MemoryStorage, TusServer } from '../../src/index.js'
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
