// Bytes in plain files: unfinished ones in a folder of their own, finished ones under their names.

import {
  close,
  closeSync,
  fchmodSync,
  fdatasync,
  constants as fsConstants,
  fstatSync,
  ftruncateSync,
  linkSync,
  open,
  openSync,
  read,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { opendir, unlink } from 'node:fs/promises'
import { dirname, sep } from 'node:path'
import { promisify } from 'node:util'
import {
  type Blobs,
  type BlobWriter,
  blobReplaced,
  bytesGone,
  bytesMissing,
  type FinishedFile,
  type JournaledFile,
} from '../parts.js'
import { sharedSync } from '../shared-sync.js'
import { identityOf, isSameFile, statOpen, statPath } from './file-identity.js'
import { FileWriter } from './file-writer.js'
import { FinishedFiles } from './finished-files.js'
import { makeFolder, syncFolder } from './folders.js'
import { LARGE_READS, ReadSizes } from './read-sizes.js'

const openAsync = promisify(open)
const readAsync = promisify(read)
const closeAsync = promisify(close)
const fdatasyncAsync = promisify(fdatasync)

const TAKE_BACK_TRIES = 5
/** So many names of a folder are fetched with one trip through the thread pool. */
const LISTED_AT_ONCE = 256

/** Ends the second name of a file that was made whole. */
const SPARE = '.restored'

/** Syncs one folder for all who wait for that. */
interface FolderSync {
  readonly sync: () => Promise<void>
  callers: number
}

/** Where {@link FileBlobs} keeps its files. */
export interface FileBlobsOptions {
  /** The absolute path of the folder of finished files. */
  readonly directory: string
  /** The absolute path of the folder of unfinished ones, on the same file system. */
  readonly partsDirectory: string
  /** The mode of finished files, whatever the umask; that decides if not given. */
  readonly fileMode?: number | undefined
  /** The mode of the folders of finished files, whatever the umask; that decides if not given. */
  readonly directoryMode?: number | undefined
}

/** Keeps bytes in plain files. Opening, small writes and renaming are synchronous; large writes and syncs are not. */
export class FileBlobs implements Blobs {
  readonly #directory: string
  readonly #parts: string
  readonly #readSizes = new ReadSizes()
  readonly #finished: FinishedFiles
  readonly #fileMode: number | undefined
  readonly #syncParts: () => Promise<void>
  readonly #folderSyncs = new Map<string, FolderSync>()

  /** @param options - the two folders, which are made if they are missing */
  constructor({ directory, partsDirectory, fileMode, directoryMode }: FileBlobsOptions) {
    this.#directory = directory
    this.#parts = partsDirectory
    this.#finished = new FinishedFiles(directory, partsDirectory, directoryMode)
    this.#fileMode = fileMode
    makeFolder(directory)
    makeFolder(partsDirectory)
    this.#syncParts = sharedSync(() => syncFolder(partsDirectory))
  }

  open(blob: string, size: number, expected?: string): BlobWriter {
    const create = size === 0 ? fsConstants.O_CREAT : 0
    let descriptor: number
    try {
      descriptor = openSync(this.#pathOf(blob), fsConstants.O_RDWR | create, this.#fileMode ?? 0o666)
    } catch (error) {
      throw size > 0 && hasCode(error, 'ENOENT') ? bytesMissing(blob, size, 0, error) : error
    }
    try {
      const { identity, size: stored } = statOpen(descriptor)
      if (expected !== undefined && expected !== identity) throw blobReplaced(blob)
      if (stored < size) throw bytesMissing(blob, size, stored)
      // What a killed process, or an aborted chunk with a checksum, has left beyond the last commit.
      if (stored > size) ftruncateSync(descriptor, size)
      if (create && this.#fileMode !== undefined) fchmodSync(descriptor, this.#fileMode)
      return new FileWriter(descriptor, { position: size, identity, syncName: this.#syncParts })
    } catch (error) {
      closeSync(descriptor)
      throw error
    }
  }

  place(blob: string, file: FinishedFile): boolean {
    return this.#finished.place(this.#pathOf(blob), file)
  }

  settlePlaced(blob: string): void {
    try {
      unlinkSync(this.#pathOf(blob))
    } catch {
      // The file has its name, and the vacuum finds what is left here.
    }
  }

  async sync(blob: string): Promise<void> {
    const descriptor = await openAsync(this.#pathOf(blob), 'r+')
    try {
      await Promise.all([fdatasyncAsync(descriptor), this.#syncParts()])
    } finally {
      await closeAsync(descriptor)
    }
  }

  size(blob: string): number {
    return statSync(this.#pathOf(blob), { throwIfNoEntry: false })?.size ?? 0
  }

  async takeBack(file: FinishedFile, blob: string): Promise<void> {
    this.#finished.takeBack(file, this.#pathOf(blob))
    // Before the record says so, or a power loss might leave the bytes where no record looks for them, or the name with
    // a file that no record knows. It comes after a sync that failed, so another one may fail as well.
    for (let tries = 0; tries < TAKE_BACK_TRIES; tries++) {
      try {
        return void (await Promise.all([this.#syncParts(), this.syncPlaced(file.name)]))
      } catch {}
    }
  }

  async syncFile(name: string): Promise<boolean> {
    try {
      // Windows flushes only what may be written to.
      const descriptor = await openAsync(this.#finished.pathOf(name), process.platform === 'win32' ? 'r+' : 'r')
      await fdatasyncAsync(descriptor).finally(() => closeAsync(descriptor))
      return true
    } catch (error) {
      if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return false
      throw error
    }
  }

  restore(file: JournaledFile, bytes: Uint8Array, anew: boolean): string | undefined {
    const path = this.#pathOf(file.blob)
    const target = this.#finished.pathOf(file.name)
    let found = statPath(target)
    const spare = statPath(`${path}${SPARE}`)
    const isSpare = found !== undefined && spare?.ino === found.ino && spare.dev === found.dev
    const isKnown = found?.isFile() && file.identity !== undefined && (isSpare || isSameFile(found, file))
    // One with just these bytes is what a kill has left between the file that was made here and the record of it.
    const isForeign = found?.isFile() && file.identity !== undefined && !isKnown && !hasBytes(target, bytes)

    // The application has moved the file away, and has another one there.
    if (isForeign && file.published) return file.identity
    // Nothing is written without need: the disk may be full.
    if (anew || !hasBytes(path, bytes)) {
      if (!anew && !isForeign && hasBytes(target, bytes)) {
        // What is left of the blob would be given the name once more.
        rmSync(path, { force: true })
        return identityAt(target)
      }
      // Another file will be the spare one, and this one be told by nothing from then on.
      if (isSpare) found = void rmSync(target, { force: true })
      writeWhole(path, bytes)
    }
    const identity = identityAt(path)
    // It gets its name later, if it can.
    if (isForeign) return identity
    // What is there may be this file with bytes missing.
    if (found === undefined) this.#finished.place(path, { ...file, identity })
    else renameSync(path, target)
    this.settlePlaced(file.blob)
    return identity
  }

  async syncPlaced(name: string): Promise<void> {
    // The folders above as well: they may be new.
    const folders = [dirname(this.#finished.pathOf(name))]
    while (folders.at(-1) !== this.#directory) folders.push(dirname(folders.at(-1) as string))
    await Promise.all(folders.map((folder) => this.#syncFolder(folder)))
  }

  async #syncFolder(folder: string): Promise<void> {
    const shared = this.#folderSyncs.get(folder) ?? { sync: sharedSync(() => syncFolder(folder)), callers: 0 }
    this.#folderSyncs.set(folder, shared)
    shared.callers++
    try {
      await shared.sync()
    } finally {
      // Applications make new folders all the time (one a day, one for each user), so none stays here without need.
      if (--shared.callers === 0) this.#folderSyncs.delete(folder)
    }
  }

  async *read(
    from: { readonly blob: string } | FinishedFile,
    start: number,
    end: number,
    reuse = false,
  ): AsyncGenerator<Uint8Array> {
    const path = 'blob' in from ? this.#pathOf(from.blob) : this.#finished.pathOf(from.name)
    let descriptor: number
    try {
      descriptor = await openAsync(path, 'r')
    } catch (error) {
      throw isMissing(error) ? bytesGone(path, error) : error
    }
    const size = reuse ? LARGE_READS : this.#readSizes.begin()
    try {
      const found = fstatSync(descriptor, { bigint: true })
      // It may be the file of another upload, or another user's, by now.
      if ('name' in from && from.identity !== undefined && !isSameFile(found, from)) {
        throw bytesGone(path, new Error('something else has that name now'))
      }
      const stored = Number(found.size)
      // Before anything is handed out, so that whoever sends it has sent no head of an answer yet.
      const least = 'size' in from ? from.size : end
      if (stored < least) throw bytesMissing(path, least, stored)
      let buffer: Uint8Array | undefined
      for (let position = start; position < end; ) {
        // Not by a stream: that is a third more work, and it can't use a buffer again.
        const wanted = Math.min(size.bytes, end - position)
        buffer = reuse && buffer ? buffer : Buffer.allocUnsafeSlow(wanted)
        const { bytesRead } = await readAsync(descriptor, buffer, 0, wanted, position).catch((cause: unknown) => {
          throw unreadable(path, cause)
        })
        if (bytesRead === 0) throw bytesMissing(path, end, position)
        position += bytesRead
        const handedOverMs = performance.now()
        yield buffer.subarray(0, bytesRead)
        size.taken(performance.now() - handedOverMs)
      }
    } finally {
      size.end()
      await closeAsync(descriptor)
    }
  }

  // Freeing the blocks of a large file takes long, so it is not done on the main thread.
  remove(blob: string): Promise<void> {
    return removeFile(this.#pathOf(blob))
  }

  async removePlaced(file: FinishedFile, durable: boolean): Promise<void> {
    const folder = await this.#finished.remove(file)
    if (!durable) return
    try {
      await this.#syncFolder(folder)
    } catch (error) {
      // The application may have removed the folder, too.
      if (!isMissing(error)) throw error
    }
  }

  async *list(): AsyncGenerator<string> {
    for await (const entry of await opendir(this.#parts, { bufferSize: LISTED_AT_ONCE })) yield entry.name
  }

  close(): void {
    this.#folderSyncs.clear()
  }

  /** The name of a blob is that of a file. */
  #pathOf(blob: string): string {
    return this.#parts + sep + blob
  }
}

/**
 * Half of a blob must never have its name: whoever looks for that gives it the name of the finished file. The file
 * keeps a spare name, which tells it from others if the power is lost before the record with its identity has reached
 * the disk. The vacuum removes that name, after a sync of the records, as it does what a kill leaves.
 */
function writeWhole(path: string, bytes: Uint8Array): void {
  const spare = `${path}${SPARE}`
  rmSync(spare, { force: true })
  try {
    writeFileSync(spare, bytes)
    rmSync(path, { force: true })
  } catch (error) {
    rmSync(spare, { force: true })
    throw error
  }
  try {
    linkSync(spare, path)
  } catch {
    // Without hard links it has no spare name.
    renameSync(spare, path)
  }
}

function identityAt(path: string): string | undefined {
  const found = statPath(path)
  return found && identityOf(found)
}

/** Whether a file can be read and is just these bytes. */
function hasBytes(path: string, bytes: Uint8Array): boolean {
  try {
    return statSync(path).size === bytes.length && readFileSync(path).equals(bytes)
  } catch {
    return false
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

/** ENOTDIR: what should be a folder above it is a file, so it is not there either. */
function isMissing(error: unknown): boolean {
  return hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')
}

/** What the system says of a descriptor names no file. */
function unreadable(path: string, cause: unknown): Error {
  const { code, message } = cause as NodeJS.ErrnoException
  return Object.assign(new Error(`${path} can't be read: ${message}`, { cause }), { code })
}

function hasCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === code
}
