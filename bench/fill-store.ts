// Fills a store with uploads, past the server: a million of them would take it too long.

import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { SQLiteStorage } from 'resumable-upload'

const STATE_FOLDER = '.resumable-upload'
const FINISHED_SHARE = 0.9
const EXPIRED_BYTES = 4096
const METADATA = `filename ${Buffer.from('file.bin').toString('base64')}`

/** How many uploads to put into a store. */
export interface Filling {
  readonly uploads: number
  /** How many more there are whose time is over. They have a file of some bytes each. */
  readonly expired: number
}

interface Statement {
  run(...values: (string | number | null)[]): unknown
}

interface Database {
  exec(sql: string): void
  prepare(sql: string): Statement
  close(): void
}

/**
 * Makes the folder of a server that has been in use: nine of ten uploads are finished, each has its (empty) file.
 * @returns the ids of some unfinished ones
 */
export async function fillStore(folder: string, { uploads, expired }: Filling): Promise<readonly string[]> {
  // Makes the tables and folders.
  await new SQLiteStorage({ directory: folder }).close()
  const state = join(folder, STATE_FOLDER)
  const parts = join(state, 'parts')
  mkdirSync(parts, { recursive: true })
  const database = openDatabase(join(state, 'uploads.sqlite'))
  database.exec('PRAGMA cache_size = -1000000; PRAGMA synchronous = OFF; BEGIN')
  const insert = database.prepare(
    'INSERT INTO uploads (id, length, offset, metadata, created_at, expires_at, complete) VALUES (?, ?, ?, ?, ?, ?, ?)',
  )
  const now = Date.now()
  const day = 24 * 60 * 60_000
  const unfinished: string[] = []
  for (let upload = 0; upload < uploads; upload++) {
    const id = randomBytes(16).toString('hex')
    const finished = upload < uploads * FINISHED_SHARE
    insert.run(id, 1024, finished ? 1024 : 0, METADATA, now, finished ? null : now + day, finished ? 1 : 0)
    closeSync(openSync(join(finished ? folder : parts, id), 'w'))
    if (!finished) unfinished.push(id)
  }
  const bytes = randomBytes(EXPIRED_BYTES)
  for (let upload = 0; upload < expired; upload++) {
    const id = randomBytes(16).toString('hex')
    insert.run(id, 2 * EXPIRED_BYTES, EXPIRED_BYTES, METADATA, now - day, now - 1 - upload, 0)
    writeFileSync(join(parts, id), bytes)
  }
  database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)')
  database.close()
  return unfinished
}

function openDatabase(path: string): Database {
  const load = createRequire(import.meta.url)
  const major = Number(process.versions.node.split('.')[0])
  if (major >= 22)
    return new (load('node:sqlite') as { DatabaseSync: new (path: string) => Database }).DatabaseSync(path)
  return new (load('better-sqlite3') as new (path: string) => Database)(path)
}
