// The tables, by version, and how a database of an older version is brought up to date.

import type { Database } from './driver.js'

/** Says of a row of `uploads` that it is unfinished, or a partial upload. Part of an index, like {@link IS_SETTLED}. */
export const IS_UNFINISHED = `(complete = 0 OR concat IS NOT NULL AND json_extract(concat, '$.partials') IS NULL)`

/** Says of a row of `uploads` that it is a finished file for which nothing is due. */
export const IS_SETTLED = `complete = 1 AND due_at IS NULL
  AND (concat IS NULL OR json_extract(concat, '$.partials') IS NOT NULL)`

/** One entry per version: what leads from the version before to this one. Entries are never changed, only added. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE uploads (
     id TEXT PRIMARY KEY,
     name TEXT,                      -- NULL: the id
     length INTEGER,                 -- bytes; NULL: deferred
     offset INTEGER NOT NULL DEFAULT 0,
     metadata TEXT,                  -- as the client sent it
     created_at INTEGER NOT NULL,    -- milliseconds since the epoch, like all times
     expires_at INTEGER,
     complete INTEGER NOT NULL DEFAULT 0,
     buried INTEGER NOT NULL DEFAULT 0,
     fence INTEGER NOT NULL DEFAULT 0,
     owner TEXT,                     -- NULL: nobody holds it
     lease_until INTEGER NOT NULL DEFAULT 0,
     pieces TEXT                     -- JSON; NULL: one piece, in the blob named by the id
   ) STRICT, WITHOUT ROWID;
   CREATE UNIQUE INDEX uploads_by_name ON uploads (name) WHERE name IS NOT NULL;
   CREATE INDEX uploads_buried ON uploads (id) WHERE buried = 1;`,
  `ALTER TABLE uploads ADD COLUMN attributes TEXT; -- JSON; the application's own
   CREATE INDEX uploads_by_expiry ON uploads (expires_at) WHERE expires_at IS NOT NULL AND buried = 0;
   CREATE TABLE tombstones (
     id TEXT PRIMARY KEY,
     status INTEGER NOT NULL,
     until INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX tombstones_by_end ON tombstones (until);
   CREATE TABLE leases (
     name TEXT PRIMARY KEY,
     owner TEXT NOT NULL,
     until INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
  `ALTER TABLE uploads ADD COLUMN concat TEXT;     -- JSON; NULL: neither partial nor final
   ALTER TABLE uploads ADD COLUMN due_at INTEGER;  -- of the completion; NULL: nothing is left to be done
   ALTER TABLE uploads ADD COLUMN attempt INTEGER; -- of the completion; NULL: there never was anything to be done
   ALTER TABLE uploads ADD COLUMN worker TEXT;     -- who tries; NULL: nobody
   ALTER TABLE uploads ADD COLUMN result TEXT;     -- JSON
   CREATE INDEX uploads_due ON uploads (due_at) WHERE due_at IS NOT NULL;
   CREATE TABLE waiting (            -- which final upload waits for which partial one
     partial TEXT NOT NULL,
     final TEXT NOT NULL,
     PRIMARY KEY (partial, final)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX waiting_by_final ON waiting (final);
   CREATE TABLE sharing (            -- which final upload has pieces in which partial upload's blob
     blob TEXT NOT NULL,
     upload TEXT NOT NULL,
     PRIMARY KEY (blob, upload)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX sharing_by_upload ON sharing (upload);`,
  `ALTER TABLE uploads ADD COLUMN synced INTEGER NOT NULL DEFAULT 0; -- so many bytes are on the disk for sure
   ALTER TABLE uploads ADD COLUMN boot TEXT; -- the run of the system that committed more than that; NULL: none did`,
  `CREATE TABLE journal (              -- small finished uploads whose files may not be on the disk yet
     number INTEGER PRIMARY KEY,
     id TEXT NOT NULL,
     created_at INTEGER NOT NULL,    -- of the upload: its id may be another one's by now
     bytes BLOB NOT NULL,
     added_at INTEGER NOT NULL,
     boot TEXT NOT NULL
   ) STRICT;`,
  `ALTER TABLE uploads ADD COLUMN step TEXT;  -- of the completion: what the next try begins with
   UPDATE uploads SET step = iif(json_extract(concat, '$.partials') IS NULL, 'hook', 'copy') WHERE attempt IS NOT NULL;
   DROP INDEX uploads_due;
   CREATE INDEX uploads_due ON uploads (step, due_at, offset) WHERE due_at IS NOT NULL;`,
  // When the last chunk came was not kept: time begins again.
  `ALTER TABLE uploads ADD COLUMN active_at INTEGER NOT NULL DEFAULT 0; -- created, a chunk ended, or completed
   UPDATE uploads SET active_at = CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER);
   DROP INDEX uploads_by_expiry;
   ALTER TABLE uploads DROP COLUMN expires_at;
   CREATE INDEX uploads_unfinished ON uploads (active_at) WHERE buried = 0 AND ${IS_UNFINISHED};
   CREATE INDEX uploads_finished ON uploads (active_at) WHERE buried = 0 AND ${IS_SETTLED};`,
  `ALTER TABLE uploads ADD COLUMN name_key TEXT;  -- the name as the file system tells it from others; NULL: the id
   UPDATE uploads SET name_key = name;
   DROP INDEX uploads_by_name;
   CREATE INDEX uploads_by_name_key ON uploads (name_key) WHERE name_key IS NOT NULL;
   ALTER TABLE uploads ADD COLUMN overwrite INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE uploads ADD COLUMN file TEXT;       -- the identity of the file that was written to last; NULL: not known
   ALTER TABLE uploads ADD COLUMN published INTEGER NOT NULL DEFAULT 1;
   ALTER TABLE uploads ADD COLUMN publish_at INTEGER; -- NULL: published, unfinished, or still made of others
   CREATE INDEX uploads_unpublished ON uploads (publish_at) WHERE publish_at IS NOT NULL;
   CREATE TABLE place (                -- the folder that the identities of files are of
     only INTEGER PRIMARY KEY CHECK (only = 1),
     identity TEXT NOT NULL
   ) STRICT;`,
  `ALTER TABLE uploads ADD COLUMN waits_for INTEGER; -- of a final upload: how many incomplete partial ones; NULL: it does not wait
   UPDATE uploads SET waits_for = (SELECT count(iif(partial.complete = 0, 1, NULL)) * min(partial.id IS NOT NULL AND partial.buried = 0)
       FROM waiting LEFT JOIN uploads AS partial ON partial.id = waiting.partial WHERE waiting.final = uploads.id)
     WHERE complete = 0 AND id IN (SELECT final FROM waiting);
   CREATE INDEX uploads_ready ON uploads (id) WHERE waits_for = 0;`,
  // By what never changes, so that a chunk leaves them as they are. None is active before it is created.
  `DROP INDEX uploads_unfinished;
   DROP INDEX uploads_finished;
   CREATE INDEX uploads_unfinished ON uploads (created_at) WHERE buried = 0 AND ${IS_UNFINISHED};
   CREATE INDEX uploads_finished ON uploads (created_at) WHERE buried = 0 AND ${IS_SETTLED};`,
  // They are made again with the first search for what has expired: most databases are never searched for that.
  'DROP INDEX uploads_unfinished; DROP INDEX uploads_finished;',
]

/** The version that this package writes. */
export const SCHEMA_VERSION = MIGRATIONS.length

