// The worker behind Checkpointer: moves the write-ahead log into the database whenever it is told to, and starts the
// log over. All that SQLite syncs is synced in here.
//
// SQLite starts the log over by itself with the first write after all of it has been moved, and syncs its new head in
// that write: in a request, on the main thread. So a connection here reads as long as somebody else could do that (a
// log that is read is not started over), and when all is moved the write that starts it over is one of this worker.

import { parentPort, workerData } from 'node:worker_threads'
import type { CheckpointOutcome, CheckpointWorkerData } from './checkpointer.js'
import { type Database, isBusy, openDatabase } from './driver.js'
import { startOver } from './schema.js'

/** How soon it is tried again to start the log over, in milliseconds, if somebody else keeps the database. */
const RETRY_MS = 100

const { path, driver, moduleFolders, maxLogPages } = workerData as CheckpointWorkerData
/** Moves. */
const mover = openDatabase(path, driver, moduleFolders)
/** Keeps the log from being started over. */
const reader = openDatabase(path, driver, moduleFolders)
/** Starts it over. */
const writer = openDatabase(path, driver, moduleFolders)
for (const database of [mover, reader, writer]) {
  database.exec('PRAGMA busy_timeout = 1000; PRAGMA checkpoint_fullfsync = 1')
}
// It syncs the new head of the log and no more; and moves nothing.
writer.exec('PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0')
const checkpoint = mover.prepare('PRAGMA wal_checkpoint(PASSIVE)')
const read = reader.prepare('SELECT count(*) FROM leases')
const version = writer.prepare('PRAGMA data_version')
/** What the version was when all of the log had been moved, as long as it is to be started over. */
let movedAt: number | undefined

parentPort?.on('message', (message: 'checkpoint' | 'close') => {
  if (message === 'close') {
    movedAt = undefined
    for (const database of [reader, writer, mover]) database.close()
    parentPort?.close()
    return
  }
  parentPort?.postMessage(attempt(moveAll))
})

/** What fails here is tried again: the whole after as many writes, and what nobody else should do a moment later. */
function attempt(action: () => void): CheckpointOutcome {
  let outcome: CheckpointOutcome = 'done'
  try {
    action()
  } catch (error) {
    // A disk that is full or failing. Somebody who keeps the database is no failure.
    if (!isBusy(error)) outcome = 'failed'
  } finally {
    end(writer)
    if (movedAt === undefined) end(reader)
    else setTimeout(() => attempt(finish), RETRY_MS)
  }
  return outcome
}

function moveAll(): void {
  if (move() <= maxLogPages) return
  // Under constant load it never catches up with the writers, and the log would grow for ever. So it keeps them from
  // writing: they wait, off their event loops. First once more without that, which leaves little to do.
  if (move() <= maxLogPages) return
  writer.exec('BEGIN IMMEDIATE')
  move()
}

/**
 * Moves what is there now. If nothing comes after it, the log is started over.
 * @returns how many pages the log has that still has something in it
 */
function move(): number {
  // What is read from here on is the log's end of now: it is moved up to there.
  end(reader)
  movedAt = undefined
  reader.exec('BEGIN')
  read.get()
  const before = versionNow()
  const [row] = checkpoint.all() as { busy: number; log: number; checkpointed: number }[]
  // Another process is at it.
  if (row === undefined || row.busy !== 0) return 0
  // Somebody has written since: there is something left to be moved, and as long as there is, nobody starts the log
  // over.
  if (versionNow() !== before || row.checkpointed < row.log) return row.log
  movedAt = before
  finish()
  return 0
}

/** Starts the log over, unless somebody has written since it was moved. */
function finish(): void {
  if (movedAt === undefined) return
  if (versionNow() === movedAt) {
    end(writer)
    writer.exec('BEGIN IMMEDIATE')
    end(reader)
    // If somebody was faster after all, this is a write behind theirs, and does no harm.
    startOver(writer)
    writer.exec('COMMIT')
  }
  movedAt = undefined
}

function versionNow(): number {
  return (version.get() as { data_version: number }).data_version
}

/** Ends what a connection has begun, if it has. */
function end(database: Database): void {
  try {
    database.exec('ROLLBACK')
  } catch {
    // There was nothing.
  }
}
