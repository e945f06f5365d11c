// The worker behind Checkpointer: checks the write-ahead log in, whenever it is told to.

import { parentPort, workerData } from 'node:worker_threads'
import type { CheckpointOutcome, CheckpointWorkerData } from './checkpointer.js'
import { openDatabase } from './driver.js'

const { path, driver, maxLogPages } = workerData as CheckpointWorkerData
const database = openDatabase(path, driver)
database.exec('PRAGMA busy_timeout = 1000')
const passive = database.prepare('PRAGMA wal_checkpoint(PASSIVE)')
// Writers wait while it works, but the passive one before has left it little to do.
const restart = database.prepare('PRAGMA wal_checkpoint(RESTART)')

parentPort?.on('message', (message: 'checkpoint' | 'close') => {
  if (message === 'close') {
    database.close()
    parentPort?.close()
    return
  }
  try {
    checkpoint()
    parentPort?.postMessage('done' satisfies CheckpointOutcome)
  } catch {
    // A disk that is full or failing: the log stays as it is, and it is tried again after as many writes.
    parentPort?.postMessage('failed' satisfies CheckpointOutcome)
  }
})

function checkpoint(): void {
  const [row] = passive.all() as { log: number }[]
  // Under constant load a passive checkpoint never catches up with the writers, and the log would grow for ever.
  if (row === undefined || row.log <= maxLogPages) return
  passive.all()
  restart.all()
}
