// Brings the files of journaled uploads to the disk, some time after they were finished, and drops their entries.

import type { Blobs, Journal, JournalEntry } from './parts.js'
import type { Awaitable } from './storage.js'

/** How often it is looked for some, while there are any, in milliseconds. */
const EVERY_MS = 1_000
/** A file is synced after this time, in milliseconds: by then the system may have written it by itself. */
const AFTER_MS = 30_000
/** For so long a file that somebody has moved away is waited for: its new place may not be on the disk yet. */
const MOVED_MS = 60_000
/** So many share the sync of their folder. */
const AT_ONCE = 64
/** With more bytes than this on their way, uploads are synced on their own: the disk does not keep up. */
const MOST_BYTES = 32 * 1024 * 1024
/** What an entry costs besides its bytes. */
const ENTRY_BYTES = 512

/** What {@link JournalSettler} works with. */
export interface JournalSettlerOptions {
  readonly journal: Journal
  readonly blobs: Blobs
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** Settles journal entries in the background. */
export class JournalSettler {
  readonly #journal: Journal
  readonly #blobs: Blobs
  readonly #now: () => number
  /** How much is on its way. It is counted after each round, whoever has put it there. */
  #bytes = 0
  #takenAtMs = Number.NEGATIVE_INFINITY
  /** When there is something to be done. */
  #dueAtMs = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #closed = false

  /** @param options - the journal, and where the files are */
  constructor({ journal, blobs, now }: JournalSettlerOptions) {
    this.#journal = journal
    this.#blobs = blobs
    this.#now = now
    this.#lookForLeft().catch(() => {})
  }

  /** Whether an upload of so many bytes goes to the journal. If so, that is taken for done. */
  take(bytes: number): boolean {
    if (bytes > this.#journal.maxBytes || this.#bytes + bytes > MOST_BYTES) return false
    this.#bytes += bytes + ENTRY_BYTES
    this.#takenAtMs = this.#now()
    this.#wakeAt(this.#takenAtMs + AFTER_MS)
    return true
  }

  /** Settles what is old enough, and drops it. */
  settle(): Promise<void> {
    this.#running ??= this.#settleAll().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Stops after the step that is under way. What is left is the next process's. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#timer)
    await this.#running?.catch(() => {})
  }

  /** Finds what processes before this one have left. */
  async #lookForLeft(): Promise<void> {
    if (!(await this.#journal.isEmpty())) this.#wakeAt(this.#now())
  }

  #wakeAt(atMs: number): void {
    this.#dueAtMs = Math.min(this.#dueAtMs, atMs)
    this.#timer ??= setInterval(() => {
      // What fails comes up again, and the journal has the bytes as long as it does.
      if (this.#dueAtMs <= this.#now()) this.settle().catch(() => {})
    }, EVERY_MS).unref()
  }

  async #settleAll(): Promise<void> {
    const now = this.#now()
    this.#dueAtMs = now + AFTER_MS
    const failures: unknown[] = []
    for (let last = 0; !this.#closed; ) {
      const entries = await this.#journal.entries(last, now - AFTER_MS, AT_ONCE)
      const end = entries.at(-1)
      if (end === undefined) break
      last = end.number
      failures.push(...(await this.#settleSome(entries)))
    }
    if (!this.#closed) await this.#lookForMore(now)
    if (failures.length > 0) throw failures[0]
  }

  async #lookForMore(now: number): Promise<void> {
    const { entries, bytes } = await this.#journal.load()
    this.#bytes = bytes + entries * ENTRY_BYTES
    // An upload that was taken a moment ago may not be there yet.
    if (entries > 0 || this.#takenAtMs > now - AFTER_MS) return
    this.#dueAtMs = Number.POSITIVE_INFINITY
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** @returns why some can't be settled now; they come up again, and are in nobody's way meanwhile */
  async #settleSome(entries: readonly JournalEntry[]): Promise<readonly unknown[]> {
    const failures: unknown[] = []
    const done: JournalEntry[] = []
    const note = (error: unknown): void => void failures.push(error)
    const synced: JournalEntry[] = []
    for (const entry of entries) {
      if (this.#closed) return failures
      await this.#sync(entry).then((isSynced) => isSynced && synced.push(entry), note)
    }
    // Beside each other, so that they share the syncs of their folders.
    await Promise.all(
      synced.map((entry) => this.#syncName(entry).then((isSynced) => isSynced && done.push(entry), note)),
    )
    await this.#journal.drop(done)
    return failures
  }

  async #syncName(entry: JournalEntry): Promise<boolean> {
    const { file } = entry
    if (file === undefined) return true
    try {
      await this.#trusting(entry, () => this.#blobs.syncPlaced(file.name))
      return true
    } catch (error) {
      // The application has moved the file away, and removed its folder.
      if (isMissing(error)) return this.#isOld(entry)
      throw error
    }
  }

  /** @returns whether the entry is not needed any more */
  async #sync(entry: JournalEntry): Promise<boolean> {
    const { file } = entry
    if (file === undefined) return true
    if (entry.doubtful) {
      await this.#restore(entry)
      // It is synced like one that is new.
      return false
    }
    const syncFile = (): Promise<boolean> => this.#trusting(entry, () => this.#blobs.syncFile(file.name))
    // It has no name yet: it gets that from those who look for such files.
    if (!file.published) return false
    return (await syncFile()) || this.#isOld(entry)
  }

  /** Runs a sync. A file whose sync failed is never trusted to another one, which the system may say is well. */
  async #trusting<T>(entry: JournalEntry, sync: () => Awaitable<T>): Promise<T> {
    try {
      return await sync()
    } catch (error) {
      // What can't be opened was not synced either: it is tried again.
      if ((error as NodeJS.ErrnoException).syscall !== 'open') await this.#restore(await this.#journal.distrust(entry))
      throw error
    }
  }

  /** Whether a file that was moved away is at its new place for sure. */
  #isOld({ atMs }: JournalEntry): boolean {
    return atMs < this.#now() - MOVED_MS
  }

  async #restore(entry: JournalEntry): Promise<void> {
    await this.#journal.restore(entry, (file, bytes, anew) => this.#blobs.restore(file, bytes, anew))
  }
}

/** ENOTDIR: what was a folder is a file now. */
function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return code === 'ENOENT' || code === 'ENOTDIR'
}
