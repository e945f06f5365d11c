// What happens around the statements of one connection: writes are counted, several may be one transaction, and a full
// disk need not be the end of it.

import type { Database, Statement } from './driver.js'
import type { Reserve } from './reserve.js'

const SQLITE_FULL = 13

/** The writes and the transactions of one connection. */
export class Writes {
  readonly #database: Database
  readonly #reserve: Reserve
  readonly #onWrite: () => void
  readonly #beginWriting: Statement
  readonly #beginReading: Statement
  readonly #commit: Statement
  readonly #rollback: Statement
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
    this.#beginWriting = database.prepare('BEGIN IMMEDIATE')
    this.#beginReading = database.prepare('BEGIN')
    this.#commit = database.prepare('COMMIT')
    this.#rollback = database.prepare('ROLLBACK')
  }

  /** Runs one statement that writes. */
  run<T>(write: () => T): T {
    const result = this.#inTransaction ? write() : this.#withRoom(write)
    this.#onWrite()
    return result
  }

  /**
   * Runs several statements as one transaction: all or nothing. Inside of another one they are part of that.
   * @param action - must not be asynchronous; it may run again, after what it has done was taken back
   */
  transaction<T>(action: () => T): T {
    if (this.#inTransaction) return action()
    return this.#withRoom(() => this.#transact(this.#beginWriting, action))
  }

  /** Runs several statements that only read: what they read is of one moment. `action` must not be asynchronous. */
  reading<T>(action: () => T): T {
    return this.#inTransaction ? action() : this.#transact(this.#beginReading, action)
  }

  #transact<T>(begin: Statement, action: () => T): T {
    begin.run()
    this.#inTransaction = true
    try {
      const result = action()
      this.#commit.run()
      return result
    } catch (error) {
      try {
        this.#rollback.run()
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
