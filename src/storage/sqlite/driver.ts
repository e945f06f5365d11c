// SQLite by whichever driver this Node has: its own `node:sqlite`, or the package `better-sqlite3`.

import { createRequire } from 'node:module'
import { join } from 'node:path'
import { here } from '../../here.cjs'

/** A value that can be bound to a statement. */
export type Bindable = string | number | Uint8Array | null

/** A prepared statement. */
export interface Statement {
  run(...values: Bindable[]): { readonly changes: number | bigint }
  get(...values: Bindable[]): unknown
  all(...values: Bindable[]): unknown[]
}

/** What both drivers have in common. */
export interface Database {
  exec(sql: string): void
  prepare(sql: string): Statement
  close(): void
}

/** The drivers, the preferred one first. */
export const SQLITE_DRIVERS = ['node:sqlite', 'better-sqlite3'] as const

/** The name of a driver. */
export type SQLiteDriver = (typeof SQLITE_DRIVERS)[number]

type OpenDatabase = new (path: string) => Database

const requireHere = createRequire(join(here, 'index.js'))

/**
 * Opens a database.
 * @param path - the file, made if it is missing
 * @param driver - which driver to use; the first that is there, if not given
 * @throws Error if there is no driver, with the command that mends it
 */
export function openDatabase(path: string, driver?: SQLiteDriver): Database {
  let cause: unknown
  for (const name of driver === undefined ? SQLITE_DRIVERS : [driver]) {
    let Driver: OpenDatabase
    try {
      Driver = load(name)
    } catch (error) {
      cause = error
      continue
    }
    return new Driver(path)
  }
  throw new Error(missingDriver(driver, cause), { cause })
}

const CODES = { SQLITE_BUSY: 5, SQLITE_FULL: 13 } as const
/** Of an extended code, what is left of it in this is the code. */
const PRIMARY_CODE = 0xff

/** Whether an error says that another connection has the database. */
export function isBusy(error: unknown): boolean {
  return isOf(error, 'SQLITE_BUSY')
}

/** Whether an error says that there is no space on the disk. */
export function isFull(error: unknown): boolean {
  return isOf(error, 'SQLITE_FULL')
}

function isOf(error: unknown, name: keyof typeof CODES): boolean {
  const { code, errcode } = error as { readonly code?: unknown; readonly errcode?: unknown }
  if (typeof errcode === 'number') return (errcode & PRIMARY_CODE) === CODES[name]
  return typeof code === 'string' && code.startsWith(name)
}

/** Whether a driver can be loaded here. */
export function hasDriver(driver: SQLiteDriver): boolean {
  try {
    load(driver)
    return true
  } catch {
    return false
  }
}

/** @throws whatever keeps the driver from being used here */
function load(driver: SQLiteDriver): OpenDatabase {
  if (driver === 'node:sqlite') {
    return withoutExperimentalWarning(() => requireHere('node:sqlite') as { DatabaseSync: OpenDatabase }).DatabaseSync
  }
  const BetterSQLite = requireBetterSQLite() as OpenDatabase
  // It loads its native half with the first database, and not before.
  new BetterSQLite(':memory:').close()
  return BetterSQLite
}

function requireBetterSQLite(): unknown {
  try {
    return requireHere('better-sqlite3')
  } catch (error) {
    // A package that is linked in does not see the application's own modules; the application's folder does.
    if (!isMissing(error)) throw error
    return createRequire(join(process.cwd(), 'index.js'))('better-sqlite3')
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'MODULE_NOT_FOUND'
}

function missingDriver(driver: SQLiteDriver | undefined, cause: unknown): string {
  const node = process.versions.node
  if (driver === 'node:sqlite') return `SQLiteStorage: Node ${node} has no node:sqlite (22.13 and later do)`
  if (!isMissing(cause)) {
    return `SQLiteStorage: better-sqlite3 is installed, but does not load in Node ${node}. Run: npm rebuild better-sqlite3`
  }
  return (
    'SQLiteStorage: no SQLite driver. Node 22.13 and later bring their own; ' +
    `for Node ${node} run: npm install better-sqlite3@12`
  )
}

/** Node 22 warns that `node:sqlite` is experimental when it is loaded; what we use of it is stable. */
function withoutExperimentalWarning<T>(action: () => T): T {
  const { emitWarning } = process
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    if (!String(warning).includes('SQLite')) Reflect.apply(emitWarning, process, [warning, ...rest])
  }) as typeof process.emitWarning
  try {
    return action()
  } finally {
    process.emitWarning = emitWarning
  }
}
