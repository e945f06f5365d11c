// Records in SQLite. Every operation is one statement or one transaction, so nothing here can be left half done.

import { isSameHolder, type NewUpload, type Tombstone } from '../../upload.js'
import type { Piece, RecordCommit, RecordCommitResult, Records, StoredPage, StoredUpload } from '../parts.js'
import { blobOwner, piecesAfterTakeover } from '../pieces.js'
import type {
  Assembly,
  AssemblyResult,
  ClaimRequest,
  ClaimResult,
  CompletionOutcome,
  CompletionRequest,
  CreateResult,
  DueRequest,
  ExpiredRequest,
  ListRequest,
  RemoveOptions,
  RemoveResult,
} from '../storage.js'
import { Batch } from './batch.js'
import { endLeasesOfOtherBoots } from './boot-leases.js'
import { CommitRows } from './commit-rows.js'
import { CompletionRows } from './completion-rows.js'
import { Concatenations, IS_NEEDED } from './concatenations.js'
import { type Database, openDatabase, type SQLiteDriver } from './driver.js'
import { ExpiredRows } from './expired-rows.js'
import { SQLiteJournal } from './journal.js'
import { Listing } from './listing.js'
import { Names } from './names.js'
import { PublicationRows } from './publication-rows.js'
import { RECORD, type Row, uploadOf } from './row.js'
import { prepareDatabase } from './schema.js'
import { Statements } from './statements.js'
import { WriteAheadLog } from './write-ahead-log.js'
import { Writes } from './writes.js'

const SQL = {
  get: `SELECT ${RECORD} FROM uploads WHERE id = ? AND buried = 0`,
  claim: `UPDATE uploads SET fence = fence + 1, owner = ?, lease_until = ?
    WHERE id = ? AND buried = 0 AND iif(owner IS NULL, complete = 0 OR ?, owner = ?) RETURNING ${RECORD}`,
  takeOver: `UPDATE uploads SET fence = fence + 1, owner = ?, lease_until = ?, pieces = ?
    WHERE id = ? AND buried = 0 AND fence = ? AND offset = ? AND complete = ? AND lease_until <= ?
    RETURNING ${RECORD}`,
  renew: 'UPDATE uploads SET lease_until = ? WHERE id = ? AND fence = ? AND owner IS NOT NULL',
  release: 'UPDATE uploads SET owner = NULL WHERE id = ? AND fence = ? AND owner IS NOT NULL',
  releaseActive: 'UPDATE uploads SET owner = NULL, active_at = ? WHERE id = ? AND fence = ? AND owner IS NOT NULL',
  releasePublished: `UPDATE uploads SET owner = NULL, published = 1, publish_at = NULL
    WHERE id = ? AND fence = ? AND owner IS NOT NULL`,
  bury: `UPDATE uploads SET buried = 1 WHERE id = ? AND buried = 0 AND fence = ? AND owner IS NOT NULL
    AND (? OR NOT ${IS_NEEDED}) RETURNING ${RECORD}`,
  markSynced: `UPDATE uploads SET synced = ?, boot = iif(offset = ?, NULL, boot)
    WHERE id = ? AND created_at = ? AND offset >= ? AND synced < ?`,
  fallBack: `UPDATE uploads SET offset = ?, synced = ?, pieces = ?, boot = ?, complete = 0, published = 1,
      publish_at = NULL, due_at = NULL, attempt = NULL, worker = NULL, step = NULL, file = NULL
    WHERE id = ? AND created_at = ? AND offset = ? AND (complete = 0 OR fence = ? AND owner IS NOT NULL)`,
  forget: 'DELETE FROM uploads WHERE id = ? AND buried = 1',
  keep: 'INSERT OR REPLACE INTO tombstones (id, status, until) VALUES (?, ?, ?)',
  tombstone: 'SELECT status, until FROM tombstones WHERE id = ? AND until > ?',
  dropTombstones: 'DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones WHERE until <= ? LIMIT ?)',
  lease: `INSERT INTO leases (name, owner, until) VALUES (?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
      WHERE leases.owner = excluded.owner OR leases.until <= ? OR leases.until > excluded.until`,
  buried: `SELECT ${RECORD} FROM uploads WHERE buried = 1 AND (owner IS NULL OR lease_until <= ?) LIMIT ?`,
} as const

