// What lies on the disk after a kill, looked at before anybody starts again: records against bytes.
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseUploadMetadata } from '../../src/index.js'
import type { StoredUpload } from '../../src/storage/parts.js'
import { isFile } from '../../src/storage/pieces.js'
import { type Database, openDatabase } from '../../src/storage/sqlite/driver.js'
import { RECORD, type Row, uploadOf } from '../../src/storage/sqlite/row.js'
import { IS_SETTLED, IS_UNFINISHED, prepareDatabase, SCHEMA_VERSION } from '../../src/storage/sqlite/schema.js'
import { isPartial } from '../../src/upload.js'
import { tempFolder } from '../storage/support/temp-folder.js'

const STATE = '.resumable-upload'

/** A record, and whether it was buried. */
export type StoredRecord = StoredUpload & { readonly buried: boolean }

/** All that a directory holds. */
export interface DiskState {
  readonly directory: string
  /** The version of the database. */
  readonly version: number
  readonly records: readonly StoredRecord[]
  /** How many rows the other tables have. */
  readonly rows: Readonly<Record<'waiting' | 'sharing' | 'tombstones', number>>
  /** The names of unfinished files. */
  readonly parts: readonly string[]
  /** The names of finished files. */
  readonly files: readonly string[]
}

/** Reads the state of a directory out of a copy of its database, so that nothing is mended by looking at it. */
export function readDisk(directory: string): DiskState {
  const copy = join(tempFolder(), 'copy.sqlite')
  for (const suffix of ['', '-wal']) {
    const original = join(directory, STATE, `uploads.sqlite${suffix}`)
    if (existsSync(original)) copyFileSync(original, `${copy}${suffix}`)
  }
  const database = openDatabase(copy)
  try {
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as { user_version: number }
    prepareDatabase(database)
    const rows = database.prepare(`SELECT buried, ${RECORD} FROM uploads`).all() as (Row & { buried: number })[]
    return {
      directory,
      version,
      records: rows.map((row) => ({ ...uploadOf(row, ''), buried: row.buried !== 0 })),
      rows: {
        waiting: countOf(database, 'waiting'),
        sharing: countOf(database, 'sharing'),
        tombstones: countOf(database, 'tombstones'),
      },
      parts: readdirSync(join(directory, STATE, 'parts')),
      files: readdirSync(directory).filter((name) => name !== STATE),
    }
  } finally {
    database.close()
    for (const suffix of ['', '-wal', '-shm']) rmSync(`${copy}${suffix}`, { force: true })
  }
}

function countOf(database: Database, table: string): number {
  return (database.prepare(`SELECT count(*) AS rows FROM ${table}`).get() as { rows: number }).rows
}

/** The value that the tests' clients name their contents by. */
export function contentOf({ metadata }: StoredUpload): string {
  return parseUploadMetadata(metadata ?? '')?.content ?? ''
}

/**
 * The bytes of an upload up to its offset, out of its pieces or its file.
 * @throws Error if fewer bytes are there
 */
export function storedBytes(directory: string, upload: StoredUpload): Buffer {
  const parts: Buffer[] = []
  for (const [index, { start, blob }] of upload.pieces.entries()) {
    const size = Math.min(upload.offset, upload.pieces[index + 1]?.start ?? upload.offset) - start
    if (size <= 0) continue
    const path = join(directory, STATE, 'parts', blob)
    // The file gets its name after the record says that it is complete.
    const placed = isFile(upload) && !existsSync(path)
    const bytes = existsSync(path) || placed ? readFileSync(placed ? join(directory, upload.name) : path) : undefined
    if (bytes === undefined || bytes.length < size) {
      throw new Error(`${upload.id} is at ${upload.offset}, and ${blob} has ${bytes?.length} bytes instead of ${size}`)
    }
    parts.push(bytes.subarray(0, size))
  }
  return Buffer.concat(parts)
}

