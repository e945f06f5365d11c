// How long and where is measured.

import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const TMPFS_MAGIC = 0x01021994

/** How one run measures. */
export interface Settings {
  /** How often each server is measured; the median counts. */
  readonly rounds: number
  /** How long a window of small requests lasts, in milliseconds. */
  readonly windowMs: number
  /** How long a server has the processor before that, in milliseconds. */
  readonly warmUpMs: number
  /** Divides the amounts of data and of uploads, for a quick look. */
  readonly shrink: number
  /** A folder in memory (tmpfs), where the disk must not count. */
  readonly memoryFolder: string
  /** A folder on a real file system; `undefined` if there is none. */
  readonly diskFolder: string | undefined
  /** The names of the servers to measure; all if empty. */
  readonly servers: readonly string[]
}

/** The settings of a whole run, or of a quick look that takes a fraction of the time and says little. */
export function settingsFor(quick: boolean, servers: readonly string[] = []): Settings {
  return {
    ...(quick
      ? { rounds: 1, windowMs: 300, warmUpMs: 200, shrink: 16 }
      : { rounds: 3, windowMs: 2000, warmUpMs: 2000, shrink: 1 }),
    memoryFolder: process.env.BENCH_MEMORY ?? (isTmpfs('/dev/shm') ? '/dev/shm' : tmpdir()),
    diskFolder: [process.env.BENCH_DISK ?? tmpdir(), process.cwd()].find((folder) => !isTmpfs(folder)),
    servers,
  }
}

/** Calls with a folder that is gone afterwards. */
export async function withFolder<T>(parent: string, action: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(parent, 'bench-'))
  try {
    return await action(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function isTmpfs(folder: string): boolean {
  try {
    return statfsSync(folder).type === TMPFS_MAGIC
  } catch {
    return false
  }
}
