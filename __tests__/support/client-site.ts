// A site for clients: Express with the middleware on the default storage, in this process, and what it has stored.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import express, { type Express } from 'express'
import { prepareServer, SQLiteStorage, TusServer, type TusServerOptions, tusMiddleware } from '../../src/index.js'
import { afterTest, scratchFolder } from './example.js'

/** A running site. */
export interface ClientSite {
  readonly origin: string
  readonly endpoint: string
  readonly tus: TusServer
  readonly storage: SQLiteStorage
  /** `METHOD status` of the requests, in the order of their answers. */
  readonly answers: string[]
  /** The hash of a finished file. */
  stored(url: string | null | undefined): string
}

/** Starts a site that the test ends. */
export async function startClientSite(
  options: Partial<TusServerOptions> = {},
  more: (app: Express) => void = () => {},
): Promise<ClientSite> {
  const storage = new SQLiteStorage({ directory: join(scratchFolder(), 'uploads') })
  const tus = new TusServer({ logger: { warn: () => {}, error: () => {} }, ...options, storage })
  const answers: string[] = []
  const app = express()
  app.use((req, res, next) => {
    res.on('finish', () => answers.push(`${req.method} ${res.statusCode}`))
    next()
  })
  app.use('/api/files', tusMiddleware(tus))
  more(app)
  const server = createServer(app)
  prepareServer(server, tus)
  server.listen(0)
  await once(server, 'listening')
  afterTest(async () => {
    server.closeAllConnections()
    server.close()
    await tus.close({ timeoutMs: 0 })
  })
  const origin = `http://localhost:${(server.address() as AddressInfo).port}`
  return {
    origin,
    endpoint: `${origin}/api/files`,
    tus,
    storage,
    answers,
    stored: (url) => sha256(readFileSync(storage.pathOf({ name: idOf(url) }))),
  }
}

/** The id at the end of an upload's URL. */
export function idOf(url: string | null | undefined): string {
  return url?.split('/').at(-1) ?? ''
}

/** The hash of bytes. (Jest takes minutes to compare megabytes.) */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
