// @tus/server with @tus/file-store under Express 5. The mounting of its README throws there; this one works.
import { createServer } from 'node:http'
import { FileStore } from '@tus/file-store'
import { Server } from '@tus/server'
import express from 'express'

/** Makes the server. */
export function serve(directory) {
  const app = express()
  const tus = new Server({ path: '/files', datastore: new FileStore({ directory }) })
  app.use('/files', (req, res) => tus.handle(req, res))
  return { server: createServer(app) }
}
