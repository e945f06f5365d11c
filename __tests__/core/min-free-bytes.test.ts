// minFreeBytes: what would not leave enough space is refused at its creation.

import { MemoryStorage } from '../../src/index.js'
import { CHUNK, startServer } from './support.js'

function withFree(free: number, minFreeBytes?: number) {
  const freeBytes = jest.fn(async () => free)
  const storage = Object.assign(new MemoryStorage(), { freeBytes })
  const onUploadCreate = jest.fn()
  const server = startServer({ storage, onUploadCreate, ...(minFreeBytes !== undefined && { minFreeBytes }) })
  return { ...server, freeBytes, onUploadCreate }
}

test.each([
  [{ 'Upload-Length': '60' }, 201],
  [{ 'Upload-Length': '61' }, 507],
  [{ 'Upload-Defer-Length': '1' }, 201],
])('100 bytes are free, 40 must stay so: %p is answered by %d', async (headers, status) => {
  expect((await withFree(100, 40).handle('POST', '/files', headers)).status).toBe(status)
})

test('with less than that free, nothing is created, not even an upload of unknown length, or of none', async () => {
  const { handle, onUploadCreate, logger } = withFree(39, 40)
  for (const headers of [{ 'Upload-Length': '0' }, { 'Upload-Defer-Length': '1' }]) {
    const { status, body } = await handle('POST', '/files', headers)
    expect([status, String(body)]).toEqual([507, 'There is not enough space left for the upload\n'])
  }
  const read = jest.fn()
  const body = { [Symbol.asyncIterator]: read }
  expect((await handle('POST', '/files', { ...CHUNK, 'Upload-Length': '5' }, body)).status).toBe(507)
  // Before any of the body is read, the application is asked, and nothing has gone wrong that the log must know of.
  expect([read, onUploadCreate].map(({ mock }) => mock.calls.length)).toEqual([0, 0])
  expect(logger.errors).toEqual([])
})

test('uploads that exist go on, and a final one is made of what is stored already', async () => {
  const { handle, patch, create, freeBytes } = withFree(100, 40)
  const partial = await create({ 'Upload-Length': '5', 'Upload-Concat': 'partial' })
  freeBytes.mockResolvedValue(0)
  expect((await patch(partial, 0, Buffer.from('hello'))).status).toBe(204)
  expect((await handle('POST', '/files', { 'Upload-Concat': `final;${partial}` })).status).toBe(201)
})

test('without the option nobody asks how much is free', async () => {
  const { create, freeBytes } = withFree(0)
  await create({ 'Upload-Length': '5' })
  await create({ 'Upload-Defer-Length': '1' })
  expect(freeBytes).not.toHaveBeenCalled()
})
