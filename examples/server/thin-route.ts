// Routes of your own that call the upload server themselves, without the middleware: for URLs and checks that are yours.
//
// The middleware does more (it gathers small bodies, loses no byte of an aborted one, and does not read a refused one to
// its end): write routes like these only where it does not fit.

import { pipeline } from 'node:stream/promises'
import express, { type Request, type Response } from 'express'
import { prepareServer, SQLiteStorage, TusServer } from 'resumable-upload'

const storage = new SQLiteStorage({ directory: process.env.UPLOAD_DIR ?? './uploads' })
const tus = new TusServer({ storage, basePath: '/uploads' })

const app = express()
app.all('/projects/:project/uploads', (req, res) => handleUpload(req, res, '/uploads'))
app.all('/projects/:project/uploads/:id', (req, res) => handleUpload(req, res, `/uploads/${req.params.id}`))

async function handleUpload(req: Request, res: Response, path: string): Promise<void> {
  // Aborted when the client is gone, so that nothing goes on waiting for it.
  const aborting = new AbortController()
  res.once('close', () => aborting.abort())

  const response = await tus.handleRequest(req.method, path, req.headers, bodyOf(req), {
    // Where new uploads are found: goes into the Location header.
    baseUrl: `/projects/${encodeURIComponent(String(req.params.project))}/uploads`,
    signal: aborting.signal,
    trailers: () => req.trailers,
    context: req,
  })

  // Another request of the same client has taken over: nobody waits for this answer any more.
  if (response.destroy) {
    req.socket.destroy()
    return
  }
  // What is left of a refused body is dropped as it comes. Without that, browsers would not see the answer.
  if (!req.complete) req.resume()
  // Not Express's `send`: it would turn some answers to HEAD into 304.
  res.status(response.status).set(response.headers)
  if (response.body === undefined || response.body instanceof Uint8Array) res.end(response.body)
  // Fails only if the client is gone.
  else await pipeline(response.body, res).catch(() => {})
}

/** The body as chunks, if there is one. A refusal in the middle of it must not destroy the request, as `req` would be. */
function bodyOf(req: Request): AsyncIterable<Uint8Array> | undefined {
  const hasBody = req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length']) > 0
  return hasBody ? req.iterator({ destroyOnReturn: false }) : undefined
}

const server = app.listen(Number(process.env.PORT ?? 3000), (error?: Error) => {
  if (error) throw error
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : address
  console.log(`Upload to http://localhost:${port}/projects/any/uploads (files go to ${storage.directory})`)
})
prepareServer(server, tus)

async function shutDown(): Promise<void> {
  server.close()
  await tus.close()
  server.closeAllConnections()
}
process.once('SIGINT', shutDown)
process.once('SIGTERM', shutDown)
