// Gives the memory of a chunk back at once. Node makes a buffer of its own for each piece of a body, and V8 counts them
// against its heap: left to its garbage collection, they have it walk the whole heap dozens of times per gigabyte.

import { MessageChannel, type MessagePort } from 'node:worker_threads'

type Transferable = ArrayBuffer & { transfer?(length: number): ArrayBuffer }

/**
 * What glibc has free at the end of its heap it gives to the system, and gets it back a moment later, page by page,
 * each with a fault. How much it keeps, twice the largest block that was ever freed, begins with a few pieces of a
 * body.
 */
const LARGE_BLOCK_BYTES = 8 * 1024 * 1024

let closed: MessagePort | undefined
let isSettled = false

/**
 * Frees the memory of chunks that nobody needs any more, as far as it can be freed; from then on they have no bytes.
 */
export function releaseMemory(chunks: readonly Uint8Array[]): void {
  const buffers = chunks.flatMap(ownBuffer)
  if (buffers.length === 0) return
  if (!isSettled) {
    isSettled = true
    // It is not touched, so that it takes no memory.
    free([Buffer.allocUnsafeSlow(LARGE_BLOCK_BYTES).buffer])
  }
  free(buffers)
}

function free(buffers: readonly Transferable[]): void {
  if (buffers[0]?.transfer !== undefined) for (const buffer of buffers) buffer.transfer?.(0)
  // Before Node 22: what is sent to nobody is gone.
  else nobody().postMessage(undefined, buffers)
}

function ownBuffer({ buffer, byteLength }: Uint8Array): Transferable | [] {
  // A part of something larger, a pool for one, is not alone in it. Of one without bytes, whoever stored it has sent it
  // elsewhere.
  return buffer.byteLength === byteLength && byteLength > 0 && buffer instanceof ArrayBuffer ? buffer : []
}

function nobody(): MessagePort {
  if (closed !== undefined) return closed
  const { port1, port2 } = new MessageChannel()
  port1.close()
  port2.close()
  closed = port1
  return closed
}
