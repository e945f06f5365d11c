// The server that hostile clients meet: Express with the middleware on the default storage, and hooks that look at
// everything that clients say.
// node hostile-server.mjs <directory> <options as JSON: tus, http> → sends { port }, and answers each message with figures.
import { createServer } from 'node:http'
import express from 'express'
import { prepareServer, SQLiteStorage, TusError, TusServer, tusMiddleware } from 'resumable-upload'

const [directory, options] = process.argv.slice(2)
const { tus: tusOptions, http: httpOptions } = JSON.parse(options)

/** How often each handler has answered by which status: { PATCH: { 204: 3, … }, … }. */
const statuses = {}
let requests = 0

const tus = new TusServer({
  storage: new SQLiteStorage({ directory }),
  downloads: true,
  cors: { origin: '*' },
  maxSize: 10_000_000,
  expiration: { unfinishedAfterMs: 3_600_000 },
  onIncomingRequest: async ({ request, upload }) => {
    await undefined
    if (request.headers['x-refuse'] !== undefined) throw new TusError('ERR_FORBIDDEN')
    if (upload !== undefined) JSON.stringify(upload)
  },
  onUploadCreate: ({ upload }) => {
    const { filename = '' } = upload.metadata
    return { name: `${upload.id.slice(0, 1)}/${upload.id}-${filename.replace(/[^A-Za-z0-9.]/g, '').slice(0, 40)}` }
  },
  onChunkReceived: ({ upload }) => {
    if ('infected' in upload.metadata) throw new TusError('ERR_UNPROCESSABLE')
  },
  onUploadComplete: ({ upload }) => ({ body: `${upload.length}`, headers: { 'X-Length': `${upload.length}` } }),
  ...tusOptions,
})
const handle = tus.handleRequest.bind(tus)
tus.handleRequest = async (method, path, headers, ...rest) => {
  const response = await handle(method, path, headers, ...rest)
  const override = headers['x-http-method-override']
  const handler = (override ?? method).trim().toUpperCase()
  statuses[handler] ??= {}
  statuses[handler][response.status] = (statuses[handler][response.status] ?? 0) + 1
  return response
}

const app = express()
app.use('/files', tusMiddleware(tus))
app.get('/ping', (_req, res) => {
  res.send('pong')
})
const server = createServer(httpOptions ?? {}, app)
server.on('request', () => {
  requests++
})
prepareServer(server, tus)

process.on('message', (what) => {
  if (what === 'collect') for (let time = 0; time < 3; time++) globalThis.gc()
  server.getConnections((_error, connections) => {
    process.send({ statuses, requests, connections, rssMiB: process.memoryUsage.rss() / 2 ** 20 })
  })
})
// A test that was killed leaves nothing behind.
process.on('disconnect', () => process.exit())
process.on('SIGTERM', async () => {
  process.removeAllListeners('disconnect')
  process.disconnect()
  server.close()
  server.closeAllConnections()
  await tus.close({ timeoutMs: 0 })
})
// A backlog for all who come at once.
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => process.send({ port: server.address().port }))
