// A set of prepared statements of one connection, and what has to happen around each of them.

import type { Bindable, Database, Statement } from './driver.js'
import type { Transactions } from './transactions.js'

/** A connection. */
export interface Connection {
  readonly database: Database
  readonly transactions: Transactions
}

/** Prepared statements by name. */
export class Statements<Name extends string> {
  readonly #transactions: Transactions
  readonly #statements: Readonly<Record<Name, Statement>>
  readonly #onWrite: () => void

  /**
   * @param connection - where they run, and its transactions
   * @param sql - the text of each
   * @param onWrite - called after each write
   */
  constructor({ database, transactions }: Connection, sql: Readonly<Record<Name, string>>, onWrite: () => void) {
    this.#transactions = transactions
    this.#onWrite = onWrite
    this.#statements = Object.fromEntries(
      Object.entries<string>(sql).map(([name, text]) => [name, database.prepare(text)]),
    ) as Record<Name, Statement>
  }

  /** Writes. @returns whether anything was changed */
  write(name: Name, ...values: Bindable[]): boolean {
    const changed = this.#statements[name].run(...values).changes !== 0
    this.#onWrite()
    return changed
  }

  /** Writes, and returns the row that was changed. */
  change<Row>(name: Name, ...values: Bindable[]): Row | undefined {
    // Not `get`: it leaves the statement after the first row, and both drivers drop the error (a full disk, say) by
    // which the commit at the end of it may fail.
    const [row] = this.#statements[name].all(...values) as Row[]
    this.#onWrite()
    return row
  }

  /** Reads one row. */
  one<Row>(name: Name, ...values: Bindable[]): Row | undefined {
    return this.#statements[name].get(...values) as Row | undefined
  }

  /** Reads all rows. */
  all<Row>(name: Name, ...values: Bindable[]): Row[] {
    return this.#statements[name].all(...values) as Row[]
  }

  /** Runs several statements as one transaction: all or nothing. `action` must not be asynchronous. */
  transaction<T>(action: () => T): T {
    return this.#transactions.write(action)
  }
}
