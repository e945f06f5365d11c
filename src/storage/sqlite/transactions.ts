// Transactions of one connection.

import type { Database, Statement } from './driver.js'

/** Runs several statements as one transaction: all or nothing. Inside of another one they are part of that. */
export class Transactions {
  readonly #beginWriting: Statement
  readonly #beginReading: Statement
  readonly #commit: Statement
  readonly #rollback: Statement
  #open = false

  /** @param database - where they run */
  constructor(database: Database) {
    this.#beginWriting = database.prepare('BEGIN IMMEDIATE')
    this.#beginReading = database.prepare('BEGIN')
    this.#commit = database.prepare('COMMIT')
    this.#rollback = database.prepare('ROLLBACK')
  }

  /** A transaction that writes. `action` must not be asynchronous. */
  write<T>(action: () => T): T {
    return this.#run(this.#beginWriting, action)
  }

  /** A transaction that only reads: what it reads is of one moment. `action` must not be asynchronous. */
  read<T>(action: () => T): T {
    return this.#run(this.#beginReading, action)
  }

  #run<T>(begin: Statement, action: () => T): T {
    if (this.#open) return action()
    begin.run()
    this.#open = true
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
      this.#open = false
    }
  }
}
