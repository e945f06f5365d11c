// What SQLite's write-ahead log says of itself.
import { closeSync, openSync, readSync } from 'node:fs'

/** How often a log was started over: its head counts that. */
export const timesStartedOver = (wal: string): number => numberAt(wal, 12).readUInt32BE()

/** Up to which page the last checkpoint has gone, or goes: the index of the log has that. */
export const checkpointOf = (wal: string): number => numberAt(wal.replace(/wal$/, 'shm'), 128).readUInt32LE()

function numberAt(path: string, position: number): Buffer {
  const number = Buffer.alloc(4)
  const descriptor = openSync(path, 'r')
  readSync(descriptor, number, 0, number.length, position)
  closeSync(descriptor)
  return number
}
