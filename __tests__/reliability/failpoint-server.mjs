// A server to be killed at a named point of its work, or at any moment: Express with the middleware on the default
// storage. It opens the storage when it is told to over IPC, so that it can be started ahead of time.
import { createHash } from 'node:crypto'
import { appendFileSync, readFileSync } from 'node:fs'
import express from 'express'
import { prepareServer, SQLiteStorage, TusServer, tusMiddleware } from 'resumable-upload'
import { arm, disarm, named } from './failpoints.mjs'

/** Below the size of most bodies, so that these are streamed and committed by segments. */
const BUFFER_LIMIT = 64 * 1024

const beforeHook = named('completion hook: before its work')
const afterHook = named('completion hook: after its work')

let skewMs = 0
let tus

const orders = {
  open({ directory, hookLog, options, skewMs: skew, failpoint }) {
    if (failpoint) arm(failpoint.name, failpoint.hit)
    skewMs = skew
    const now = () => Date.now() + skewMs
    tus = new TusServer({
      ...options,
      now,
      storage: new SQLiteStorage({ directory, now }),
      onError: (error) => process.send({ error: error?.stack ?? String(error) }),
      logger: { warn: (message) => process.send({ error: String(message) }), error: () => {} },
      onUploadComplete: ({ upload, path, attempt }) => {
        beforeHook()
        const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex')
        appendFileSync(hookLog, `${JSON.stringify({ id: upload.id, sha256, attempt })}\n`)
        afterHook()
      },
    })
    const app = express()
    app.use('/files', tusMiddleware(tus, { bufferLimit: BUFFER_LIMIT }))
    return new Promise((resolve) => {
      const server = app.listen(0, '127.0.0.1', () => resolve({ port: server.address().port }))
      prepareServer(server, tus)
    })
  },
  arm: ({ name, hit }) => arm(name, hit),
  disarm,
  /** Time goes by. */
  advance({ ms }) {
    skewMs += ms
  },
  cleanUp: () => tus.cleanUp(),
}

process.on('message', async ({ order, ...rest }) => {
  try {
    process.send({ done: order, ...(await orders[order](rest)) })
  } catch (error) {
    process.send({ failed: order, error: error.stack })
  }
})
process.on('disconnect', () => process.exit())
process.send({ done: 'start' })
