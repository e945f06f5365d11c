// A file system with room for a few megabytes. Mounting takes root, which this project's CI is.
import { execFileSync } from 'node:child_process'
import { beforeRemoval, tempFolder } from './temp-folder.js'

/** Mounts a file system of so many bytes, until the tests of a file are over. Returns the path of its folder. */
export function smallDisk(bytes: number): string {
  const folder = tempFolder()
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder])
  beforeRemoval(() => execFileSync('umount', ['-l', folder]))
  return folder
}

/** Whether this process may mount one. */
export const canMount = process.platform === 'linux' && process.getuid?.() === 0

/** A test on a {@link smallDisk}: shown as skipped, not as passed, where nobody may mount one. */
export const onSmallDisk: jest.It = canMount ? it : it.skip

/** Gives a mounted file system room for so many bytes in all. */
export function growDisk(folder: string, bytes: number): void {
  execFileSync('mount', ['-o', `remount,size=${bytes}`, folder])
}
