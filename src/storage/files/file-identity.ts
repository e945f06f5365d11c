// What tells one file from another that has its name later.

import { type BigIntStats, fstatSync, lstatSync } from 'node:fs'

/** A file as far as its identity goes. */
type Stats = Pick<BigIntStats, 'ino' | 'birthtimeNs'>

/**
 * The identity of a file: it stays through renames, links and writes. Numbers of files are used again once a file is gone,
 * so the time at which it was made belongs to it, where the file system knows that.
 */
export function identityOf({ ino, birthtimeNs }: Stats): string {
  return `${ino}.${birthtimeNs}`
}

/** The identity and the size of an open file, with one call. */
export function statOpen(descriptor: number): { readonly identity: string; readonly size: number } {
  const stats = fstatSync(descriptor, { bigint: true })
  return { identity: identityOf(stats), size: Number(stats.size) }
}

/** What lies at a path, links not followed; `undefined` if nothing does. */
export function statPath(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true, throwIfNoEntry: false })
  } catch (error) {
    // What should be a folder above it is a file.
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return undefined
    throw error
  }
}

/**
 * Whether a file is the one that it should be. Where its identity is not known (the directory comes from a backup, say) or
 * does not have the time at which it was made, its size decides as well.
 */
export function isSameFile(
  found: BigIntStats,
  { identity, size }: { readonly identity: string | undefined; readonly size: number },
): boolean {
  if (!found.isFile()) return false
  if (identity === undefined) return found.size === BigInt(size)
  return identity === identityOf(found) && (found.birthtimeNs !== 0n || found.size === BigInt(size))
}
