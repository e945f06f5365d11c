// The write-ahead log beside its connection: synced, moved into the database, and given room on a full disk.

import { dirname, join } from 'node:path'
import { Checkpointer } from './checkpointer.js'
import type { Database, SQLiteDriver } from './driver.js'
import { LogSync } from './log-sync.js'
import { Reserve } from './reserve.js'

/** What {@link WriteAheadLog} needs. */
export interface WriteAheadLogOptions {
  /** The database file. */
  readonly path: string
  readonly driver: SQLiteDriver | undefined
  /** Does something, that must not be asynchronous, while others are kept from writing. */
  readonly alone: (action: () => void) => Promise<void>
}

/** The write-ahead log of one connection. */
export class WriteAheadLog {
  readonly #database: Database
  readonly #reserve: Reserve
  readonly #sync: LogSync
  readonly #checkpointer: Checkpointer

  /**
   * @param database - the connection
   * @param options - where it is
   */
  constructor(database: Database, { path, driver, alone }: WriteAheadLogOptions) {
    this.#database = database
    this.#reserve = new Reserve(join(dirname(path), 'reserve'))
    this.#sync = new LogSync(`${path}-wal`, alone)
    this.#checkpointer = new Checkpointer({
      path,
      driver,
      onDone: (outcome, asked) => {
        if (outcome === 'failed') this.#sync.doubt()
        else if (!asked) this.#reserve.restore()
      },
      onFailure: (cause) => {
        database.exec('PRAGMA wal_autocheckpoint = 1000')
        process.emitWarning(withoutWorker(cause), { code: 'RESUMABLE_UPLOAD_NO_CHECKPOINT_WORKER' })
      },
    })
  }

  /** To be called before the first request. */
  recover(): void {
    this.#sync.recover(this.#database)
  }

  /** Says that the connection has written. */
  wrote(): void {
    this.#checkpointer.wrote()
  }

  /** Settles when all that was committed before has reached the disk. */
  sync(): Promise<void> {
    return this.#sync.sync()
  }

  /**
   * If the log can't grow, it is moved into the database, for which there is the reserve, and begins anew in the space
   * that it has. So removing an upload, for one, succeeds on a full disk.
   */
  async makeRoom(): Promise<void> {
    this.#reserve.release()
    const moved = this.#checkpointer.run()
    if (moved) await moved
    else this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)')
  }

  /**
   * Closes the connection, and the worker after it: whoever is the last one moves the log into the database, with its
   * syncs.
   */
  async close(): Promise<void> {
    await this.#sync.close()
    this.#database.close()
    await this.#checkpointer.close()
  }
}

function withoutWorker(cause: unknown): string {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return (
    `SQLiteStorage: no worker thread for checkpoints (${reason}). ` +
    'The main thread does them from now on, which holds up requests while the disk syncs.'
  )
}
