// Streams the body of an answer at the pace of its client: one piece at a time, and only while the client takes them.

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PacedBody } from '../pace.js'

/**
 * No more than this is handed over at a time, in bytes: what a client that stops reading holds, and what shows that one
 * reads.
 */
const PIECE_BYTES = 64 * 1024

/** Watches over an answer, and ends the watch when it is called. */
export type Watch = (answer: PacedBody) => () => void

/**
 * Streams a body, and ends it with its client. Settles when it is handed over, or the connection is gone; never
 * rejects.
 * @param watch - cuts the answer if its client takes too little of it
 */
export async function streamAnswer(
  req: IncomingMessage,
  res: ServerResponse,
  body: AsyncIterable<Uint8Array>,
  watch: Watch,
): Promise<void> {
  let taken = 0
  let gone = false
  let wake: (() => void) | undefined
  const answer: PacedBody = {
    place: -1,
    get waiting() {
      return wake !== undefined
    },
    get received() {
      return taken
    },
    cut: () => cutOff(req, res, new Error('the client takes too little of the answer')),
  }
  const unwatch = watch(answer)
  const onMoved = (): void => wake?.()
  const onClose = (): void => {
    gone = true
    wake?.()
  }
  const moved = async (): Promise<void> => {
    await new Promise<void>((resolve) => {
      wake = resolve
    })
    wake = undefined
  }
  res.on('drain', onMoved).on('finish', onMoved).on('close', onClose).on('error', onClose)
  try {
    for await (const chunk of body) {
      for (let start = 0; start < chunk.length && !gone; start += PIECE_BYTES) {
        const piece = chunk.subarray(start, start + PIECE_BYTES)
        if (!res.write(piece) && !gone) await moved()
        taken += piece.length
      }
      // What is read from is closed at once.
      if (gone) return
    }
    res.end()
    if (!res.writableFinished && !gone) await moved()
  } catch (error) {
    // The core has reported why.
    cutOff(req, res, error as Error)
  } finally {
    unwatch()
    res.off('drain', onMoved).off('finish', onMoved)
  }
}

/**
 * Ends an answer in the middle, so that it can't be mistaken for a whole one. Of HTTP/2 that is the stream alone, and
 * with an error: without one it would end as if nothing were missing.
 */
function cutOff(req: IncomingMessage, res: ServerResponse, error: Error): void {
  if (req.httpVersionMajor > 1) res.destroy(error)
  else req.socket.destroy()
}
