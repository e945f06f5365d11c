// This package under Express 5.
import { createServer } from 'node:http'
import express from 'express'
import { prepareServer, SQLiteStorage, TusServer, tusMiddleware } from 'resumable-upload'

/** Makes the server. */
export function serve(directory, options) {
  const app = express()
  const tus = new TusServer({ storage: new SQLiteStorage({ directory }), ...options })
  app.use('/files', tusMiddleware(tus))
  return { server: prepareServer(createServer(app), tus), cleanUp: () => tus.cleanUp() }
}
