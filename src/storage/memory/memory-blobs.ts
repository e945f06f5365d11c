// Bytes in memory.

import {
  type Blobs,
  type BlobWriter,
  bytesGone,
  bytesMissing,
  type FinishedFile,
  type JournaledFile,
} from '../parts.js'

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

  takeBack({ name }: FinishedFile, blob: string): void {
    const found = this.#placed.get(name)
    if (found === undefined) return
    this.#blobs.set(blob, found)
    this.#placed.delete(name)
  }

  place(blob: string, { name }: FinishedFile): boolean {
    const found = this.#blobs.get(blob)
    if (found === undefined) return this.#placed.has(name)
    this.#placed.set(name, found)
    this.#blobs.delete(blob)
    return true
  }

  settlePlaced(): void {}

  async syncPlaced(): Promise<void> {}

  syncFile(name: string): boolean {
    return this.#placed.has(name)
  }

  restore(file: JournaledFile, bytes: Uint8Array): undefined {
    this.open(file.blob, 0).write([bytes])
    this.place(file.blob, file)
  }

  async *read(from: { readonly blob: string } | FinishedFile, start: number, end: number): AsyncGenerator<Uint8Array> {
    const found = 'blob' in from ? this.#blobs.get(from.blob) : this.#placed.get(from.name)
    const name = 'blob' in from ? from.blob : from.name
    if (found === undefined || ('name' in from && from.identity !== found.identity)) throw bytesGone(name)
    if (found.size < end) throw bytesMissing(name, end, found.size)
    yield* found.read(start, end)
  }

  remove(blob: string): void {
    this.#blobs.delete(blob)
  }

  removePlaced({ name, identity }: FinishedFile): void {
    if (this.#placed.get(name)?.identity === identity) this.#placed.delete(name)
  }

  async *list(): AsyncGenerator<string> {
    yield* [...this.#blobs.keys()]
  }

  close(): void {
    this.#blobs.clear()
    this.#placed.clear()
  }
}

let lastIdentity = 0

class MemoryBlob implements BlobWriter {
  readonly identity = String(++lastIdentity)
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
