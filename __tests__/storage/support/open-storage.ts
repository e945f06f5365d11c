// Storages on disk for the tests of a file, with a view of their folders.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { SQLiteStorage } from '../../../src/storage/sqlite/sqlite-storage.js'
import { manualClock, Subject } from '../../../src/testing/subject.js'
import { tempFolder } from './temp-folder.js'

export interface Opened {
  readonly directory: string
  readonly storage: SQLiteStorage
  readonly subject: Subject
  /** The names of finished files, those in subfolders included. */
  finished(): string[]
  /** The names of unfinished ones. */
  parts(): string[]
  part(blob: string): string
}

const open: Opened[] = []

/** Opens a storage; it is closed after the test. */
export function openStorage(directory = tempFolder()): Opened {
  const clock = manualClock()
  const storage = new SQLiteStorage({ directory, now: clock.now })
  const parts = join(directory, '.resumable-upload/parts')
  const opened: Opened = {
    directory,
    storage,
    subject: new Subject(storage, { clock, leaseMs: 10_000 }),
    finished: () =>
      readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) => !name.startsWith('.resumable')),
    parts: () => readdirSync(parts).sort(),
    part: (blob) => join(parts, blob),
  }
  open.push(opened)
  return opened
}

afterEach(async () => {
  for (const { storage } of open.splice(0)) await storage.close()
})
