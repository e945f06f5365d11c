// The four hosts that the middleware runs in, behind real sockets.

import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import connect from 'connect'
import express from 'express'
import express4 from 'express4'
import {
  MemoryStorage,
  prepareServer,
  type Storage,
  type TusMiddlewareOptions,
  TusServer,
  type TusServerOptions,
  tusListener,
  tusMiddleware,
} from '../../src/index.js'

/** A middleware of any of the hosts. */
export type Handler = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void

/** How an application is put together. */
export interface Parts {
  readonly mount: string
  readonly before: readonly Handler[]
  readonly tus: TusServer
  readonly options: TusMiddlewareOptions
}

/** An application of one framework. */
export interface Host {
  readonly name: string
  readonly build: (parts: Parts) => RequestListener
}

interface App {
  use(handler: unknown): unknown
  use(path: string, handler: unknown): unknown
}

function mounted<A extends App>(app: A, { mount, before, tus, options }: Parts): A {
  for (const handler of before) app.use(handler)
  app.use(mount, tusMiddleware(tus, options))
  return app
}

export const EXPRESS_5: Host = { name: 'Express 5', build: (parts) => mounted(express(), parts) }
export const EXPRESS_4: Host = { name: 'Express 4', build: (parts) => mounted(express4(), parts) }
export const CONNECT: Host = { name: 'Connect', build: (parts) => mounted(connect(), parts) }
export const NODE_HTTP: Host = {
  name: 'node:http',
  build: ({ before, tus, options }) => {
    const listener = tusListener(tus, options)
    return (req, res) => {
      const run = (index: number): void => {
        const handler = before[index]
        if (handler === undefined) listener(req, res)
        else handler(req, res, () => run(index + 1))
      }
      run(0)
    }
  },
}

/** Those with `app.use`. */
export const FRAMEWORKS = [EXPRESS_5, EXPRESS_4, CONNECT]
/** All of them. */
export const HOSTS = [...FRAMEWORKS, NODE_HTTP]

/** What may differ from one test to the next. */
export interface HostOptions {
  /** @default '/files' */
  readonly mount?: string
  readonly before?: readonly Handler[]
  readonly tus?: Partial<TusServerOptions>
  readonly middleware?: TusMiddlewareOptions
  /** Whether `prepareServer` is called. @default true */
  readonly prepared?: boolean
  /** Puts the application together, where a mount is not enough. */
  readonly app?: (tus: TusServer) => RequestListener
  readonly server?: Parameters<typeof createServer>[0]
}

/** One request as the server saw it. */
export interface Seen {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  /** Settles when the answer was sent, or the connection is gone. */
  readonly closed: Promise<void>
}

/** An application that listens. */
export interface Running {
  readonly server: Server
  readonly port: number
  readonly tus: TusServer
  readonly storage: Storage
  /** What went to the logger. */
  readonly warnings: unknown[]
  readonly errors: unknown[]
  /** All requests so far. */
  readonly seen: readonly Seen[]
  /** All connections so far. */
  readonly sockets: readonly Socket[]
  /** Settles with the request of this number, which may have come already. */
  request(index: number): Promise<Seen>
}

const running: Array<() => Promise<void>> = []

afterEach(async () => {
  await Promise.all(running.splice(0).map((close) => close()))
})

/** Starts an application on a free port; it ends with the test. */
export async function start(host: Host, options: HostOptions = {}): Promise<Running> {
  const { mount = '/files', before = [], middleware = {}, prepared = true } = options
  const warnings: unknown[] = []
  const errors: unknown[] = []
  const storage = options.tus?.storage ?? new MemoryStorage()
  const logger = {
    warn: (message: unknown) => void warnings.push(message),
    error: (error: unknown) => void errors.push(error),
  }
  const tus = new TusServer({ logger, ...(host === NODE_HTTP && { basePath: mount }), ...options.tus, storage })
  const listener = options.app?.(tus) ?? host.build({ mount, before, tus, options: middleware })
  const server = createServer(options.server ?? {}, listener)
  if (prepared) prepareServer(server, tus)
  const seen: Seen[] = []
  const sockets: Socket[] = []
  const waiting: Array<() => void> = []
  server.prependListener('request', (req, res) => {
    seen.push({ req, res, closed: new Promise((resolve) => res.once('close', resolve)) })
    for (const wake of waiting.splice(0)) wake()
  })
  server.on('connection', (socket) => sockets.push(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  running.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
    await tus.close({ timeoutMs: 0 })
  })
  return {
    server,
    port: (server.address() as AddressInfo).port,
    tus,
    storage,
    warnings,
    errors,
    seen,
    sockets,
    request: async (index) => {
      for (;;) {
        const found = seen[index]
        if (found !== undefined) return found
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
    },
  }
}

/** The bytes that a storage has of an upload. */
export async function storedBytes(storage: Storage, path: string): Promise<Buffer> {
  const id = path.slice(path.lastIndexOf('/') + 1)
  const { offset } = (await storage.get(id)) ?? { offset: 0 }
  const chunks: Uint8Array[] = []
  for await (const chunk of storage.read?.(id, 0, offset) ?? []) chunks.push(chunk)
  return Buffer.concat(chunks)
}
