// Brings the write-ahead log to the disk, through a descriptor of its own.

import { close, closeSync, fdatasync, open, openSync, readSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { syncFolder } from '../files/folders.js'
import { sharedSync } from '../shared-sync.js'
import type { Database } from './driver.js'

const openAsync = promisify(open)
const closeAsync = promisify(close)
const fdatasyncAsync = promisify(fdatasync)

const COPY_BYTES = 1024 * 1024

/** Syncs the write-ahead log of a database that is open. */
export class LogSync {
  readonly #path: string
  readonly #alone: (action: () => void) => Promise<void>
  #descriptor: Promise<number> | undefined
  /**
   * Whether some of it may not be on the disk although no sync will say so. At first nobody knows what became of the
   * syncs of processes before this one.
   */
  #doubtful = true
  /**
   * Settles when all that was committed before has reached the disk.
   * @throws what the system says; then none of it counts as being there
   */
  readonly sync = sharedSync(() => this.#sync())

  /**
   * @param path - the log
   * @param alone - does something, that must not be asynchronous, while others are kept from writing to the log
   */
  constructor(path: string, alone: (action: () => void) => Promise<void>) {
    this.#path = path
    this.#alone = alone
  }

  /**
   * Writes the log again as it is found, to be called before the first request: it may have tens of megabytes. If that
   * fails, the first sync tries it again.
   * @param database - the connection
   */
  recover(database: Database): void {
    try {
      const descriptor = openSync(this.#path, 'r+')
      try {
        database.exec('BEGIN IMMEDIATE')
        try {
          this.#copyOnto(descriptor)
        } finally {
          database.exec('COMMIT')
        }
      } finally {
        closeSync(descriptor)
      }
    } catch {
      this.#doubtful = true
    }
  }

  /** Says that a sync of the log failed elsewhere: SQLite's own, in a checkpoint. */
  doubt(): void {
    this.#doubtful = true
  }

  /** Must come before the database is closed. */
  async close(): Promise<void> {
    if (this.#descriptor) await closeAsync(await this.#descriptor)
  }

  async #sync(): Promise<void> {
    this.#descriptor ??= this.#open().catch((error: unknown) => {
      this.#descriptor = undefined
      throw error
    })
    const descriptor = await this.#descriptor
    if (this.#doubtful) await this.#writeAgain(descriptor)
    try {
      // Where the log begins anew in the space that it has, its size does not change, and the file system's journal is
      // spared.
      await fdatasyncAsync(descriptor)
    } catch (error) {
      this.#doubtful = true
      try {
        await this.#writeAgain(descriptor)
      } catch {
        // The next sync tries it again, and fails if it can't.
      }
      throw error
    }
  }

  /**
   * A descriptor of the log, for syncs alone. It is never one of the database file: closing that would drop the locks
   * that SQLite holds on it in this process.
   */
  async #open(): Promise<number> {
    // Writable, since Windows flushes nothing else.
    const descriptor = await openAsync(this.#path, 'r+')
    await syncFolder(dirname(this.#path))
    return descriptor
  }

  /**
   * After a sync that failed the system may have dropped what it could not write, and say at the next one that all is
   * well. The log would have a hole then, and after a power loss nothing behind it would be found. It still has the
   * bytes in memory, so that they are written once more. Rare, and short: the log has a few megabytes.
   */
  #writeAgain(descriptor: number): Promise<void> {
    return this.#alone(() => this.#copyOnto(descriptor))
  }

  #copyOnto(descriptor: number): void {
    const buffer = Buffer.allocUnsafeSlow(COPY_BYTES)
    for (let position = 0; ; ) {
      const size = readSync(descriptor, buffer, 0, COPY_BYTES, position)
      if (size === 0) break
      for (let done = 0; done < size; ) done += writeSync(descriptor, buffer, done, size - done, position + done)
      position += size
    }
    this.#doubtful = false
  }
}
