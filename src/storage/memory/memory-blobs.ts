// Bytes in memory.

import { type Blobs, type BlobWriter, bytesGone, bytesMissing, type JournaledFile } from '../parts.js'

/** Keeps bytes in memory. */
export class MemoryBlobs implements Blobs {
  readonly #blobs = new Map<string, MemoryBlob>()
  readonly #placed = new Map<string, MemoryBlob>()

  open(blob: string, size: number): BlobWriter {
    const found = this.#blobs.get(blob) ?? new MemoryBlob()
    if (found.size < size) throw bytesMissing(blob, size, found.size)
    found.truncate(size)
    this.#blobs.set(blob, found)
    return found
  }

  async sync(): Promise<void> {}

  size(blob: string): number {
    return this.#blobs.get(blob)?.size ?? 0
  }

  takeBack(name: string, blob: string): void {
    const found = this.#placed.get(name)
    if (found === undefined) return
    this.#blobs.set(blob, found)
    this.#placed.delete(name)
  }

  place(blob: string, name: string): void {
    const found = this.#blobs.get(blob)
    if (found === undefined) return
    this.#placed.set(name, found)
    this.#blobs.delete(blob)
  }

  async syncPlaced(): Promise<void> {}

  syncFile(name: string): boolean {
    return this.#placed.has(name)
  }

  restore({ blob, name }: JournaledFile, bytes: Uint8Array): void {
    this.open(blob, 0).write([bytes])
    this.place(blob, name)
  }

  async *read(
    from: { readonly blob: string } | { readonly name: string; readonly size: number },
    start: number,
    end: number,
  ): AsyncGenerator<Uint8Array> {
    const found = 'blob' in from ? this.#blobs.get(from.blob) : this.#placed.get(from.name)
    const name = 'blob' in from ? from.blob : from.name
    if (found === undefined) throw bytesGone(name)
    if (found.size < end) throw bytesMissing(name, end, found.size)
    yield* found.read(start, end)
  }

  remove(blob: string): void {
    this.#blobs.delete(blob)
  }

  removePlaced(name: string): void {
    this.#placed.delete(name)
  }

  async *list(): AsyncGenerator<string> {
    yield* [...this.#blobs.keys()]
  }

  close(): void {
    this.#blobs.clear()
    this.#placed.clear()
  }
}

class MemoryBlob implements BlobWriter {
  #chunks: Uint8Array[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  write(chunks: readonly Uint8Array[]): void {
    // Copied, since the caller may use its buffers again once this has returned.
    for (const chunk of chunks) {
      this.#chunks.push(Uint8Array.prototype.slice.call(chunk))
      this.#size += chunk.length
    }
  }

  truncate(size: number): void {
    if (size === this.#size) return
    this.#chunks = [...this.read(0, size)]
    this.#size = size
  }

  contents(size: number): Uint8Array {
    return Buffer.concat([...this.read(0, size)])
  }

  async sync(): Promise<void> {}

  close(): void {}

  *read(start: number, end: number): Generator<Uint8Array> {
    let position = 0
    for (const chunk of this.#chunks) {
      const from = Math.max(start - position, 0)
      const to = Math.min(end - position, chunk.length)
      if (from < to) yield chunk.subarray(from, to)
      position += chunk.length
    }
  }
}
