// Small finished uploads, kept in the database until their files are on the disk.

import type { Journal, JournalEntry, JournaledFile, MakeFile, Piece } from '../parts.js'
import { firstPieces } from '../pieces.js'
import type { Batch } from './batch.js'
import type { Bindable, Database } from './driver.js'
import { Statements } from './statements.js'
import type { Writes } from './writes.js'

/** Up to so many bytes cost less in the write-ahead log, whose sync many share, than a sync of their own. */
const MAX_BYTES = 32 * 1024
/** So many are made whole in one transaction after a power loss. */
const RECOVERED_AT_ONCE = 100

const UPLOAD = `LEFT JOIN uploads ON uploads.id = journal.id AND uploads.created_at = journal.created_at
  AND complete = 1 AND buried = 0`

const FILE = 'uploads.id AS id, coalesce(name, uploads.id) AS name, pieces, offset, file, published, overwrite'

/** Numbers are used again, by others; this names an entry, as it was when it was read. */
const SAME = `number = ? AND journal.id = ? AND journal.created_at = ? AND added_at = ? AND journal.boot = ?`
/** In place of the run of the system, of an entry whose file no sync can be trusted with any more. */
const DISTRUSTED = ''

const SQL = {
  add: `INSERT INTO journal (id, created_at, bytes, added_at, boot)
    SELECT id, created_at, ?, ?, ? FROM uploads WHERE id = ?`,
  any: 'SELECT 1 FROM journal LIMIT 1',
  load: 'SELECT count(*) AS entries, coalesce(sum(length(bytes)), 0) AS bytes FROM journal',
  entries: `SELECT number, ${FILE}, journal.id AS entry_id, journal.created_at AS created_at, added_at,
      journal.boot AS boot FROM journal ${UPLOAD} WHERE number > ? ORDER BY number LIMIT ?`,
  file: `SELECT number, ${FILE}, bytes, journal.boot AS boot FROM journal ${UPLOAD} WHERE ${SAME}`,
  restored: `UPDATE journal SET added_at = ?, boot = ? WHERE ${SAME}`,
  distrust: `UPDATE journal SET boot = ? WHERE ${SAME}`,
  drop: `DELETE FROM journal WHERE ${SAME}`,
  forget: 'DELETE FROM journal WHERE id = ?',
  lost: `SELECT number, ${FILE}, bytes, journal.boot AS boot FROM journal ${UPLOAD}
    WHERE journal.boot <> ? AND number > ? ORDER BY number LIMIT ?`,
  identify: 'UPDATE uploads SET file = ? WHERE id = ?',
  recovered: 'UPDATE journal SET added_at = ?, boot = ? WHERE number = ?',
} as const

interface Row {
  readonly number: number
  readonly id: string | null
  readonly name: string
  readonly pieces: string | null
  readonly offset: number
  readonly file: string | null
  readonly published: number
  readonly overwrite: number
}

interface ByteRow extends Row {
  readonly bytes: Uint8Array
  readonly boot: string
}

interface EntryRow extends Row {
  readonly entry_id: string
  readonly created_at: number
  readonly added_at: number
  readonly boot: string
}

interface SQLiteJournalOptions {
  readonly now: () => number
  readonly boot: string
  /** What goes on beside requests goes through it. */
  readonly batch: Batch
}

/** The journal in SQLite. */
export class SQLiteJournal implements Journal {
  readonly maxBytes = MAX_BYTES
  readonly #statements: Statements<keyof typeof SQL>
  readonly #writes: Writes
  readonly #batch: Batch
  readonly #now: () => number
  readonly #boot: string
  /** Entries whose files this process could not make whole when it was to. */
  readonly #unrecovered = new Set<string>()

  /**
   * @param database - where it is
   * @param options - milliseconds since the epoch, the present run of the system, and the batch of the records
   * @param writes - what goes around its writes
   */
  constructor(database: Database, { now, boot, batch }: SQLiteJournalOptions, writes: Writes) {
    this.#batch = batch
    this.#statements = new Statements(database, SQL, writes)
    this.#writes = writes
    this.#now = now
    this.#boot = boot
  }

  /** Keeps the bytes of an upload; to be called in the transaction that completes it. */
  add(id: string, bytes: Uint8Array): void {
    this.#statements.write('add', bytes, this.#now(), this.#boot, id)
  }

  isEmpty(): Promise<boolean> {
    return this.#batch.read(() => this.#isEmpty())
  }

