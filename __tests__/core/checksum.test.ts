// Checksums beyond what the protocol tests ask: large bodies, segments, trailers.
import { createHash, randomBytes } from 'node:crypto'
import { MemoryStorage, TusServer } from '../../src/index.js'
import { MIB, startServer, storageWithWrites } from './support.js'

function sha1(...chunks: readonly Uint8Array[]): string {
  const hash = createHash('sha1')
  for (const chunk of chunks) hash.update(chunk)
  return `sha1 ${hash.digest('base64')}`
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size)
}

it('discards a body of any size that does not match, and commits none of its segments', async () => {
  const { create, patch, offsetOf, stored } = startServer({ segmentBytes: MIB })
  const body = randomBytes(5 * MIB + 3)
  const path = await create({ 'Upload-Length': `${body.length}` })
  const refused = await patch(path, 0, inPieces(body, 100_000), { 'Upload-Checksum': sha1(body, Buffer.from('x')) })
  expect(refused).toMatchObject({ status: 460, headers: { 'Upload-Offset': '0' } })
  expect(await offsetOf(path)).toBe(0)
  const taken = await patch(path, 0, inPieces(body, 100_000), { 'Upload-Checksum': sha1(body) })
  expect(taken.status).toBe(204)
  expect((await stored(path)).equals(body)).toBe(true)
})

it('has a long body gathered into large writes like any other', async () => {
  const { storage, writes } = storageWithWrites()
  const { create, patch } = startServer({ storage, segmentBytes: MIB })
  const body = randomBytes(4 * MIB)
  const path = await create({ 'Upload-Length': `${body.length}` })
  expect((await patch(path, 0, inPieces(body, MIB / 4), { 'Upload-Checksum': sha1(body) })).status).toBe(204)
  for (const write of writes.slice(0, -1)) expect(write).toBeGreaterThanOrEqual(MIB)
})

it('keeps what was committed before, and nothing of a chunk that breaks off', async () => {
  const { create, patch, offsetOf } = startServer()
  const path = await create({ 'Upload-Length': '10' })
  await patch(path, 0, Buffer.from('abc'))
  async function* broken(): AsyncGenerator<Uint8Array> {
    yield Buffer.from('def')
    throw new Error('reset')
  }
  const headers = { 'Upload-Checksum': sha1(Buffer.from('defg')) }
  expect(await patch(path, 3, broken(), headers)).toMatchObject({ status: 400, headers: { 'Upload-Offset': '3' } })
  expect(await offsetOf(path)).toBe(3)
})

it('does not declare a deferred length with a chunk that it discards', async () => {
  const { create, patch, handle } = startServer()
  const path = await create({ 'Upload-Defer-Length': '1' })
  const headers = { 'Upload-Length': '3', 'Upload-Checksum': sha1(Buffer.from('xyz')) }
  expect((await patch(path, 0, Buffer.from('abc'), headers)).status).toBe(460)
  expect((await handle('HEAD', path)).headers['Upload-Defer-Length']).toBe('1')
})

describe('in a trailer (MUST 21)', () => {
  const announced = { Trailer: 'Upload-Checksum' }
  const trailers = (value: string | undefined) => ({ trailers: () => ({ 'upload-checksum': value }) })

  it('is advertised', async () => {
    const { handle } = startServer()
    expect((await handle('OPTIONS', '/files')).headers['Tus-Extension']).toContain('checksum-trailer')
  })

  it.each(['sha1', 'sha256', 'sha512', 'md5'])('is verified: %s', async (name) => {
    const { create, patch, offsetOf } = startServer()
    const body = Buffer.from('hello')
    const digest = createHash(name).update(body).digest('base64')
    const path = await create({ 'Upload-Length': '5' })
    const wrong = await patch(path, 0, inPieces(Buffer.from('hellO'), 2), announced, trailers(`${name} ${digest}`))
    expect(wrong.status).toBe(460)
    expect(await offsetOf(path)).toBe(0)
    expect((await patch(path, 0, inPieces(body, 2), announced, trailers(`${name} ${digest}`))).status).toBe(204)
  })

  it.each([undefined, '', 'sha1', 'sha3 aGVsbG8='])(
    'discards the chunk with 400 if it does not come or is none: %s',
    async (value) => {
      const { create, patch, offsetOf } = startServer()
      const path = await create({ 'Upload-Length': '5' })
      expect((await patch(path, 0, inPieces(Buffer.from('hello'), 2), announced, trailers(value))).status).toBe(400)
      expect(await offsetOf(path)).toBe(0)
    },
  )
})

it('refuses an unknown algorithm at construction', () => {
  const storage = new MemoryStorage()
  expect(() => new TusServer({ storage, checksumAlgorithms: ['sha3' as 'sha1'] })).toThrow(TypeError)
})
