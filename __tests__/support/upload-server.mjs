// A server to be killed: Express with the middleware on the default storage.
// node upload-server.mjs <directory> [port] [server options as JSON] → prints { port, pid } as a line of JSON.
// Every answer says which process it comes from, since workers of a cluster share a port.
import express from 'express'
import { prepareServer, SQLiteStorage, TusServer, tusMiddleware } from 'resumable-upload'

const [directory, port = '0', options = '{}'] = process.argv.slice(2)
const { closeMs, ...serverOptions } = JSON.parse(options)
const app = express()
const tus = new TusServer({ storage: new SQLiteStorage({ directory }), ...serverOptions })
app.use((_req, res, next) => {
  res.set('X-Pid', process.pid)
  next()
})
app.use('/files', tusMiddleware(tus))
app.use('/exit', () => process.exit())
const server = app.listen(Number(port), '127.0.0.1', () => {
  console.log(JSON.stringify({ port: server.address().port, pid: process.pid }))
})
prepareServer(server, tus)
process.on('SIGTERM', async () => {
  server.close()
  await tus.close({ timeoutMs: closeMs })
})
