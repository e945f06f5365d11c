// Fills a store with uploads, past the server: a million of them would take it too long.

import { randomBytes } from 'node:crypto'
import { closeSync, copyFileSync, mkdirSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { SQLiteStorage } from 'resumable-upload'

const STATE_FOLDER = '.resumable-upload'
const FINISHED_OF_TEN = 9
const EXPIRED_BYTES = 4096
const DAY_MS = 24 * 60 * 60_000
/** Over so long a time the uploads came in. */
const PAST_MS = 30 * DAY_MS
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
    'INSERT INTO uploads (id, length, offset, metadata, created_at, active_at, complete) VALUES (?, ?, ?, ?, ?, ?, ?)',
  )
  const now = Date.now()
  const unfinished: string[] = []
  for (let upload = 0; upload < uploads; upload++) {
    const createdAt = Math.floor(now - PAST_MS * (1 - upload / uploads))
    const id = idOf(createdAt)
    // Of every age, so that those are asked for that lie far from each other.
    const finished = upload % 10 < FINISHED_OF_TEN
    insert.run(id, 1024, finished ? 1024 : 0, METADATA, createdAt, finished ? createdAt : now, finished ? 1 : 0)
    closeSync(openSync(join(finished ? folder : parts, id), 'w'))
    if (!finished) unfinished.push(id)
  }
  const bytes = randomBytes(EXPIRED_BYTES)
  for (let upload = 0; upload < expired; upload++) {
    const id = idOf(now - DAY_MS)
    insert.run(id, 2 * EXPIRED_BYTES, EXPIRED_BYTES, METADATA, now - DAY_MS, now - DAY_MS - 1 - upload, 0)
    writeFileSync(join(parts, id), bytes)
  }
  database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)')
  database.close()
  return unfinished
}

/**
 * Keeps a store as it is now, for measurements that must not find what others have left there: a killed server leaves work
 * to the next one.
 * @returns what brings it back to that
 */
export function keepStore(folder: string): () => void {
  const database = join(folder, STATE_FOLDER, 'uploads.sqlite')
  const kept = `${database}.kept`
  copyFileSync(database, kept)
  const last = idOf(Date.now())
  return () => {
    for (const name of ['-wal', '-shm']) rmSync(`${database}${name}`, { force: true })
    copyFileSync(kept, database)
    // Ids begin with the time, so later uploads have later ones.
    for (const place of [folder, join(folder, STATE_FOLDER, 'parts')]) {
      for (const id of readdirSync(place)) if (id > last) rmSync(join(place, id), { force: true })
    }
  }
}

/** An id as the server makes them. */
function idOf(createdAtMs: number): string {
  const seconds = Math.floor(createdAtMs / 1000)
  return seconds.toString(16).padStart(8, '0') + randomBytes(16).toString('hex')
}

function openDatabase(path: string): Database {
  const load = createRequire(import.meta.url)
  const major = Number(process.versions.node.split('.')[0])
  if (major >= 22)
    return new (load('node:sqlite') as { DatabaseSync: new (path: string) => Database }).DatabaseSync(path)
  return new (load('better-sqlite3') as new (path: string) => Database)(path)
}
