// Records in SQLite. Every operation is one statement, so nothing here can be left half done.

import { close, fsync, open } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import type { Holder, NewUpload, Tombstone } from '../../upload.js'
import { syncFolder } from '../files/folders.js'
import type { Piece, RecordCommit, Records, StoredUpload } from '../parts.js'
import { firstPieces, piecesAfterTakeover } from '../pieces.js'
import { sharedSync } from '../shared-sync.js'
import type { ClaimRequest, ClaimResult, CommitResult } from '../storage.js'
import { Checkpointer } from './checkpointer.js'
import { type Bindable, type Database, openDatabase, type SQLiteDriver, type Statement } from './driver.js'
import { prepareDatabase } from './schema.js'

const openAsync = promisify(open)
const closeAsync = promisify(close)
const fsyncAsync = promisify(fsync)

interface Row {
  id: string
  name: string | null
  length: number | null
  offset: number
  metadata: string | null
  created_at: number
  expires_at: number | null
  complete: number
  fence: number
  owner: string | null
  lease_until: number
  pieces: string | null
  attributes: string | null
}

const COLUMNS =
  'id, name, length, offset, metadata, created_at, expires_at, complete, fence, owner, lease_until, pieces, attributes'

const SQL = {
  // A name must be no other upload's id either: that is the name of the file of an upload that has no other.
  create: `INSERT INTO uploads (id, name, length, metadata, created_at, expires_at, attributes, fence)
    SELECT ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM uploads WHERE id = ?)
      AND NOT EXISTS (SELECT 1 FROM uploads WHERE name = ?)
    ON CONFLICT DO NOTHING`,
  get: `SELECT ${COLUMNS} FROM uploads WHERE id = ? AND buried = 0`,
  claim: `UPDATE uploads SET fence = fence + 1, owner = ?, lease_until = ?
    WHERE id = ? AND buried = 0 AND (owner IS NULL OR owner = ?) RETURNING ${COLUMNS}`,
  takeOver: `UPDATE uploads SET fence = fence + 1, owner = ?, lease_until = ?, pieces = ?
    WHERE id = ? AND buried = 0 AND fence = ? AND offset = ? AND complete = ? AND pieces IS ? AND lease_until <= ?
    RETURNING ${COLUMNS}`,
  renew: 'UPDATE uploads SET lease_until = ? WHERE id = ? AND fence = ? AND owner IS NOT NULL',
  release: 'UPDATE uploads SET owner = NULL WHERE id = ? AND fence = ? AND owner IS NOT NULL',
  commit: `UPDATE uploads SET offset = ?, length = coalesce(?, length), expires_at = iif(?, ?, expires_at),
      complete = ?, owner = iif(?, NULL, owner), pieces = coalesce(?, pieces)
    WHERE id = ? AND buried = 0 AND fence = ? AND offset = ? AND complete = 0 AND owner IS NOT NULL`,
  bury: `UPDATE uploads SET buried = 1 WHERE id = ? AND buried = 0 AND fence = ? AND owner IS NOT NULL
    RETURNING ${COLUMNS}`,
  forget: 'DELETE FROM uploads WHERE id = ? AND buried = 1',
  keep: 'INSERT OR REPLACE INTO tombstones (id, status, until) VALUES (?, ?, ?)',
  tombstone: 'SELECT status, until FROM tombstones WHERE id = ? AND until > ?',
  dropTombstones: 'DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones WHERE until <= ? LIMIT ?)',
  expired: `SELECT id FROM uploads WHERE expires_at <= ? AND expires_at IS NOT NULL AND buried = 0
    ORDER BY expires_at LIMIT ?`,
  lease: `INSERT INTO leases (name, owner, until) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
      WHERE leases.owner = excluded.owner OR leases.until <= ?`,
  buried: `SELECT ${COLUMNS} FROM uploads WHERE buried = 1 LIMIT ?`,
} as const