const SETTLE_MS = 5_000
const RETRY_MS = 10

/**
 * Sets a connection up. It may wait, which the connection does not do any more afterwards: see {@link Batch}.
 * @throws Error if the database was written by a later version of this package
 */
export function prepareDatabase(database: Database): void {
  database.exec('PRAGMA busy_timeout = 5000')
  // Several processes that start at once may collide here, where SQLite does not wait by itself.
  retryWhileBusy(() => database.exec('PRAGMA journal_mode = WAL'))
  // NORMAL: a commit survives the death of the process; what must survive a power loss is synced by sync().
  database.exec('PRAGMA synchronous = NORMAL')
  // On macOS, as libuv syncs: down to the disk itself. Elsewhere every sync is that.
  database.exec('PRAGMA checkpoint_fullfsync = 1')
  // What is deleted is overwritten with zeros: the bytes of small uploads, metadata, attributes.
  database.exec('PRAGMA secure_delete = ON')
  // A checkpoint syncs the whole database, so it is left to a worker.
  database.exec('PRAGMA wal_autocheckpoint = 0')
  // 16 MiB: all but the leaves of a million uploads, so that each is one page away. Used only as far as there are so
  // many.
  database.exec('PRAGMA cache_size = -16384')
  // What is only read is read where the system has it, without a call for each page; nothing is written that way. 1
  // GiB.
  database.exec('PRAGMA mmap_size = 1073741824')
  if (versionOf(database) !== SCHEMA_VERSION) migrate(database)
  try {
    inTransaction(database, () => startOver(database))
  } catch {
    // A disk that is full, say: that need not keep it from starting.
  }
}

/**
 * Writes something that changes nothing; to be called in a transaction. The first write to a log that is new or wholly
 * moved into the database syncs its head: it is made where nobody waits for it.
 */
export function startOver(database: Database): void {
  // As it is: a process of a later version may have migrated the database meanwhile.
  database.exec(`PRAGMA user_version = ${versionOf(database)}`)
}

function migrate(database: Database): void {
  inTransaction(database, () => {
    const version = versionOf(database)
    if (version > SCHEMA_VERSION) {
      throw new Error(
        `SQLiteStorage: the database has version ${version}, this package knows up to ${SCHEMA_VERSION}: ` +
          'it was written by a later version of resumable-upload',
      )
    }
    for (const migration of MIGRATIONS.slice(version)) database.exec(migration)
    database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`)
  })
}

function inTransaction(database: Database, action: () => void): void {
  database.exec('BEGIN IMMEDIATE')
  try {
    action()
    database.exec('COMMIT')
  } catch (error) {
    try {
      database.exec('ROLLBACK')
    } catch {
      // After some failures (a full disk) SQLite has rolled back by itself.
    }
    throw error
  }
}

function versionOf(database: Database): number {
  return (database.prepare('PRAGMA user_version').get() as { user_version: number }).user_version
}

function retryWhileBusy(action: () => void): void {
  const deadline = Date.now() + SETTLE_MS
  for (;;) {
    try {
      action()
      return
    } catch (error) {
      if (!/locked|busy/i.test(String(error)) || Date.now() > deadline) throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS)
    }
  }
}
