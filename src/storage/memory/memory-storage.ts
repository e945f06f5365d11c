// Uploads in memory, for tests and small things. Nothing survives the process.

import { type Checks, callback, checkOptions } from '../../check-options.js'
import { CombinedStorage } from '../combined-storage.js'
import { MemoryBlobs } from './memory-blobs.js'
import { MemoryRecords } from './memory-records.js'

/** Options of {@link MemoryStorage}. */
export interface MemoryStorageOptions {
  /**
   * The clock, in milliseconds since the epoch; for tests.
   * @default Date.now
   */
  readonly now?: (() => number) | undefined
}

const CHECKS: Checks<MemoryStorageOptions> = { now: callback }

/** Keeps uploads in memory: for tests, and for small things that need not survive the process. */
export class MemoryStorage extends CombinedStorage {
  /**
   * @param options - the clock
   * @throws TypeError if an option is unknown, or can't be what it says
   */
  constructor(options: MemoryStorageOptions = {}) {
    const { now = Date.now } = checkOptions('MemoryStorage', options, CHECKS)
    super(new MemoryRecords(now), new MemoryBlobs(), now)
  }
}
