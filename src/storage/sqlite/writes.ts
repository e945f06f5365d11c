// What happens around the statements of one connection: writes are counted, and several may be one transaction.

import type { Database, Statement } from './driver.js'

/** The writes and the transactions of one connection. */
export class Writes {
  readonly #onWrite: () => void
  readonly #beginWriting: Statement
  readonly #beginReading: Statement
  readonly #commit: Statement
  readonly #rollback: Statement
  #inTransaction = false

  /**
   * @param database - the connection
   * @param onWrite - called after each write
   */
  constructor(database: Database, onWrite: () => void) {
    this.#onWrite = onWrite
    this.#beginWriting = database.prepare('BEGIN IMMEDIATE')
    this.#beginReading = database.prepare('BEGIN')
    this.#commit = database.prepare('COMMIT')
    this.#rollback = database.prepare('ROLLBACK')
  }

  /** Runs one statement that writes. */
  run<T>(write: () => T): T {
    const result = write()
    this.#onWrite()
    return result
  }

  /**
   * Runs several statements as one transaction: all or nothing. Inside of another one they are part of that.
   * @param action - must not be asynchronous; it may run again, after what it has done was taken back
   */
  transaction<T>(action: () => T): T {
    if (this.#inTransaction) return action()
    return this.#transact(this.#beginWriting, action)
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
}
