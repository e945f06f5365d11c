// Gives the memory of a chunk back at once. Node makes a buffer of its own for each piece of a body, and V8 counts them
// against its heap: left to its garbage collection, they have it walk the whole heap dozens of times per gigabyte.

import { MessageChannel, type MessagePort } from 'node:worker_threads'

type Transferable = ArrayBuffer & { transfer?(length: number): ArrayBuffer }

let closed: MessagePort | undefined

/** Frees the memory of a chunk that nobody needs any more, if it can be freed; from then on it has no bytes. */
export function releaseMemory({ buffer, byteLength }: Uint8Array): void {
  // A part of something larger, a pool for one, is not alone in it.
  if (buffer.byteLength !== byteLength || !(buffer instanceof ArrayBuffer)) return
  // Whoever stored it has sent it elsewhere.
  if (byteLength === 0) return
  const whole: Transferable = buffer
  if (whole.transfer !== undefined) whole.transfer(0)
  // Before Node 22: what is sent to nobody is gone.
  else nobody().postMessage(undefined, [whole])
}

function nobody(): MessagePort {
  if (closed !== undefined) return closed
  const { port1, port2 } = new MessageChannel()
  port1.close()
  port2.close()
  closed = port1
  return closed
}
