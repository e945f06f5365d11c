// This package under Express 5: node bench/servers/ours.mjs <directory>. Prints its port.
import express from 'express'
import { prepareServer, SQLiteStorage, TusServer, tusMiddleware } from 'resumable-upload'

const app = express()
const tus = new TusServer({ storage: new SQLiteStorage({ directory: process.argv[2] }) })
app.use('/files', tusMiddleware(tus))
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port))
prepareServer(server, tus)