  #isEmpty(): boolean {
    return this.#statements.one('any') === undefined
  }

  load(): Promise<{ readonly entries: number; readonly bytes: number }> {
    return this.#batch.read(() => this.#statements.one('load') as { readonly entries: number; readonly bytes: number })
  }

  async entries(beyond: number, beforeMs: number, limit: number): Promise<readonly JournalEntry[]> {
    const all = await this.#batch.read(() => this.#statements.all<EntryRow>('entries', beyond, limit))
    // Not by the statement: the time lies behind the bytes, and to find no entry it would read all of them.
    const rows = all.filter((row) => row.added_at <= beforeMs)
    return rows.map((row) => ({
      number: row.number,
      id: row.entry_id,
      createdAtMs: row.created_at,
      atMs: row.added_at,
      boot: row.boot,
      doubtful: row.boot === DISTRUSTED || this.#unrecovered.has(keyOf(row)),
      file: fileOf(row),
    }))
  }

  async restore(entry: JournalEntry, make: MakeFile): Promise<void> {
    await this.#batch.alone(() => {
      const row = this.#statements.one<ByteRow>('file', ...same(entry))
      if (row === undefined) return
      this.#make(row, make)
      // Another process may have synced the file of before: it must not drop the entry for that.
      this.#statements.write('restored', this.#now(), this.#boot, ...same(entry))
    })
    this.#unrecovered.delete(keyOf(entry))
  }

  async distrust(entry: JournalEntry): Promise<JournalEntry> {
    // For this process even if the database can't be written to.
    this.#unrecovered.add(keyOf(entry))
    await this.#batch.write(() => this.#statements.write('distrust', DISTRUSTED, ...same(entry)))
    this.#unrecovered.delete(keyOf(entry))
    return { ...entry, boot: DISTRUSTED, doubtful: true }
  }

  drop(entries: readonly JournalEntry[]): Promise<void> {
    return this.#batch.write(() => {
      for (const entry of entries) this.#statements.write('drop', ...same(entry))
    })
  }

  /** Forgets an upload that was removed, or is unfinished again; to be called in the transaction that does it. */
  forget(id: string): void {
    this.#statements.write('forget', id)
  }

  /**
   * Makes the files whole that the system may have lost when it was started anew; before the first request. Several
   * processes may do it at the same time. What fails (the disk may be full) is left to the settler, and to the next
   * start.
   * @param restore - makes one; must not be asynchronous
   */
  recover(restore: MakeFile): void {
    if (this.#isEmpty()) return
    for (let last: number | undefined = 0; last !== undefined; ) last = this.#recoverSome(last, restore)
  }

  /** @returns the number of the last one */
  #recoverSome(beyond: number, restore: MakeFile): number | undefined {
    let rows: readonly ByteRow[] = []
    try {
      this.#writes.transaction(() => {
        rows = this.#statements.all<ByteRow>('lost', this.#boot, beyond, RECOVERED_AT_ONCE)
        const whole = rows.filter((row) => this.#isRecovered(row, restore))
        // They stay until their files have reached the disk.
        for (const { number } of whole) this.#statements.write('recovered', this.#now(), this.#boot, number)
      })
    } catch (error) {
      // The files are made. That this could not be written down means that the next start looks at them once more.
      if (rows.length === 0) throw error
    }
    return rows.at(-1)?.number
  }

  #isRecovered(row: ByteRow, restore: MakeFile): boolean {
    try {
      this.#make(row, restore)
      this.#unrecovered.delete(keyOf(row))
      return true
    } catch {
      this.#unrecovered.add(keyOf(row))
      return false
    }
  }

  #make(row: ByteRow, restore: MakeFile): void {
    const file = fileOf(row)
    // What was written in this run of the system is read from memory, and may be on no disk.
    const anew = row.boot === DISTRUSTED || row.boot === this.#boot
    if (file === undefined || row.id === null) return
    const identity = restore(file, row.bytes, anew)
    if (identity !== file.identity) this.#statements.write('identify', identity ?? null, row.id)
  }
}

function keyOf({ number, boot }: { readonly number: number; readonly boot: string }): string {
  return `${number} ${boot}`
}

function same({ number, id, createdAtMs, atMs, boot }: JournalEntry): readonly Bindable[] {
  return [number, id, createdAtMs, atMs, boot]
}

function fileOf({ id, name, pieces, offset, file, published, overwrite }: Row): JournaledFile | undefined {
  if (id === null) return undefined
  const [piece] = pieces === null ? firstPieces(id) : (JSON.parse(pieces) as readonly Piece[])
  return (
    piece && {
      blob: piece.blob,
      name,
      identity: file ?? undefined,
      size: offset,
      overwrite: overwrite !== 0,
      published: published !== 0,
    }
  )
}
