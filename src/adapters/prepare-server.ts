// Makes a Node server fit for uploads: by default it ends requests that take long, and asks for bodies too early.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Server as SecureServer } from 'node:https'
import { type Check, mismatch, objectWith } from '../check-options.js'
import type { TusServer } from '../server.js'
import { replaceRequestTimeout } from './request-timeout.js'

const prepared = new WeakSet<object>()
const warned = new WeakSet<TusServer>()
const waitingForContinue = new WeakSet<IncomingMessage>()

/**
 * Mends two defaults of Node's HTTP server that break uploads:
 *
 * - `requestTimeout` (300 s) ends a request that takes longer, however well it moves. While the upload server is
 *   receiving one, it is ended only if its body does not move for so long (`stallTimeoutMs` may end it before). It
 *   holds as ever for other routes, for headers, and for what remains of a body that was refused.
 * - `100 Continue` is sent before the application runs. Instead, it is sent when something reads the body, so that a
 *   refusal spares the client the upload.
 *
 * Several upload servers behind one HTTP server need it once.
 * @param server - what `app.listen()` or `createServer()` returned
 * @param tus - the upload server behind it, for its logger
 * @returns the same server
 * @throws TypeError if `server` is no HTTP server (but Express's application, say), or `tus` no TusServer
 */
export function prepareServer<T extends Server | SecureServer>(server: T, tus: TusServer): T {
  checkArgument('prepareServer', 'server', isServer, server)
  checkTusServer('prepareServer', tus)
  if (prepared.has(server)) return server
  prepared.add(server)
  if (server.requestTimeout > 0) replaceRequestTimeout(server, isHeldUpHere)
  if (server.listenerCount('checkContinue') > 0) {
    tus.warn('prepareServer: another listener answers Expect: 100-continue, so refusals may come after the body')
  } else {
    server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => {
      continueWhenRead(req, res)
      server.emit('request', req, res)
    })
  }
  return server
}

/**
 * Checks what an adapter is made of. Not by `instanceof`: it may come from another copy of the package.
 * @throws TypeError if it is no TusServer
 */
export function checkTusServer(owner: string, tus: unknown): void {
  checkArgument(owner, 'tus', isTusServer, tus)
}

const isTusServer = objectWith('a TusServer', 'handleRequest', 'serves')
/** Express's application has no address. */
const isServer = objectWith('what app.listen() or createServer() returned', 'address', 'listenerCount')

function checkArgument(owner: string, name: string, check: Check, value: unknown): void {
  const wanted = check(value, { owner, name })
  if (wanted !== undefined) throw mismatch({ owner, name }, wanted, value)
}

/**
 * Sees to it that a request which may still wait for `100 Continue` gets none, whoever reads the body from here on.
 * @returns whether it did wait
 */
export function withholdContinue(req: IncomingMessage): boolean {
  return waitingForContinue.delete(req)
}

/** Warns once per upload server if it runs behind a server that would end long uploads. */
export function warnIfUnprepared(tus: TusServer, req: IncomingMessage): void {
  if (warned.has(tus)) return
  const { server } = req.socket as { server?: Server | null }
  if (!server || prepared.has(server) || !(server.requestTimeout > 0)) return
  warned.add(tus)
  tus.warn(
    `resumable-upload: the HTTP server ends every request after ${server.requestTimeout / 1000} s, uploads that are ` +
      'well alive included. Call prepareServer(server, tus) with what app.listen() returns.',
  )
}

function continueWhenRead(req: IncomingMessage, res: ServerResponse): void {
  const read = req._read
  waitingForContinue.add(req)
  req._read = (size) => {
    req._read = read
    if (waitingForContinue.delete(req) && !res.headersSent && !res.destroyed) res.writeContinue()
    req._read(size)
  }
}

/** Whether it is this side that holds a body up: the client was not asked for it yet, or what has come is not read. */
function isHeldUpHere(req: IncomingMessage): boolean {
  return waitingForContinue.has(req) || req.readableLength >= req.readableHighWaterMark
}