/** Whether nothing but finished uploads is left: each with its file, none with anything else. */
export function remains(state: DiskState): string[] {
  const found: string[] = []
  const { records, rows, parts, files } = state
  for (const record of records) {
    const { id, complete, buried, completion } = record
    if (buried || !complete || isPartial(record)) found.push(`the record ${JSON.stringify(record)}`)
    else if (!files.includes(record.name)) found.push(`${id} without a file`)
    if (completion?.settled === false) found.push(`the completion of ${id}`)
  }
  for (const table of ['waiting', 'sharing'] as const)
    if (rows[table] > 0) found.push(`${rows[table]} rows of ${table}`)
  found.push(...parts.map((part) => `the part ${part}`))
  const names = new Set(records.map(({ name }) => name))
  found.push(...files.filter((file) => !names.has(file)).map((file) => `the file ${file}`))
  return found
}

/** Makes of a database of this version one of a former version, as far as unfinished uploads have anything to lose. */
export function downgrade(directory: string, version: number): void {
  if (LATER.length !== SCHEMA_VERSION - 1) throw new Error('what the newest version has added is missing below')
  const database = openDatabase(join(directory, STATE, 'uploads.sqlite'))
  try {
    for (let from = LATER.length + 1; from > version; from--) database.exec(LATER[from - 2] ?? '')
    database.exec(`PRAGMA user_version = ${version}`)
  } finally {
    database.close()
  }
}

/** What each version has added to the one before, taken away again. */
const LATER: readonly string[] = [
  `DROP INDEX uploads_by_expiry; DROP TABLE tombstones; DROP TABLE leases;
   ALTER TABLE uploads DROP COLUMN attributes;`,
  `DROP INDEX uploads_due; DROP TABLE waiting; DROP TABLE sharing;
   ${['concat', 'due_at', 'attempt', 'worker', 'result'].map((name) => `ALTER TABLE uploads DROP COLUMN ${name};`).join(' ')}`,
  'ALTER TABLE uploads DROP COLUMN synced; ALTER TABLE uploads DROP COLUMN boot;',
  'DROP TABLE journal;',
  `DROP INDEX uploads_due; ALTER TABLE uploads DROP COLUMN step;
   CREATE INDEX uploads_due ON uploads (due_at) WHERE due_at IS NOT NULL;`,
  `DROP INDEX uploads_unfinished; DROP INDEX uploads_finished; ALTER TABLE uploads DROP COLUMN active_at;
   ALTER TABLE uploads ADD COLUMN expires_at INTEGER;
   CREATE INDEX uploads_by_expiry ON uploads (expires_at) WHERE expires_at IS NOT NULL AND buried = 0;`,
  `DROP INDEX uploads_by_name_key; DROP INDEX uploads_unpublished; DROP TABLE place;
   ${['name_key', 'overwrite', 'file', 'published', 'publish_at'].map((name) => `ALTER TABLE uploads DROP COLUMN ${name};`).join(' ')}
   CREATE UNIQUE INDEX uploads_by_name ON uploads (name) WHERE name IS NOT NULL;`,
  'DROP INDEX uploads_ready; ALTER TABLE uploads DROP COLUMN waits_for;',
  `DROP INDEX uploads_unfinished; DROP INDEX uploads_finished;
   CREATE INDEX uploads_unfinished ON uploads (active_at) WHERE buried = 0 AND ${IS_UNFINISHED};
   CREATE INDEX uploads_finished ON uploads (active_at) WHERE buried = 0 AND ${IS_SETTLED};`,
  `DROP INDEX IF EXISTS uploads_unfinished; DROP INDEX IF EXISTS uploads_finished;
   CREATE INDEX uploads_unfinished ON uploads (created_at) WHERE buried = 0 AND ${IS_UNFINISHED};
   CREATE INDEX uploads_finished ON uploads (created_at) WHERE buried = 0 AND ${IS_SETTLED};`,
]
