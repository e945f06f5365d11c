// The default storage: records in SQLite, bytes in plain files.

import { existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type Checks, callback, checkOptions, oneOf, text } from '../../check-options.js'
import type { NewUpload, Upload } from '../../upload.js'
import { bootId } from '../boot-id.js'
import { CombinedStorage } from '../combined-storage.js'
import { inTheWay, namesAbove, STATE_FOLDER, whyBadName } from '../file-names.js'
import { ensureFile, ensureFolder, warnOfNetworkFileSystem } from '../files/check-directory.js'
import { FileBlobs } from '../files/file-blobs.js'
import { identityOf, statPath } from '../files/file-identity.js'
import type { Awaitable, CreateResult } from '../storage.js'
import { BatchedRecords } from './batched-records.js'
import { SQLITE_DRIVERS, type SQLiteDriver } from './driver.js'
import { SQLiteRecords } from './sqlite-records.js'

/** By default only the user of the server reads what is not finished, and what the records say. */
const STATE_MODE = 0o700
/** A file has no right to be entered. */
const FILE_RIGHTS = 0o666

/** Options of {@link SQLiteStorage}. */
export interface SQLiteStorageOptions {
  /**
   * The folder of the uploads; it is made if it is missing. Finished files lie in it under their names, all else
   * (records, unfinished bytes) below its subfolder `.resumable-upload`. All on one local file system.
   * @default './uploads'
   */
  readonly directory?: string | undefined
  /**
   * The mode of finished files: `0o640`, say.
   * @default 0o666 without the bits of the umask
   */
  readonly fileMode?: number | undefined
  /**
   * The mode of the folders that names of finished files need (`a` of `a/b`), and of `directory` if it is made:
   * `0o750`, say.
   * @default 0o777 without the bits of the umask
   */
  readonly directoryMode?: number | undefined
  /**
   * The mode of the subfolder `.resumable-upload`: records and unfinished bytes. `0o770` lets servers of several users
   * of a group share the directory; they need `fileMode: 0o660` as well.
   * @default 0o700: only the user of the server
   */
  readonly stateMode?: number | undefined
  /**
   * The SQLite driver.
   * @default `node:sqlite` where Node has it (22.13 and later), else `better-sqlite3`
   */
  readonly driver?: SQLiteDriver | undefined
  /**
   * The clock, in milliseconds since the epoch; for tests.
   * @default Date.now
   */
  readonly now?: (() => number) | undefined
  /**
   * Names the present run of the operating system: what was not synced in another one may be lost; for tests.
   * @default Linux's boot id; elsewhere the time of the start
   */
  readonly boot?: string | undefined
}

/** The rights of a file or folder. `0o750`, not `750`, which is another number. */
function mode(value: unknown): string | undefined {
  const isMode = Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0o777
  return isMode ? undefined : 'a number from 0 to 0o777, such as 0o750'
}

/** The checks of all options; {@link Checks} says how to add one. */
const CHECKS: Checks<SQLiteStorageOptions> = {
  directory: text,
  fileMode: mode,
  directoryMode: mode,
  stateMode: mode,
  driver: oneOf(...SQLITE_DRIVERS),
  now: callback,
  boot: text,
}

/** What other packages call them. */
const ALIASES: Readonly<Record<string, string>> = {
  path: 'directory',
  folder: 'directory',
  dest: 'directory',
  dir: 'directory',
  file: 'directory',
}

/**
 * Records in a SQLite database, bytes in one plain file per upload. Several processes of one host may share a
 * directory, with nothing to configure.
 */
export class SQLiteStorage extends CombinedStorage {
  /** The absolute path of the folder of finished files. */
  readonly directory: string
  /** Where processes that share the directory tell each other to let go of an upload. */
  readonly meetingPoint: string

  /**
   * @param options - where to keep uploads
   * @throws Error if there is no SQLite driver, if the directory can't be written to (with path, cause and remedy), or
   *   if a later version of this package has written to it
   * @throws TypeError if an option is unknown, or can't be what it says
   */
  constructor(options: SQLiteStorageOptions = {}) {
    const {
      directory = './uploads',
      fileMode,
      directoryMode,
      stateMode = STATE_MODE,
      driver,
      now = Date.now,
      boot = bootId(),
    } = checkOptions('SQLiteStorage', options, CHECKS, { aliases: ALIASES })
    const root = resolve(directory)
    const state = join(root, STATE_FOLDER)
    const path = join(state, 'uploads.sqlite')
    const meetingPoint = join(state, 'processes')
    ensureFolder(root, existsSync(root) ? undefined : directoryMode)
    ensureFolder(state, stateMode)
    ensureFolder(join(state, 'parts'), stateMode)
    ensureFolder(meetingPoint, stateMode)
    ensureFile(path, stateMode & FILE_RIGHTS)
    warnOfNetworkFileSystem(root)
    const blobs = new FileBlobs({ directory: root, partsDirectory: join(state, 'parts'), fileMode, directoryMode })
    const records = new SQLiteRecords({ path, driver, now, boot, foldsNames: foldsNames(root) })
    // A backup may come back into the same folder: then the database is another file, as all others are.
    records.adopt([state, path].map((each) => identityAt(each)).join(' '))
    records.recover((file, bytes, anew) => blobs.restore(file, bytes, anew))
    super(new BatchedRecords(records), blobs, now)
    this.directory = root
    this.meetingPoint = meetingPoint
  }

  /**
   * {@inheritDoc Storage.create}
   */
  override create(upload: NewUpload): Awaitable<CreateResult> {
    // A name that is the id is neither taken nor below a file: it has no folders, and is hardly guessed.
    return (upload.name === upload.id ? undefined : this.#whyTaken(upload)) ?? super.create(upload)
  }

  /** How many bytes the file system of the directory has left for this process. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.directory)
    return bavail * bsize
  }

  /** The absolute path of an upload's finished file. There is no file there before the upload is complete. */
  pathOf(upload: Pick<Upload, 'name'>): string {
    return join(this.directory, upload.name)
  }

  /** What lies in the directory and keeps a file from its name. */
  #whyTaken({ name, overwrite = false }: NewUpload): CreateResult | undefined {
    if (whyBadName(name) !== undefined) return undefined
    const found = statPath(join(this.directory, name))
    if (found !== undefined && !(overwrite && found.isFile())) return 'exists'
    const above = namesAbove(name).find((folder) => isFile(join(this.directory, folder)))
    return above === undefined ? undefined : inTheWay(name, above)
  }
}

function identityAt(path: string): string {
  const found = statPath(path)
  return found === undefined ? '' : identityOf(found)
}

function isFile(path: string): boolean {
  return statPath(path)?.isFile() ?? false
}

/** Whether the file system of a directory ignores case in names. */
function foldsNames(root: string): boolean {
  const [one, other] = [STATE_FOLDER, STATE_FOLDER.toUpperCase()].map((name) => statPath(join(root, name)))
  return one !== undefined && other !== undefined && one.ino === other.ino
}
