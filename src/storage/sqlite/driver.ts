// SQLite by whichever driver this Node has: its own `node:sqlite`, or the package `better-sqlite3`.

import { dirname, isAbsolute, join } from 'node:path'
import { here } from '../../here.cjs'

/** A value that can be bound to a statement. */
export type Bindable = string | number | Uint8Array | null

/** A prepared statement. */
export interface Statement {
  run(...values: Bindable[]): { readonly changes: number | bigint }
  get(...values: Bindable[]): unknown
  all(...values: Bindable[]): unknown[]
}

/** The oldest version of `better-sqlite3` that is known to work. */
const MIN_BETTER_SQLITE = 11

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

/** The code of an error that says why a driver which is there can't be used. */
const UNUSABLE = 'ERR_UNUSABLE_DRIVER'

/**
 * Where the package `better-sqlite3` is looked for, in this order: from this package; from the program, since a bundle
 * is its own place; from the working directory, since a package that is linked in does not see the application's
 * modules.
 */
export const MODULE_FOLDERS: readonly string[] = [here, dirname(process.argv[1] ?? ''), process.cwd()].filter(
  (folder): folder is string => folder !== undefined && isAbsolute(folder),
)

/**
 * Opens a database.
 * @param path - the file, made if it is missing
 * @param driver - which driver to use; the first that is there, if not given
 * @param folders - where `better-sqlite3` is looked for
 * @throws Error if there is no driver, with the command that mends it
 */
export function openDatabase(path: string, driver?: SQLiteDriver, folders = MODULE_FOLDERS): Database {
  let cause: unknown
  for (const name of driver === undefined ? SQLITE_DRIVERS : [driver]) {
    let Driver: OpenDatabase
    try {
      Driver = load(name, folders)
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
    load(driver, MODULE_FOLDERS)
    return true
  } catch {
    return false
  }
}

/** @throws whatever keeps the driver from being used here */
function load(driver: SQLiteDriver, folders: readonly string[]): OpenDatabase {
  if (driver === 'node:sqlite') {
    // No bundler mistakes this for a package, as it might a require().
    const sqlite = withoutExperimentalWarning(() => process.getBuiltinModule('node:sqlite'))
    if (sqlite === undefined) throw new Error('No such built-in module: node:sqlite')
    return (sqlite as { DatabaseSync: OpenDatabase }).DatabaseSync
  }
  const BetterSQLite = requireBetterSQLite(folders) as OpenDatabase
  // It loads its native half with the first database, and not before.
  new BetterSQLite(':memory:').close()
  return BetterSQLite
}

function requireBetterSQLite(folders: readonly string[]): unknown {
  let missing: unknown
  for (const folder of folders) {
    // `createRequire` is not imported: in front of the ES module that esbuild makes there is often another import of
    // it.
    const requireFrom = process.getBuiltinModule('node:module').createRequire(join(folder, 'index.js'))
    try {
      assertUsable(requireFrom('better-sqlite3/package.json') as PackageJSON)
      return requireFrom('better-sqlite3')
    } catch (error) {
      if (!isMissing(error)) throw error
      missing = error
    }
  }
  throw missing
}

interface PackageJSON {
  readonly version: string
  readonly engines?: { readonly node?: string }
}

/** A version that is made for later Nodes only may end the process when it is loaded, instead of throwing. */
function assertUsable({ version, engines }: PackageJSON): void {
  const { node } = process.versions
  const wanted = (engines?.node ?? '')
    .split('||')
    .map((range) => Number(/^\s*(?:>=|\^|~)?\s*(\d+)/.exec(range)?.[1] ?? 0))
  const first = Math.min(...wanted)
  if (Number.parseInt(node, 10) < first) {
    throw unusable(`better-sqlite3 ${version} needs Node ${first} or later, this is Node ${node}`)
  }
  if (Number.parseInt(version, 10) < MIN_BETTER_SQLITE) {
    throw unusable(`better-sqlite3 ${version} is older than ${MIN_BETTER_SQLITE}`)
  }
}

function unusable(message: string): Error {
  return Object.assign(new Error(message), { code: UNUSABLE })
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  // The second is Yarn's Plug'n'Play, where nobody has declared it.
  return code === 'MODULE_NOT_FOUND' || code === 'UNDECLARED_DEPENDENCY'
}

function missingDriver(driver: SQLiteDriver | undefined, cause: unknown): string {
  const node = process.versions.node
  if (driver === 'node:sqlite') return `SQLiteStorage: Node ${node} has no node:sqlite (22.13 and later do)`
  if ((cause as NodeJS.ErrnoException).code === UNUSABLE) {
    return `SQLiteStorage: ${(cause as Error).message}. Run: npm install better-sqlite3@12; Node 22.13 and later need none`
  }
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
