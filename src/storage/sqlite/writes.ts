// What happens around every write of one connection: it is counted, it may be part of a transaction, and a full disk
// need not be the end of it.

import type { Database } from './driver.js'
import type { Reserve } from './reserve.js'

const SQLITE_FULL = 13

/** The writes of one connection. */
export class Writes {
  readonly #database: Database
  readonly #reserve: Reserve
  readonly #onWrite: () => void
  #inTransaction = false

  /**
   * @param database - the connection
   * @param reserve - space to be used when there is no other
   * @param onWrite - called after each write
   */
  constructor(database: Database, reserve: Reserve, onWrite: () => void) {
    this.#database = database
    this.#reserve = reserve
    this.#onWrite = onWrite
  }

  /** Runs one statement that writes. */
  run<T>(write: () => T): T {
    const result = this.#inTransaction ? write() : this.#withRoom(write)
    this.#onWrite()
    return result
  }

  /** Runs several statements as one transaction: all or nothing. `action` must not be asynchronous. */
  transaction<T>(action: () => T): T {
    return this.#withRoom(() => this.#transact(action))
  }

  #transact<T>(action: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    this.#inTransaction = true
    try {
      const result = action()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      try {
        this.#database.exec('ROLLBACK')
      } catch {
        // After some failures (a full disk) SQLite has rolled back by itself.
      }
      throw error
    } finally {
      this.#inTransaction = false
    }
  }

  /**
   * If the log can't grow, it is moved into the database, for which there is the reserve, and begins anew in the space that
   * it has. So removing an upload, for one, succeeds on a full disk. (The syncs of that are the price, here and only here.)
   */
  #withRoom<T>(write: () => T): T {
    try {
      return write()
    } catch (error) {
      if (!isFull(error)) throw error
      try {
        this.#reserve.release()
        this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)')
      } catch {
        throw error
      }
      return write()
    }
  }
}

function isFull(error: unknown): boolean {
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: unknown }
  return code === 'SQLITE_FULL' || errcode === SQLITE_FULL
}
