// The default storage: records in SQLite, bytes in plain files.

import { existsSync, statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join, relative, resolve, sep } from 'node:path'
import { type Checks, callback, checkOptions, oneOf, text } from '../../check-options.js'
import type { NewUpload, Upload } from '../../upload.js'
import { bootId } from '../boot-id.js'
import { CombinedStorage } from '../combined-storage.js'
import { FileBlobs } from '../files/file-blobs.js'
import { makeFolder } from '../files/folders.js'
import type { Awaitable, CreateResult } from '../storage.js'
import { BatchedRecords } from './batched-records.js'
import { SQLITE_DRIVERS, type SQLiteDriver } from './driver.js'
import { SQLiteRecords } from './sqlite-records.js'

/** The folder below the directory that holds everything but finished files. */
const STATE_FOLDER = '.resumable-upload'

/** Options of {@link SQLiteStorage}. */
export interface SQLiteStorageOptions {
  /**
   * The folder of the uploads; it is made if it is missing. Finished files lie in it under their names, all else
   * (records, unfinished bytes) below its subfolder `.resumable-upload`. All on one local file system.
   * @default './uploads'
   */
  readonly directory?: string | undefined
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

/** The checks of all options; {@link Checks} says how to add one. */
const CHECKS: Checks<SQLiteStorageOptions> = {
  directory: text,
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
   * @throws Error if there is no SQLite driver, if the directory can't be written to, or if a later version of this
   * package has written to it
   * @throws TypeError if an option is unknown, or can't be what it says
   */
  constructor(options: SQLiteStorageOptions = {}) {
    const {
      directory = './uploads',
      driver,
      now = Date.now,
      boot = bootId(),
    } = checkOptions('SQLiteStorage', options, CHECKS, { aliases: ALIASES })
    const root = resolve(directory)
    const state = join(root, STATE_FOLDER)
    const meetingPoint = join(state, 'processes')
    const blobs = new FileBlobs({ directory: root, partsDirectory: join(state, 'parts') })
    makeFolder(meetingPoint)
    const records = new SQLiteRecords({ path: join(state, 'uploads.sqlite'), driver, now, boot })
    records.recover((file, bytes, anew) => blobs.restore(file, bytes, anew))
    super(new BatchedRecords(records), blobs, now)
    this.directory = root
    this.meetingPoint = meetingPoint
  }

  /**
   * {@inheritDoc Storage.create}
   * @throws TypeError if the name does not lie below the directory, or is no plain one (`a/../b`)
   */
  override create(upload: NewUpload): Awaitable<CreateResult> {
    // A name that is the id is neither: ids have no characters that mean something in a path, and are hardly guessed.
    if (upload.name !== upload.id) {
      this.#assertInside(upload.name)
      if (existsSync(this.pathOf(upload)) || this.#isBelowFile(upload.name)) return 'exists'
    }
    return super.create(upload)
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

  /** Whether a file has the name of one of the folders that a name needs. */
  #isBelowFile(name: string): boolean {
    const parts = name.split(sep)
    for (let depth = 1; depth < parts.length; depth++) {
      const found = statSync(join(this.directory, ...parts.slice(0, depth)), { throwIfNoEntry: false })
      if (!found?.isDirectory()) return found !== undefined
    }
    return false
  }

  #assertInside(name: string): void {
    const plain = relative(this.directory, join(this.directory, name))
    const first = plain.split(sep)[0]
    if (plain === name && first !== '' && first !== '..' && first !== STATE_FOLDER && !name.includes('\0')) return
    throw new TypeError(`SQLiteStorage: ${JSON.stringify(name)} is no name for a file below the directory`)
  }
}
