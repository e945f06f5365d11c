// The shortest that takes a body in Express 5: POST names a file, PATCH pipes the body into it. No checks, no records,
// no syncs.
import { createWriteStream } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import express from 'express'

/** Makes the server. */
export function serve(directory) {
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
    await pipeline(req, createWriteStream(join(directory, req.params.id)))
    res.status(204).set({ 'Tus-Resumable': '1.0.0' }).send()
  })
  return { server: createServer(app) }
}
