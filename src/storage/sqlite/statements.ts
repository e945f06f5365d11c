// A set of prepared statements of one connection.

import type { Bindable, Database, Statement } from './driver.js'
import type { Writes } from './writes.js'

/** Prepared statements by name. */
export class Statements<Name extends string> {
  readonly #statements: Readonly<Record<Name, Statement>>
  readonly #writes: Writes

  /**
   * @param database - where they run
   * @param sql - the text of each
   * @param writes - what goes around those that write
   */
  constructor(database: Database, sql: Readonly<Record<Name, string>>, writes: Writes) {
    this.#writes = writes
    this.#statements = Object.fromEntries(
      Object.entries<string>(sql).map(([name, text]) => [name, database.prepare(text)]),
    ) as Record<Name, Statement>
  }

  /** Writes. @returns whether anything was changed */
  write(name: Name, ...values: Bindable[]): boolean {
    return this.#writes.run(() => this.#statements[name].run(...values).changes !== 0)
  }

  /** Writes, and returns the row that was changed. */
  change<Row>(name: Name, ...values: Bindable[]): Row | undefined {
    // Not `get`: it leaves the statement after the first row, and both drivers drop the error (a full disk, say) by
    // which the commit at the end of it may fail.
    return this.#writes.run(() => this.#statements[name].all(...values) as Row[])[0]
  }

  /** Reads one row. */
  one<Row>(name: Name, ...values: Bindable[]): Row | undefined {
    return this.#statements[name].get(...values) as Row | undefined
  }

  /** Reads all rows. */
  all<Row>(name: Name, ...values: Bindable[]): Row[] {
    return this.#statements[name].all(...values) as Row[]
  }
}
