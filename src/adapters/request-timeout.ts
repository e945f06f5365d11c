// Node's requestTimeout as it is, for all requests but those that the upload server is receiving.

import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Server as SecureServer } from 'node:https'
import type { Socket } from 'node:net'
import { Bag, type BagMember } from '../bag.js'

/** A request is ended after at most this share of the timeout more. */
const CHECKS_PER_TIMEOUT = 4

/**
 * The request of a connection that an upload server is receiving: for every copy of this package. It is a property of
 * the connection, which lasts, since adding one to each request is expensive once Express has changed its prototype.
 */
const RECEIVING = Symbol.for('resumable-upload.receiving')

interface MarkedSocket extends Socket {
  [RECEIVING]?: IncomingMessage | undefined
}

/** Says that an upload server is receiving a request. Until {@link markAnswered} it may take as long as it likes. */
export function markReceiving(req: IncomingMessage): void {
  // The streams of HTTP/2 are not timed, and their connection is only lent to them.
  if (req.httpVersionMajor > 1) return
  const socket: MarkedSocket = req.socket
  socket[RECEIVING] = req
}

/** Says that a request has its answer. */
export function markAnswered(req: IncomingMessage): void {
  if (req.httpVersionMajor > 1) return
  const socket: MarkedSocket = req.socket
  if (socket[RECEIVING] === req) socket[RECEIVING] = undefined
}

function isReceived(req: IncomingMessage): boolean {
  const socket: MarkedSocket = req.socket
  return socket[RECEIVING] === req
}

interface Watched extends BagMember {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  bytes: number
  /** Since when its time counts. */
  sinceMs: number
}

/**
 * Takes the place of `requestTimeout`, which can't make an exception: a request that has not arrived in whole within
 * the timeout is answered by 408 and its connection closed, as Node does it. One that an upload server is receiving is
 * ended only if nothing of it arrives for that long; what remains of it after its answer has the timeout once more.
 * @param isHeldUp - whether it is this side that does not take the body
 */
export function replaceRequestTimeout(
  server: Server | SecureServer,
  isHeldUp: (req: IncomingMessage) => boolean,
): void {
  const timeoutMs = server.requestTimeout
  server.requestTimeout = 0
  // It was a limit of the headers, too.
  server.headersTimeout = Math.min(server.headersTimeout || timeoutMs, timeoutMs)
  const requests = new Bag<Watched>()
  server.prependListener('request', (req: IncomingMessage, res: ServerResponse) => {
    const { headers, socket, httpVersionMajor } = req
    // As Node, which does not time the streams of HTTP/2.
    if (httpVersionMajor > 1) return
    if (headers['transfer-encoding'] === undefined && !(Number(headers['content-length']) > 0)) return
    const request = { req, res, bytes: socket.bytesRead, sinceMs: performance.now(), place: -1 }
    requests.add(request)
    // What was answered may still have a body to come.
    res.once('close', () => {
      if (req.complete || socket.destroyed) requests.delete(request)
    })
  })
  const check = (): void => {
    const now = performance.now()
    for (const request of requests.all()) {
      const { req } = request
      const { bytesRead, destroyed } = req.socket
      if (req.complete || req.destroyed || destroyed) requests.delete(request)
      // A connection may be any Duplex, as of a tunnel. Nobody counts its bytes.
      else if (isReceived(req) && (bytesRead !== request.bytes || bytesRead === undefined || isHeldUp(req))) {
        request.bytes = bytesRead
        request.sinceMs = now
      } else if (now - request.sinceMs >= timeoutMs) {
        requests.delete(request)
        if (isReceived(req)) req.socket.destroy()
        else answerTimeout(server, request)
      }
    }
  }
  const timer = setInterval(check, timeoutMs / CHECKS_PER_TIMEOUT).unref()
  server.once('close', () => clearInterval(timer))
}

/** What Node does where its own `requestTimeout` is over. */
function answerTimeout(server: Server | SecureServer, { req, res }: Watched): void {
  const { socket } = req
  const error = Object.assign(new Error('Request timeout'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
  if (server.emit('clientError', error, socket)) return
  const isOpen = res.socket === socket && !res.headersSent && socket.writable
  if (isOpen) socket.write('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n')
  socket.destroy()
}
