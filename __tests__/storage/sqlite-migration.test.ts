// A database of a former version, in use when it was left: everything in it goes on.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SQLiteStorage, TusServer } from '../../src/index.js'
import { openDatabase } from '../../src/storage/sqlite/driver.js'
import { bytes } from '../../src/testing/subject.js'
import { tempFolder } from './support/temp-folder.js'

const STATE = '.resumable-upload'
const BOOT = 'this run of the system'

/** Version 5: the last one that knew neither when an upload was active nor whether its file has its name. */
const VERSION_5 = `
  CREATE TABLE uploads (
    id TEXT PRIMARY KEY, name TEXT, length INTEGER, offset INTEGER NOT NULL DEFAULT 0, metadata TEXT,
    created_at INTEGER NOT NULL, expires_at INTEGER, complete INTEGER NOT NULL DEFAULT 0,
    buried INTEGER NOT NULL DEFAULT 0, fence INTEGER NOT NULL DEFAULT 0, owner TEXT,
    lease_until INTEGER NOT NULL DEFAULT 0, pieces TEXT, attributes TEXT, concat TEXT, due_at INTEGER,
    attempt INTEGER, worker TEXT, result TEXT, synced INTEGER NOT NULL DEFAULT 0, boot TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX uploads_by_name ON uploads (name) WHERE name IS NOT NULL;
  CREATE INDEX uploads_buried ON uploads (id) WHERE buried = 1;
  CREATE INDEX uploads_by_expiry ON uploads (expires_at) WHERE expires_at IS NOT NULL AND buried = 0;
  CREATE TABLE tombstones (id TEXT PRIMARY KEY, status INTEGER NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX tombstones_by_end ON tombstones (until);
  CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE INDEX uploads_due ON uploads (due_at) WHERE due_at IS NOT NULL;
  CREATE TABLE waiting (
    partial TEXT NOT NULL, final TEXT NOT NULL, PRIMARY KEY (partial, final)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX waiting_by_final ON waiting (final);
  CREATE TABLE sharing (blob TEXT NOT NULL, upload TEXT NOT NULL, PRIMARY KEY (blob, upload)) STRICT, WITHOUT ROWID;
  CREATE INDEX sharing_by_upload ON sharing (upload);
  CREATE TABLE journal (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, created_at INTEGER NOT NULL, bytes BLOB NOT NULL,
    added_at INTEGER NOT NULL, boot TEXT NOT NULL
  ) STRICT;
  PRAGMA user_version = 5;`

/** The columns of an upload that are not as they are by default. */
type Columns = Readonly<Record<string, string | number>>

const WHOLE = { length: 10, offset: 10, complete: 1, synced: 10 }
/** Its hook, or its copy, was not done yet. */
const DUE = { due_at: 1, attempt: 0 }
const PARTIAL = '{"header":"partial"}'

const UPLOADS: Readonly<Record<string, Columns>> = {
  unfinished: { length: 10, offset: 4, boot: BOOT, expires_at: 1_700_000_000_500 },
  journaled: WHOLE,
  finished: WHOLE,
  unnamed: WHOLE,
  hooked: { ...WHOLE, ...DUE },
  one: { ...WHOLE, concat: PARTIAL },
  two: { length: 10, concat: PARTIAL },
  waiting: { length: 20, concat: '{"header":"final;one two","partials":["one","two"]}' },
  assembled: {
    ...{ ...WHOLE, ...DUE, concat: '{"header":"final;one","partials":["one"]}' },
    pieces: '[{"start":0,"blob":"one"}]',
  },
}

/** What was left by a kill: uploads at every stage of their lives. */
function left(): string {
  const directory = tempFolder()
  const part = (blob: string, content: Buffer): void => writeFileSync(join(directory, STATE, 'parts', blob), content)
  mkdirSync(join(directory, STATE, 'parts'), { recursive: true })
  const database = openDatabase(join(directory, STATE, 'uploads.sqlite'))
  database.exec('PRAGMA journal_mode = WAL')
  database.exec(VERSION_5)
  for (const [id, columns] of Object.entries(UPLOADS)) {
    const values = { id, created_at: 1_700_000_000_000, fence: 1_700_000_000_001, ...columns }
    const names = Object.keys(values)
    const places = names.map(() => '?').join()
    database.prepare(`INSERT INTO uploads (${names.join()}) VALUES (${places})`).run(...Object.values(values))
  }
  database.exec(`INSERT INTO waiting VALUES ('one', 'waiting'), ('two', 'waiting');
    INSERT INTO sharing VALUES ('one', 'assembled')`)
  // Its file is lost: the power was.
  database
    .prepare("INSERT INTO journal VALUES (1, 'journaled', 1700000000000, ?, 1700000000000, 'another')")
    .run(bytes(10, 2))
  database.close()
  part('unfinished', bytes(4, 1))
  writeFileSync(join(directory, 'finished'), bytes(10, 3))
  part('unnamed', bytes(10, 4))
  part('hooked', bytes(10, 5))
  part('one', bytes(10, 6))
  return directory
}

const VERSION = { 'Tus-Resumable': '1.0.0' }
const CHUNK = { ...VERSION, 'Content-Type': 'application/offset+octet-stream' }

it('everything in a database of version 5 goes on, and nothing is told of before its file is there', async () => {
  const directory = left()
  const seen = new Map<string, Buffer>()
  const errors: unknown[] = []
  const tus = new TusServer({
    storage: new SQLiteStorage({ directory, boot: BOOT }),
    expiration: { unfinishedAfterMs: 60_000 },
    onUploadComplete: ({ upload, path }) => void seen.set(upload.id, readFileSync(path ?? '')),
    onError: (error) => errors.push(error),
  })
  const ask = async (method: string, id: string, headers = {}, body?: Buffer): Promise<number> =>
    (await tus.handleRequest(method, `/files/${id}`, { ...VERSION, ...headers }, body)).status
  for (const id of ['unfinished', 'journaled', 'finished', 'unnamed', 'one', 'two', 'waiting']) {
    expect([id, await ask('HEAD', id)]).toEqual([id, 200])
  }
  expect(await ask('PATCH', 'unfinished', { ...CHUNK, 'Upload-Offset': '4' }, bytes(6, 7))).toBe(204)
  expect(await ask('PATCH', 'two', { ...CHUNK, 'Upload-Offset': '0' }, bytes(10, 8))).toBe(204)
  await tus.cleanUp()
  // The next one finds what the first one has published.
  await tus.cleanUp()

  const files = {
    unfinished: Buffer.concat([bytes(4, 1), bytes(6, 7)]),
    ...{ journaled: bytes(10, 2), finished: bytes(10, 3), unnamed: bytes(10, 4), hooked: bytes(10, 5) },
    ...{ assembled: bytes(10, 6), waiting: Buffer.concat([bytes(10, 6), bytes(10, 8)]) },
  }
  expect(errors).toEqual([])
  for (const [id, content] of Object.entries(files)) {
    expect([id, readFileSync(join(directory, id))]).toEqual([id, content])
  }
  expect(seen).toEqual(
    new Map(['hooked', 'unfinished', 'assembled', 'waiting'].map((id) => [id, files[id as 'hooked']])),
  )
  for (const id of Object.keys(files)) expect([id, await ask('DELETE', id)]).toEqual([id, 204])
  await tus.cleanUp()
  expect(readdirSync(directory)).toEqual([STATE])
  expect(readdirSync(join(directory, STATE, 'parts'))).toEqual([])
  await tus.close()
})
