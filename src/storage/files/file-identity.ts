// What tells one file from another that has its name later.

import { type BigIntStats, fstatSync, lstatSync, statSync } from 'node:fs'

/** A file as far as its identity goes. */
type Stats = Pick<BigIntStats, 'ino' | 'birthtimeNs'>

/** Where the field is what it says. Elsewhere Node puts the time of the last change there, which every write moves. */
const WITH_BIRTH_TIMES: ReadonlySet<string> = new Set(['linux', 'darwin', 'win32', 'freebsd', 'netbsd'])

/**
 * Whether the system says when files were made. A Linux kernel before 4.11, or a container that is kept from the call
 * `statx`, does not, and Node takes the time of the last change: /proc, whose files never were made, tells by having
 * one.
 */
export function knowsBirthTimes(
  platform: string = process.platform,
  stat: (path: string) => Pick<BigIntStats, 'birthtimeNs'> = (path) => statSync(path, { bigint: true }),
): boolean {
  if (!WITH_BIRTH_TIMES.has(platform)) return false
  try {
    return platform !== 'linux' || stat('/proc').birthtimeNs === 0n
  } catch {
    return false
  }
}

let areBirthTimesKnown: boolean | undefined

/** When a file was made, in nanoseconds since the epoch; 0 if that is not known. */
function birthOf({ birthtimeNs }: Pick<BigIntStats, 'birthtimeNs'>): bigint {
  areBirthTimesKnown ??= knowsBirthTimes()
  return areBirthTimesKnown ? birthtimeNs : 0n
}

/**
 * The identity of a file: it stays through renames, links and writes. Numbers of files are used again once a file is
 * gone, so the time at which it was made belongs to it, where the file system knows that.
 */
export function identityOf(stats: Stats): string {
  return `${stats.ino}.${birthOf(stats)}`
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
 * Whether a file is the one that it should be. Where its identity is not known (the directory comes from a backup, say)
 * or does not have the time at which it was made, its size decides as well.
 */
export function isSameFile(
  found: BigIntStats,
  { identity, size }: { readonly identity: string | undefined; readonly size: number },
): boolean {
  if (!found.isFile()) return false
  if (identity === undefined) return found.size === BigInt(size)
  return identity === identityOf(found) && (birthOf(found) !== 0n || found.size === BigInt(size))
}
