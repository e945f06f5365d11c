// Bytes in plain files: unfinished ones in a folder of their own, finished ones under their names.

import {
  closeSync,
  createReadStream,
  existsSync,
  constants as fsConstants,
  fstatSync,
  ftruncateSync,
  openSync,
  renameSync,
} from 'node:fs'
import { opendir, unlink } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { type Blobs, type BlobWriter, bytesMissing } from '../parts.js'
import { sharedSync } from '../shared-sync.js'
import { FileWriter } from './file-writer.js'
import { makeFolder, syncFolder } from './folders.js'

const READ_BYTES = 256 * 1024

/** Where {@link FileBlobs} keeps its files. */
export interface FileBlobsOptions {
  /** The absolute path of the folder of finished files. */
  readonly directory: string
  /** The absolute path of the folder of unfinished ones, on the same file system. */
  readonly partsDirectory: string
}

/** Keeps bytes in plain files. Opening, small writes and renaming are synchronous; large writes and syncs are not. */
export class FileBlobs implements Blobs {
  readonly #directory: string
  readonly #parts: string
  readonly #syncParts: () => Promise<void>
  readonly #folderSyncs = new Map<string, () => Promise<void>>()

  /** @param options - the two folders, which are made if they are missing */
  constructor({ directory, partsDirectory }: FileBlobsOptions) {
    this.#directory = directory
    this.#parts = partsDirectory
    makeFolder(directory)
    makeFolder(partsDirectory)
    this.#syncParts = sharedSync(() => syncFolder(partsDirectory))
  }

  open(blob: string, size: number): BlobWriter {
    const create = size === 0 ? fsConstants.O_CREAT : 0
    let descriptor: number
    try {
      descriptor = openSync(join(this.#parts, blob), fsConstants.O_WRONLY | create, 0o666)
    } catch (error) {
      throw size > 0 && hasCode(error, 'ENOENT') ? bytesMissing(blob, size, 0, error) : error
    }
    try {
      const stored = fstatSync(descriptor).size
      if (stored < size) throw bytesMissing(blob, size, stored)
      // What a killed process, or an aborted chunk with a checksum, has left beyond the last commit.
      if (stored > size) ftruncateSync(descriptor, size)
    } catch (error) {
      closeSync(descriptor)
      throw error
    }
    return new FileWriter(descriptor, size, this.#syncParts)
  }

  place(blob: string, name: string): void {
    const from = join(this.#parts, blob)
    const target = this.#pathOf(name)
    try {
      renameSync(from, target)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
      if (existsSync(from)) {
        makeFolder(dirname(target))
        renameSync(from, target)
      } else if (!existsSync(target)) {
        throw error
      }
    }
  }

  syncPlaced(name: string): Promise<void> {
    const folder = dirname(this.#pathOf(name))
    let sync = this.#folderSyncs.get(folder)
    if (sync === undefined) {
      sync = sharedSync(() => syncFolder(folder))
      this.#folderSyncs.set(folder, sync)
    }
    return sync()
  }

  async *read(
    from: { readonly blob: string } | { readonly name: string },
    start: number,
    end: number,
  ): AsyncGenerator<Uint8Array> {
    if (start >= end) return
    const path = 'blob' in from ? join(this.#parts, from.blob) : this.#pathOf(from.name)
    let position = start
    for await (const chunk of createReadStream(path, { start, end: end - 1, highWaterMark: READ_BYTES })) {
      position += (chunk as Buffer).length
      yield chunk as Buffer
    }
    if (position < end) throw bytesMissing('blob' in from ? from.blob : from.name, end, position)
  }

  // Freeing the blocks of a large file takes long, so it is not done on the main thread.
  remove(blob: string): Promise<void> {
    return removeFile(join(this.#parts, blob))
  }

  removePlaced(name: string): Promise<void> {
    return removeFile(this.#pathOf(name))
  }

  async *list(): AsyncGenerator<string> {
    for await (const entry of await opendir(this.#parts)) yield entry.name
  }

  close(): void {
    this.#folderSyncs.clear()
  }

  #pathOf(name: string): string {
    const path = join(this.#directory, name)
    const inside = relative(this.#directory, path)
    if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`)) {
      throw new Error(`the file name ${JSON.stringify(name)} leads out of the directory`)
    }
    return path
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

function hasCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === code
}
