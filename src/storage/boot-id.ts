// Names the present run of the operating system: what was not synced before a power loss was written in another one,
// and a process of another one is gone.

import { readFileSync } from 'node:fs'
import { uptime } from 'node:os'

const MINUTE_MS = 60_000
const GUESSED = 'started '

let known: string | undefined

/** The name of the present run of the operating system. */
export function bootId(): string {
  known ??= readBootId()
  return known
}

/** Whether the system itself gave a name: then two names that differ are two runs. */
export function isCertainBootId(id: string): boolean {
  return !id.startsWith(GUESSED)
}

function readBootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    // A clock that was set makes it look like another run: then more is sent again than needed, and nothing is lost.
    return `${GUESSED}${Math.round((Date.now() - uptime() * 1000) / MINUTE_MS)}`
  }
}
