// Requests that a client sends ahead of the answers to those before them (RFC 9112, 9.3.2).

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** This many requests may wait on one connection. One more, and it is cut: Node reads on however many there are. */
const MAX_WAITING = 64
/** Each of them holds some 9 KiB. Once this many wait on all connections together, … */
const MAX_WAITING_IN_ALL = 4096
/** … one connection may have no more than these. */
const MAX_WAITING_IN_A_CROWD = 4

const waiting = new WeakMap<Socket, number>()
let waitingInAll = 0

/**
 * Serves a request once those before it on its connection are answered. Node begins with it earlier, and they may be
 * for the same upload. The streams of HTTP/2 wait for nothing.
 */
export function serveInTurn({ socket }: IncomingMessage, res: ServerResponse, serve: () => void): void {
  if (res.socket !== null || res.writableEnded || res.destroyed) {
    serve()
    return
  }
  if (socket.destroyed) return
  const ahead = waiting.get(socket)
  if (ahead === undefined) socket.once('close', () => count(socket, -(waiting.get(socket) ?? 0)))
  const limit = waitingInAll < MAX_WAITING_IN_ALL ? MAX_WAITING : MAX_WAITING_IN_A_CROWD
  if (ahead !== undefined && ahead >= limit) {
    socket.destroy()
    return
  }
  count(socket, 1)
  res.once('socket', () => {
    count(socket, -1)
    serve()
  })
}

function count(socket: Socket, change: number): void {
  waiting.set(socket, (waiting.get(socket) ?? 0) + change)
  waitingInAll += change
}
