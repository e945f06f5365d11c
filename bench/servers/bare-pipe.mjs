// The least that takes a body: node bench/servers/bare-pipe.mjs <directory>. Express 5, POST names a file, PATCH pipes
// the body into it. No checks, no records, no syncs. Prints its port.
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import express from 'express'

const app = express()
let uploads = 0
app.post('/files', (_req, res) => {
  uploads += 1
  res
    .status(201)
    .set({ Location: `/files/${uploads}`, 'Tus-Resumable': '1.0.0' })
    .send()
})
app.patch('/files/:id', async (req, res) => {
  await pipeline(req, createWriteStream(join(process.argv[2], req.params.id)))
  res.status(204).set({ 'Tus-Resumable': '1.0.0' }).send()
})
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port))
server.requestTimeout = 0