/** What {@link SQLiteRecords} needs. */
export interface SQLiteRecordsOptions {
  /** The database file. */
  readonly path: string
  /** The driver; the first that is there, if not given. */
  readonly driver?: SQLiteDriver | undefined
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** Keeps records in a SQLite database. */
export class SQLiteRecords implements Records {
  readonly #database: Database
  readonly #now: () => number
  readonly #statements: Readonly<Record<keyof typeof SQL, Statement>>
  readonly #checkpointer: Checkpointer
  readonly #walPath: string
  #walDescriptor: Promise<number> | undefined
  readonly sync = sharedSync(async () => fsyncAsync(await this.#openWal()))

  /**
   * @param options - the database
   * @throws Error if there is no driver, or the database is of a later version
   */
  constructor({ path, driver, now }: SQLiteRecordsOptions) {
    this.#now = now
    this.#walPath = `${path}-wal`
    this.#database = openDatabase(path, driver)
    try {
      prepareDatabase(this.#database)
      this.#statements = Object.fromEntries(
        Object.entries(SQL).map(([name, sql]) => [name, this.#database.prepare(sql)]),
      ) as Record<keyof typeof SQL, Statement>
    } catch (error) {
      this.#database.close()
      throw error
    }
    this.#checkpointer = new Checkpointer({ path, driver, onFailure: () => this.#checkpointHere() })
  }

  create(upload: NewUpload): 'created' | 'exists' {
    const name = upload.name === upload.id ? null : upload.name
    const { id, length, metadata, createdAtMs, expiresAtMs } = upload
    const attributes = upload.attributes ? JSON.stringify(upload.attributes) : null
    // Time goes on, so an id that is used again begins with a fence beyond all that its former upload had.
    const values = [
      id,
      name,
      length ?? null,
      metadata ?? null,
      createdAtMs,
      expiresAtMs ?? null,
      attributes,
      this.#now(),
    ]
    return this.#write('create', ...values, name, id) ? 'created' : 'exists'
  }

  get(id: string): StoredUpload | undefined {
    const row = this.#statements.get.get(id)
    return row ? uploadOf(row as Row) : undefined
  }

  claim(id: string, { owner, ttlMs, dead }: ClaimRequest): ClaimResult {
    // Another process may have changed the record between two of these statements: then again, with what it is now.
    for (;;) {
      const now = this.#now()
      const row = this.#change('claim', owner, now + ttlMs, id, dead ?? null)
      if (row) return { upload: uploadOf(row), fence: row.fence }
      const current = this.#statements.get.get(id) as Row | undefined
      if (!current) return undefined
      const upload = uploadOf(current)
      if (upload.holder && upload.holder.leaseUntilMs > now) return { heldBy: upload.holder }
      if (!upload.holder) continue
      const pieces = JSON.stringify(piecesAfterTakeover(upload, current.fence + 1))
      const known = [id, current.fence, current.offset, current.complete, current.pieces]
      const taken = this.#change('takeOver', owner, now + ttlMs, pieces, ...known, now)
      if (taken) return { upload: uploadOf(taken), fence: taken.fence }
    }
  }

  renew(id: string, fence: number, ttlMs: number): boolean {
    return this.#write('renew', this.#now() + ttlMs, id, fence)
  }

  release(id: string, fence: number): void {
    this.#write('release', id, fence)
  }

  commit(id: string, fence: number, commit: RecordCommit): CommitResult {
    const done = this.#write(
      'commit',
      commit.to,
      commit.length ?? null,
      commit.expiresAtMs === undefined ? 0 : 1,
      commit.expiresAtMs ?? null,
      commit.complete ? 1 : 0,
      commit.release ? 1 : 0,
      commit.pieces ? JSON.stringify(commit.pieces) : null,
      id,
      fence,
      commit.from,
    )
    if (done) return 'ok'
    const current = this.#statements.get.get(id) as Row | undefined
    if (!current) return 'gone'
    return current.fence !== fence || current.owner === null ? 'fenced' : 'moved'
  }

  bury(id: string, fence: number, tombstone: Tombstone | undefined): StoredUpload | undefined {
    // The tombstone goes first: without its grave it is never looked at, the other way round the status would be lost.
    if (tombstone !== undefined) this.#write('keep', id, tombstone.status, tombstone.untilMs)
    const row = this.#change('bury', id, fence)
    return row && uploadOf(row)
  }

  tombstone(id: string): Tombstone | undefined {
    const row = this.#statements.tombstone.get(id, this.#now()) as { status: number; until: number } | undefined
    return row && { status: row.status, untilMs: row.until }
  }

  dropTombstones(limit: number): void {
    this.#write('dropTombstones', this.#now(), limit)
  }

  expired(beforeMs: number, limit: number): readonly string[] {
    return Array.from(this.#statements.expired.all(beforeMs, limit) as { id: string }[], ({ id }) => id)
  }

  lease(name: string, { owner, ttlMs }: { readonly owner: string; readonly ttlMs: number }): boolean {
    const now = this.#now()
    return this.#write('lease', name, owner, now + ttlMs, now)
  }

  forget(id: string): void {
    this.#write('forget', id)
  }

  buried(limit: number): readonly StoredUpload[] {
    return (this.#statements.buried.all(limit) as Row[]).map(uploadOf)
  }

  async close(): Promise<void> {
    await this.#checkpointer.close()
    if (this.#walDescriptor) await closeAsync(await this.#walDescriptor)
    this.#database.close()
  }

  #write(name: keyof typeof SQL, ...values: Bindable[]): boolean {
    const changed = this.#statements[name].run(...values).changes !== 0
    this.#checkpointer.wrote()
    return changed
  }

  #change(name: keyof typeof SQL, ...values: Bindable[]): Row | undefined {
    // Not `get`: it leaves the statement after the first row, and both drivers drop the error (a full disk, say) by
    // which the commit at the end of it may fail.
    const [row] = this.#statements[name].all(...values) as Row[]
    this.#checkpointer.wrote()
    return row
  }

  /**
   * A descriptor of the write-ahead log, for syncs alone. It is never one of the database file: closing that would
   * drop the locks that SQLite holds on it in this process.
   */
  #openWal(): Promise<number> {
    this.#walDescriptor ??= this.#openAndSyncName().catch((error: unknown) => {
      this.#walDescriptor = undefined
      throw error
    })
    return this.#walDescriptor
  }

  async #openAndSyncName(): Promise<number> {
    // Writable, since Windows flushes nothing else.
    const descriptor = await openAsync(this.#walPath, 'r+')
    await syncFolder(dirname(this.#walPath))
    return descriptor
  }

  #checkpointHere(): void {
    this.#database.exec('PRAGMA wal_autocheckpoint = 1000')
  }
}

function uploadOf(row: Row): StoredUpload {
  return {
    id: row.id,
    name: row.name ?? row.id,
    length: row.length ?? undefined,
    offset: row.offset,
    metadata: row.metadata ?? undefined,
    createdAtMs: row.created_at,
    expiresAtMs: row.expires_at ?? undefined,
    attributes: row.attributes === null ? undefined : (JSON.parse(row.attributes) as Record<string, unknown>),
    complete: row.complete !== 0,
    fence: row.fence,
    holder: holderOf(row),
    pieces: row.pieces === null ? firstPieces(row.id) : (JSON.parse(row.pieces) as readonly Piece[]),
  }
}

function holderOf(row: Row): Holder | undefined {
  return row.owner === null ? undefined : { owner: row.owner, leaseUntilMs: row.lease_until }
}
