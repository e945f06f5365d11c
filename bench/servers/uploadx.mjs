// @uploadx/core with its tus handler under Express 5.
import { createServer } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import { DiskStorage, tus } from '@uploadx/core'
import express from 'express'

/** Makes the server. */
export async function serve(directory) {
  const app = express()
  const storage = new DiskStorage({ directory, useRelativeLocation: true })
  app.use('/files', tus({ storage }))
  // Until it has looked at its folder it answers by 503.
  while (!storage.isReady) await setImmediate()
  return { server: createServer(app) }
}
