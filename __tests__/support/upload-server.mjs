// A server to be killed: Express with the middleware on the default storage.
// node upload-server.mjs <directory> [port] [server options as JSON] → prints { port, pid } as a line of JSON.
import express from 'express'
import { prepareServer, SQLiteStorage, TusServer, tusMiddleware } from 'resumable-upload'

const [directory, port = '0', options = '{}'] = process.argv.slice(2)
const app = express()
const tus = new TusServer({ storage: new SQLiteStorage({ directory }), ...JSON.parse(options) })
app.use('/files', tusMiddleware(tus))
const server = app.listen(Number(port), '127.0.0.1', () => {
  console.log(JSON.stringify({ port: server.address().port, pid: process.pid }))
})
prepareServer(server, tus)
process.on('SIGTERM', async () => {
  server.close()
  await tus.close()
})
