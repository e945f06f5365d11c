// The server with the storage to copy.
import { randomBytes } from 'node:crypto'
import { startExample } from '../support/example.js'
import { ask, createUpload, offsetOf, openPatch, sendChunk } from '../support/requests.js'

const MIB = 1024 * 1024

describe('examples/server/async-storage.ts', () => {
  it('takes an upload that is interrupted and resumed, and ends on SIGTERM', async () => {
    const server = await startExample('server/async-storage.ts')
    const url = await createUpload(server.url, 6 * MIB)

    const patch = await openPatch(url, 0, 6 * MIB)
    await new Promise((sent) => patch.write(randomBytes(3 * MIB), sent))
    patch.destroy()
    await server.answered('PATCH', 0)
    const offset = (await offsetOf(url)) ?? 0
    const { status, headers } = await sendChunk(url, offset, randomBytes(6 * MIB - offset))

    expect(offset).toBe(3 * MIB)
    expect(status).toBe(204)
    expect(headers['upload-offset']).toBe(String(6 * MIB))
    expect((await ask('DELETE', url)).status).toBe(204)
    expect(await offsetOf(url)).toBeUndefined()
    expect(await server.end('SIGTERM')).toMatchObject({ code: 0, signal: null })
  }, 60_000)
})
