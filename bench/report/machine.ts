// What was measured on.

import { arch, cpus, release, totalmem, type } from 'node:os'
import type { Settings } from '../settings.js'

/** One line about the machine, Node, and how often was measured. */
export function describeMachine({ rounds, windowMs, memoryFolder, diskFolder }: Settings): string {
  const processors = cpus()
  const memory = Math.round(totalmem() / 1024 ** 3)
  return (
    `${processors.length} × ${processors[0]?.model.trim()}, ${memory} GiB, ${type()} ${release()} ${arch()}, ` +
    `Node ${process.versions.node}. Medians of ${rounds}, windows of ${windowMs / 1000} s; ` +
    `memory: ${memoryFolder}, disk: ${diskFolder ?? 'none'}.`
  )
}
