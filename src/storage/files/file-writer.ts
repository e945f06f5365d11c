// Writes one file, in order.

import { closeSync, fdatasync, ftruncateSync, readSync, writev, writevSync } from 'node:fs'
import { promisify } from 'node:util'
import { type BlobWriter, bytesMissing } from '../parts.js'

/** Up to so many bytes are written on the main thread: that costs less than a trip through the thread pool. */
const SYNC_WRITE_BYTES = 128 * 1024

const writevAsync = promisify(writev)
const fdatasyncAsync = promisify(fdatasync)

/** Writes one file from a position on. */
export class FileWriter implements BlobWriter {
  readonly identity: string
  readonly #descriptor: number
  readonly #syncName: () => Promise<void>
  #position: number
  /** What the thread pool does with the descriptor at the moment. */
  #underWay: Promise<unknown> | undefined
  #closed = false

  /**
   * @param descriptor - the open file; the writer closes it
   * @param options - where the first byte goes, what tells the file from others, and what settles when the file's name
   * has reached the disk
   */
  constructor(
    descriptor: number,
    {
      position,
      identity,
      syncName,
    }: { readonly position: number; readonly identity: string; readonly syncName: () => Promise<void> },
  ) {
    this.#descriptor = descriptor
    this.identity = identity
    this.#position = position
    this.#syncName = syncName
  }

  write(chunks: readonly Uint8Array[]): void | Promise<void> {
    const start = this.#position
    let size = 0
    for (const chunk of chunks) size += chunk.length
    if (size > SYNC_WRITE_BYTES) return this.#use(this.#writeInPool(chunks, start))
    try {
      let rest = chunks
      while (rest.length > 0) rest = this.#advance(rest, writevSync(this.#descriptor, rest, this.#position))
    } catch (error) {
      this.#takeBack(start)
      throw error
    }
  }

  truncate(size: number): void {
    ftruncateSync(this.#descriptor, size)
    this.#position = size
  }

  contents(size: number): Uint8Array {
    const bytes = Buffer.allocUnsafe(size)
    let read = 0
    while (read < size) {
      const count = readSync(this.#descriptor, bytes, read, size - read, read)
      if (count === 0) throw bytesMissing('that is open', size, read)
      read += count
    }
    return bytes
  }

  sync(): Promise<void> {
    return this.#use(Promise.all([fdatasyncAsync(this.#descriptor), this.#syncName()]).then(() => {}))
  }

  async close(): Promise<void> {
    // Closed under the pool's hands, the number might be another file by the time it writes.
    while (this.#underWay !== undefined) await this.#underWay.catch(() => {})
    if (this.#closed) return
    this.#closed = true
    closeSync(this.#descriptor)
  }

  #use(work: Promise<void>): Promise<void> {
    const mine = work.finally(() => {
      if (this.#underWay === mine) this.#underWay = undefined
    })
    this.#underWay = mine
    return mine
  }

  async #writeInPool(chunks: readonly Uint8Array[], start: number): Promise<void> {
    try {
      let rest = chunks
      while (rest.length > 0) {
        const { bytesWritten } = await writevAsync(this.#descriptor, rest, this.#position)
        rest = this.#advance(rest, bytesWritten)
      }
    } catch (error) {
      this.#takeBack(start)
      throw error
    }
  }

  /** Half a write must not lie behind what is committed next, and where the disk is full its space is wanted. */
  #takeBack(start: number): void {
    this.#position = start
    try {
      ftruncateSync(this.#descriptor, start)
    } catch {
      // Whoever opens the blob next cuts it off.
    }
  }

  /** Moves on by what one call has written, which is less than asked for when the disk is nearly full. */
  #advance(chunks: readonly Uint8Array[], written: number): readonly Uint8Array[] {
    this.#position += written
    let left = written
    for (const [index, chunk] of chunks.entries()) {
      if (left < chunk.length) return [chunk.subarray(left), ...chunks.slice(index + 1)]
      left -= chunk.length
    }
    return []
  }
}
