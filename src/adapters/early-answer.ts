// An answer to a body that is still coming: the client must see it instead of a reset, and a refused 400 GB must not
// be read to the end.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { withholdContinue } from './prepare-server.js'

/** A rest of so many bytes is read to its end, which keeps the connection. */
const SMALL_REST_BYTES = 64 * 1024
/** So much of a larger rest is read, then no more. */
const LINGER_BYTES = 512 * 1024
/** The connection is kept for so long, for the client to read the answer, in milliseconds. */
const LINGER_MS = 2_000

/** Prepares a connection whose request body is still coming for an answer that is about to be written. */
export function closeAfterAnswer(req: IncomingMessage, res: ServerResponse): void {
  if (req.httpVersionMajor > 1) return
  // A client that waits for 100 Continue sends no body after another answer, or sends it: nobody can know.
  const maySendNone = withholdContinue(req)
  if (!maySendNone && Number(req.headers['content-length']) <= SMALL_REST_BYTES) {
    req.resume()
    return
  }
  res.setHeader('Connection', 'close')
  linger(req, res)
}

/**
 * Closing a socket with unread bytes resets the connection, and the client may lose the answer that it has not read
 * yet. So Node's own close, which comes right after the answer, is put off: we say that we are done, read a little
 * on, and let the client close.
 */
function linger(req: IncomingMessage, res: ServerResponse): void {
  const { socket } = req
  const { destroySoon } = socket
  let left = LINGER_BYTES
  // A first read keeps Node from reading the rest by itself, without a limit, once the answer is written.
  req.read(0)
  req.on('data', (chunk: Uint8Array) => {
    left -= chunk.length
    if (left <= 0) req.pause()
  })
  req.resume()
  const end = (): void => {
    // Not its turn yet: requests that came before it on the connection still wait for their answers.
    if (res.socket === null && !res.writableFinished) timer = setTimeout(end, LINGER_MS)
    else socket.destroy()
  }
  // From now on, since Express's own error handler answers only once the whole body is there.
  let timer = setTimeout(end, LINGER_MS)
  socket.once('close', () => clearTimeout(timer))
  // A connection may be any Duplex, as of a tunnel; those have none of it.
  const close = (): void => {
    if (typeof destroySoon === 'function') destroySoon.call(socket)
    else socket.end()
  }
  // Called by Node once the answer is written, and by nobody before, for the same reason.
  socket.destroySoon = () => {
    socket.destroySoon = destroySoon
    if (req.complete) return close()
    socket.end()
    req.once('end', close)
  }
}
