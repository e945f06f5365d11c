// Requests that a client sends ahead of the answers to those before them (RFC 9112, 9.3.2).

import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * This many requests may wait on one connection, each of which holds some KiB. One more, and it is cut: Node reads on however
 * many there are.
 */
const MAX_WAITING = 8

const waiting = new WeakMap<object, number>()

/**
 * Serves a request once those before it on its connection are answered. Node begins with it earlier, and they may be for the
 * same upload. The streams of HTTP/2 wait for nothing.
 */
export function serveInTurn({ socket }: IncomingMessage, res: ServerResponse, serve: () => void): void {
  if (res.socket !== null || res.writableEnded || res.destroyed) {
    serve()
    return
  }
  if (socket.destroyed) return
  const ahead = waiting.get(socket) ?? 0
  if (ahead >= MAX_WAITING) {
    socket.destroy()
    return
  }
  waiting.set(socket, ahead + 1)
  res.once('socket', () => {
    waiting.set(socket, (waiting.get(socket) ?? 1) - 1)
    serve()
  })
}
