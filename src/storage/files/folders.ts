// Folders, and what it takes for their names to survive a power loss.

import { close, closeSync, constants, fsync, fsyncSync, mkdirSync, open, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { promisify } from 'node:util'

const openAsync = promisify(open)
const fsyncAsync = promisify(fsync)
const closeAsync = promisify(close)

/** Windows has no handle of a folder to sync, and needs none: NTFS journals the names. */
const CAN_SYNC_FOLDERS = process.platform !== 'win32'

/** Makes a folder and those above it, if they are missing, and waits until they are on the disk. */
export function makeFolder(path: string): void {
  const first = mkdirSync(path, { recursive: true })
  if (first === undefined || !CAN_SYNC_FOLDERS) return
  const top = dirname(first)
  for (let folder = path; ; folder = dirname(folder)) {
    const descriptor = openSync(folder, constants.O_RDONLY)
    try {
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    if (folder === top) return
  }
}

/** Settles when the names in a folder have reached the disk. */
export async function syncFolder(path: string): Promise<void> {
  if (!CAN_SYNC_FOLDERS) return
  const descriptor = await openAsync(path, constants.O_RDONLY)
  try {
    await fsyncAsync(descriptor)
  } finally {
    await closeAsync(descriptor)
  }
}
