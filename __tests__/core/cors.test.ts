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
