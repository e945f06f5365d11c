// Uploads in memory, for tests and small things. Nothing survives the process.

import { CombinedStorage } from '../combined-storage.js'
import { MemoryBlobs } from './memory-blobs.js'
import { MemoryRecords } from './memory-records.js'

/** Options of {@link MemoryStorage}. */
export interface MemoryStorageOptions {
  /**
   * The clock, in milliseconds since the epoch; for tests.
   * @default Date.now
   */
  readonly now?: () => number
}

/** Keeps uploads in memory: for tests, and for small things that need not survive the process. */
export class MemoryStorage extends CombinedStorage {
  /** @param options - the clock */
  constructor({ now = Date.now }: MemoryStorageOptions = {}) {
    super(new MemoryRecords(now), new MemoryBlobs(), now)
  }
}
