// Which ids a storage may take for new without a look: those that the server has just made, and nothing else.
import { MemoryStorage, type TusServerOptions } from '../../src/index.js'
import { overriding, startServer } from './support.js'

const HEADERS = { 'Upload-Length': '1' }

async function isFresh(options: Partial<TusServerOptions>): Promise<boolean> {
  const memory = new MemoryStorage()
  const create = jest.fn(memory.create.bind(memory))
  const { handle } = startServer({ ...options, storage: overriding(memory, { create }) })
  expect((await handle('POST', '/files', HEADERS)).status).toBe(201)
  return create.mock.calls[0]?.[0].isFresh === true
}

test.each<[string, boolean, Partial<TusServerOptions>]>([
  ['an id of the server', true, {}],
  ['one that a hook leaves as it is', true, { onUploadCreate: () => ({ attributes: { a: 1 } }) }],
  ['an id that a hook chooses', false, { onUploadCreate: () => ({ id: 'chosen' }) }],
  ['a name that a hook chooses', false, { onUploadCreate: () => ({ name: 'chosen' }) }],
  ['an id of generateId', false, { generateId: () => 'chosen' }],
])('%s: %p', async (_, fresh, options) => {
  expect(await isFresh(options)).toBe(fresh)
})