/** What {@link SQLiteRecords} needs. */
export interface SQLiteRecordsOptions {
  /** The database file. */
  readonly path: string
  /** The driver; the first that is there, if not given. */
  readonly driver?: SQLiteDriver | undefined
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Names the present run of the operating system: after a power loss it is another one. */
  readonly boot: string
  /**
   * Whether the file system ignores case in names.
   * @default false
   */
  readonly foldsNames?: boolean | undefined
}

/** Keeps records in a SQLite database. */
export class SQLiteRecords implements Records {
  readonly #database: Database
  readonly #now: () => number
  readonly #boot: string
  readonly #writes: Writes
  readonly #statements: Statements<keyof typeof SQL>
  readonly #names: Names
  readonly #publications: PublicationRows
  readonly #concatenations: Concatenations
  readonly #completions: CompletionRows
  readonly #commits: CommitRows
  readonly #expired: ExpiredRows
  readonly journal: SQLiteJournal
  readonly list: (request: ListRequest) => StoredPage
  /** Puts several calls into one transaction. */
  readonly batch: Batch
  readonly #log: WriteAheadLog

  /**
   * @param options - the database
   * @throws Error if there is no driver, or the database is of a later version
   */
  constructor({ path, driver, now, boot, foldsNames = false }: SQLiteRecordsOptions) {
    this.#now = now
    this.#boot = boot
    this.#database = openDatabase(path, driver)
    try {
      prepareDatabase(this.#database)
      this.#writes = new Writes(this.#database, () => this.#log.wrote())
      this.#statements = new Statements(this.#database, SQL, this.#writes)
      this.#names = new Names(this.#database, { writes: this.#writes, folds: foldsNames })
      this.#publications = new PublicationRows(this.#database, now, this.#writes)
      this.#concatenations = new Concatenations(this.#database, boot, this.#writes)
      const listing = new Listing(this.#database, boot, this.#writes)
      this.list = (request) => listing.page(request)
      this.#completions = new CompletionRows(this.#database, { now, boot }, this.#writes)
      this.#commits = new CommitRows(this.#database, { now, boot }, this.#writes)
      this.#expired = new ExpiredRows(this.#database, now, this.#writes)
      this.batch = new Batch(this.#writes, { makeRoom: () => this.#log.makeRoom() })
      const journal = { now, boot, batch: this.batch }
      this.journal = new SQLiteJournal(this.#database, journal, this.#writes)
      this.#log = new WriteAheadLog(this.#database, { path, driver, alone: (action) => this.batch.alone(action) })
    } catch (error) {
      this.#database.close()
      throw error
    }
  }

  /**
   * To be called once, before the first request: it may wait for other processes. From then on the connection does not
   * wait by itself any more, since that would hold up the event loop: what is to be done goes through {@link batch}.
   * @param restore - makes the file of a journaled upload whole
   */
  recover(restore: Parameters<SQLiteJournal['recover']>[0]): void {
    endLeasesOfOtherBoots(this.#database, { boot: this.#boot, now: this.#now }, this.#writes)
    this.journal.recover(restore)
    this.#log.recover()
    this.#database.exec('PRAGMA busy_timeout = 0')
  }

  create(upload: NewUpload): CreateResult {
    // Time goes on, so an id that is used again begins with a fence beyond all that its former upload had.
    const create = (): boolean => this.#names.create(upload, this.#now())
    if (upload.concat?.partials === undefined) return create() ? 'created' : this.#names.whyTaken(upload)
    const result = this.#concatenations.create(upload, create)
    return result === 'exists' ? this.#names.whyTaken(upload) : result
  }

  /** As {@link PublicationRows.adopt} has it. */
  adopt(place: string): void {
    this.#publications.adopt(place)
  }

  get(id: string): StoredUpload | undefined {
    const row = this.#statements.one<Row>('get', id)
    return row && uploadOf(row, this.#boot)
  }

  claim(id: string, { owner, ttlMs, dead, lapsed, unfinished }: ClaimRequest): ClaimResult {
    // Another process may have changed the record between two of these statements: then again, with what it is now.
    for (;;) {
      const now = this.#now()
      const which = [id, unfinished ? 0 : 1, dead ?? null]
      const claimed = this.#claimed(this.#statements.change<Row>('claim', owner, now + ttlMs, ...which))
      if (claimed) return claimed
      const upload = this.get(id)
      if (!upload) return undefined
      const { holder } = upload
      if (holder === undefined && unfinished && upload.complete) return { complete: upload }
      if (holder === undefined) continue
      if (holder.leaseUntilMs > now && !isSameHolder(holder, lapsed)) return { heldBy: holder }
      const pieces = JSON.stringify(piecesAfterTakeover(upload, upload.fence + 1))
      const known = [id, upload.fence, upload.offset, upload.complete ? 1 : 0]
      const until = Math.max(now, holder.leaseUntilMs)
      const taken = this.#claimed(this.#statements.change<Row>('takeOver', owner, now + ttlMs, pieces, ...known, until))
      if (taken) return taken
    }
  }

  #claimed(row: Row | undefined): { upload: StoredUpload; fence: number } | undefined {
    if (row === undefined) return undefined
    const upload = uploadOf(row, this.#boot)
    return { upload, fence: upload.fence }
  }

  renew(id: string, fence: number, ttlMs: number): boolean {
    return this.#statements.write('renew', this.#now() + ttlMs, id, fence)
  }

  release(id: string, fence: number, activeAtMs?: number): void {
    // An index follows the time, so it is left alone where it stays.
    if (activeAtMs === undefined) this.#statements.write('release', id, fence)
    else this.#statements.write('releaseActive', activeAtMs, id, fence)
  }

  releasePublished(id: string, fence: number): void {
    this.#statements.write('releasePublished', id, fence)
  }

  unpublished(limit: number): readonly string[] {
    return this.#publications.unpublished(limit)
  }

  published(upload: StoredUpload): void {
    this.#publications.published(upload)
  }

  publishLater(upload: StoredUpload, atMs: number): void {
    this.#publications.publishLater(upload, atMs)
  }

  commit(id: string, fence: number, commit: RecordCommit): RecordCommitResult {
    const { journaled, partial, complete } = commit
    if (journaled === undefined && !(partial && complete)) return this.#commit(id, fence, commit)
    // All or nothing: what fails for a busy database is tried again, and must not meet what it has done itself.
    return this.#writes.transaction(() => {
      const result = this.#commit(id, fence, commit)
      if (result === 'ok' && journaled !== undefined) this.journal.add(id, journaled)
      if (result === 'ok' && partial && complete) this.#concatenations.count(id)
      return result
    })
  }

  #commit(id: string, fence: number, commit: RecordCommit): RecordCommitResult {
    if (this.#commits.commit(id, fence, commit)) return 'ok'
    const upload = this.get(id)
    if (!upload) return 'gone'
    return upload.fence !== fence || !upload.holder ? 'fenced' : 'moved'
  }

  bury(id: string, fence: number, options: RemoveOptions): StoredUpload | Exclude<RemoveResult, 'removed'> {
    const { tombstone, evenIfNeeded = false } = options
    const bury = (): Row | undefined => {
      const row = this.#statements.change<Row>('bury', id, fence, evenIfNeeded ? 1 : 0)
      if (row !== undefined && tombstone !== undefined) {
        this.#statements.write('keep', id, tombstone.status, tombstone.untilMs)
      }
      // Those that wait for it are to find out that it is gone.
      if (row !== undefined && evenIfNeeded) this.#concatenations.count(id)
      return row
    }
    const row = tombstone === undefined && !evenIfNeeded ? bury() : this.#writes.transaction(bury)
    if (row !== undefined) return uploadOf(row, this.#boot)
    const upload = this.get(id)
    if (upload === undefined) return 'gone'
    return upload.fence !== fence || upload.holder === undefined ? 'fenced' : 'needed'
  }

  tombstone(id: string): Tombstone | undefined {
    const row = this.#statements.one<{ status: number; until: number }>('tombstone', id, this.#now())
    return row && { status: row.status, untilMs: row.until }
  }

  dropTombstones(limit: number): boolean {
    return this.#statements.write('dropTombstones', this.#now(), limit)
  }

  expired(request: ExpiredRequest): readonly string[] {
    return this.#expired.find(request)
  }

  lease(name: string, { owner, ttlMs }: { readonly owner: string; readonly ttlMs: number }): boolean {
    const now = this.#now()
    return this.#statements.write('lease', name, owner, now + ttlMs, now)
  }

  forget({ id, concat, complete, offset }: StoredUpload): void {
    if (concat?.partials !== undefined) this.#concatenations.forget(id)
    // A removal is answered after this: no copy of the bytes must be left.
    const mayBeJournaled = complete && offset <= this.journal.maxBytes
    if (!mayBeJournaled) this.#statements.write('forget', id)
    else this.#writes.transaction(() => this.#statements.write('forget', id) && this.journal.forget(id))
  }

  buried(limit: number): readonly StoredUpload[] {
    return this.#statements.all<Row>('buried', this.#now(), limit).map((row) => uploadOf(row, this.#boot))
  }

  markSynced({ id, createdAtMs }: StoredUpload, synced: number): void {
    this.#statements.write('markSynced', synced, synced, id, createdAtMs, synced, synced)
  }

  fallBack({ id, createdAtMs, offset, fence, concat }: StoredUpload, to: number, pieces: readonly Piece[]): boolean {
    // Still in doubt in another run of the system: then what is there of its blobs is looked at once more.
    const change = [to, to, JSON.stringify(pieces), this.#boot]
    return this.#writes.transaction(() => {
      const done = this.#statements.write('fallBack', ...change, id, createdAtMs, offset, fence)
      // Not for a claim that was lost: whoever has taken over may have completed the upload.
      if (done) this.journal.forget(id)
      if (done && concat !== undefined) this.#concatenations.count(id)
      return done
    })
  }

  isShared(blob: string, id: string): boolean {
    return this.#concatenations.isShared(blob, blobOwner(blob), id)
  }

  assemble(id: string, assembly: Assembly): AssemblyResult {
    return this.#concatenations.assemble(id, assembly, this.#now())
  }

  detach(id: string, attempt: number, pieces: readonly Piece[], identity: string | undefined): boolean {
    return this.#concatenations.detach(id, attempt, pieces, identity)
  }

  waitingFinals(partial: string): readonly string[] {
    return this.#concatenations.waitingFinals(partial)
  }

  readyFinals(limit: number, after: string): readonly string[] {
    return this.#concatenations.readyFinals(limit, after)
  }

  dueCompletions(request: DueRequest): readonly string[] {
    return this.#completions.due(request)
  }

  takeCompletion(id: string, request: CompletionRequest): { upload: StoredUpload; attempt: number } | undefined {
    return this.#completions.take(id, request)
  }

  renewCompletion(id: string, attempt: number, ttlMs: number): boolean {
    return this.#completions.renew(id, attempt, ttlMs)
  }

  settleCompletion(id: string, attempt: number, outcome: CompletionOutcome): boolean {
    return this.#completions.settle(id, attempt, outcome)
  }

  sync(): Promise<void> {
    return this.#log.sync()
  }

  /** What waits in the batch must be over. */
  close(): Promise<void> {
    return this.#log.close()
  }
}
