// What stands behind the proxies: an Express application that can go away and come back.
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import express, { type Express } from 'express'
import { prepareServer, SQLiteStorage, TusServer, type TusServerOptions, tusMiddleware } from '../../src/index.js'
import { afterTest, scratchFolder } from '../support/example.js'

/** A request as the application saw it. */
export interface SeenRequest {
  readonly method: string
  readonly headers: IncomingMessage['headers']
  /** How many bytes of its body have arrived. */
  received: number
}

/** An application that runs. */
export interface App {
  readonly port: number
  readonly storage: SQLiteStorage
  readonly seen: readonly SeenRequest[]
  /** Ends it as a restart does. */
  stop(): Promise<void>
}

/** Where and how it runs. */
export interface AppOptions {
  readonly port?: number
  readonly directory?: string
  readonly tus?: Partial<TusServerOptions>
  /** Adds routes of its own. */
  readonly extend?: (app: Express, storage: SQLiteStorage) => Promise<unknown>
}

/** Starts an application with uploads at /files; it ends with the test. */
export async function startApp({ port = 0, directory, tus: options, extend }: AppOptions = {}): Promise<App> {
  const storage = new SQLiteStorage({ directory: directory ?? join(scratchFolder(), 'uploads') })
  const tus = new TusServer({ storage, durability: 'none', ...options })
  const seen: SeenRequest[] = []
  const app = express()
  app.set('trust proxy', 'loopback')
  app.use((req, _res, next) => {
    const request: SeenRequest = { method: req.method, headers: req.headers, received: 0 }
    seen.push(request)
    // Listeners for data would start the body.
    const push = req.push.bind(req)
    req.push = (chunk, encoding) => {
      request.received += chunk?.length ?? 0
      return push(chunk, encoding)
    }
    next()
  })
  await extend?.(app, storage)
  app.use('/files', tusMiddleware(tus))
  const server = prepareServer(createServer(app), tus).listen(port, '127.0.0.1')
  await once(server, 'listening')
  const stop = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await tus.close({ timeoutMs: 0 })
  }
  afterTest(stop)
  return { port: (server.address() as AddressInfo).port, storage, seen, stop }
}
