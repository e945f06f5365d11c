// Requests that are sent ahead of the answers before them: served in order, and only so many.

import { deferred } from '../core/support.js'
import { create, RawConnection, TUS } from './client.js'
import { type Handler, HOSTS, start } from './hosts.js'

const HEAD = 'HEAD /files/nothing HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n\r\n'
const OTHER = 'GET /other HTTP/1.1\r\nHost: x\r\n\r\n'

describe.each(HOSTS)('$name', (host) => {
  /** A connection whose first request, a DELETE, has no answer yet. */
  async function behindSlow(before: readonly Handler[] = []) {
    const gate = deferred()
    const asked = deferred()
    const onBeforeTerminate = async (): Promise<void> => {
      asked.resolve()
      await gate.promise
    }
    const app = await start(host, { tus: { onBeforeTerminate }, before })
    const path = await create(app.port, 5)
    const connection = await RawConnection.open(app.port)
    await connection.head('DELETE', path, TUS)
    await asked.promise
    return { app, connection, gate }
  }

  test('64 of them wait for the one before them, and are answered in order', async () => {
    const { connection, gate } = await behindSlow()
    await connection.write(HEAD.repeat(64))
    await connection.write('')
    expect(connection.received).toBe('')
    gate.resolve()
    expect((await connection.answer('DELETE')).status).toBe(204)
    for (let count = 0; count < 64; count++) expect((await connection.answer('HEAD')).status).toBe(404)
    // Those that were answered wait no more.
    await connection.write(HEAD.repeat(64))
    for (let count = 0; count < 64; count++) expect((await connection.answer('HEAD')).status).toBe(404)
    connection.destroy()
  })

  test('one more, and the connection is cut; other connections are served', async () => {
    const { app, connection, gate } = await behindSlow()
    await connection.write(HEAD.repeat(65))
    await connection.closed
    expect(connection.received).toBe('')
    const path = await create(app.port, 5)
    expect(path).toMatch(/^\/files\//)
    gate.resolve()
  })

  test('those of other routes are the application\u2019s', async () => {
    const other: Handler = (req, res, next) => (req.method === 'GET' ? void res.end('other') : next())
    const { connection, gate } = await behindSlow([other])
    await connection.write(OTHER.repeat(100))
    gate.resolve()
    expect((await connection.answer('DELETE')).status).toBe(204)
    for (let count = 0; count < 100; count++) expect((await connection.answer()).status).toBe(200)
    connection.destroy()
  })
})
