// Makes sure of a directory at the start: that it is there, may be written to, and is of a kind that keeps its
// promises.

import { accessSync, chmodSync, closeSync, constants, fchmodSync, openSync, statfsSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { makeFolder } from './folders.js'

/** Rights to read, write and enter, for the owner, the group and all others, in this order. */
const PERMISSIONS = 0o777

/**
 * Makes a folder unless it is there, and makes sure that it may be written to.
 * @param mode - its rights, whatever the umask; if not given, those of a folder that is there stay
 * @throws Error that names path, cause and remedy; its `code` is that of the system
 */
export function ensureFolder(path: string, mode?: number): void {
  try {
    makeFolder(path)
    if (!statSync(path).isDirectory()) throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' })
    if (mode !== undefined) setMode(path, mode)
    accessSync(path, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw explained(path, error)
  }
}

/**
 * Makes a file unless it is there.
 * @param mode - the rights of a new one, whatever the umask
 * @throws Error that names path, cause and remedy; its `code` is that of the system
 */
export function ensureFile(path: string, mode: number): void {
  try {
    const isNew = statSync(path, { throwIfNoEntry: false }) === undefined
    // Not opened for reading only: whether it may be written to is the question.
    const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, mode)
    try {
      if (isNew) fchmodSync(descriptor, mode)
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    throw explained(path, error)
  }
}

function setMode(path: string, mode: number): void {
  if (process.platform === 'win32' || (statSync(path).mode & PERMISSIONS) === mode) return
  try {
    chmodSync(path, mode)
  } catch (error) {
    // Only its owner may; whoever that is has chosen its rights.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error
  }
}

const REMEDIES: Readonly<Record<string, (path: string) => string>> = {
  EACCES: ownership,
  EPERM: ownership,
  EROFS: () => 'the file system is mounted read-only: mount it for writing, or choose another directory',
  ENOSPC: (path) => `there is no space left, or no room for another file. Look at: df -h ${path}; df -i ${path}`,
  EDQUOT: (path) => `the disk quota of this user is used up. Look at: quota -s; du -sh ${path}`,
  ENOTDIR: notFolder,
  EEXIST: notFolder,
  ELOOP: () => 'it is a symbolic link that leads to itself',
}

function ownership(path: string): string {
  const user = process.getuid?.()
  if (user === undefined) return 'this user may not write to it'
  return `user ${user} may not write to it. Run: sudo chown -R ${user}:${process.getgid?.()} ${path}`
}

function notFolder(path: string): string {
  return `${path}, or something above it, is a file. Move it away, or choose another directory`
}

function explained(path: string, thrown: unknown): Error {
  const first = thrown as NodeJS.ErrnoException
  // On a file system that may not be written to, Node says of a folder that it can't make that it is not there.
  const error = first.code === 'ENOENT' ? (whyNotMade(path) ?? first) : first
  const place = nearest(path)
  const remedy = REMEDIES[error.code ?? '']?.(place) ?? error.message
  const message = `SQLiteStorage: ${path} can't be used (${error.code ?? error.name}): ${remedy}`
  return Object.assign(new Error(message, { cause: thrown }), { code: error.code })
}

/** Why the first folder above a path that is there takes nothing new. */
function whyNotMade(path: string): NodeJS.ErrnoException | undefined {
  try {
    accessSync(nearest(path), constants.W_OK | constants.X_OK)
    return undefined
  } catch (error) {
    return error as NodeJS.ErrnoException
  }
}

/** The path itself, or the first one above it that is there. */
function nearest(path: string): string {
  let place = path
  while (place !== dirname(place) && statOrNothing(place) === undefined) place = dirname(place)
  return place
}

function statOrNothing(path: string): unknown {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

/** By the numbers that Linux gives to them (`statfs(2)`). */
const NETWORK_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS/SMB'],
  [0xfe534d42, 'SMB'],
  [0x01021997, '9p'],
  [0x65735546, 'FUSE (sshfs, s3fs and the like)'],
  [0x5346414f, 'AFS'],
  [0x00c36400, 'CephFS'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
  [0x786f4256, 'VirtualBox shared folders'],
])

const warned = new Set<string>()

/** What kind of network file system a folder lies on; `undefined` if none, or if the system does not say. */
export function networkFileSystem(
  path: string,
  statfs: (path: string) => { readonly type: number } = statfsSync,
): string | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    return NETWORK_FILE_SYSTEMS.get(statfs(path).type >>> 0)
  } catch {
    return undefined
  }
}

/** Warns, once for each folder, of a file system on which what SQLite and Unix sockets need may not work. */
export function warnOfNetworkFileSystem(path: string, kind = networkFileSystem(path)): void {
  if (kind === undefined || warned.has(path)) return
  warned.add(path)
  process.emitWarning(
    `${path} lies on a network file system: ${kind}. SQLite's write-ahead log needs locks and shared memory, which are ` +
      'those of one host there: several hosts that share it can damage the records, and processes may not reach each ' +
      'other by their Unix sockets. Use a local disk.',
    { code: 'RESUMABLE_UPLOAD_NETWORK_FILE_SYSTEM' },
  )
}
