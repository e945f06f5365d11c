// Ends what processes held before the system was started the last time: they are gone, whatever the clock says. After a
// power loss it may stand in the past, and nobody would sweep, finish or vacuum before it has caught up.

import { isCertainBootId } from '../boot-id.js'
import { type Database, isFull } from './driver.js'
import type { Writes } from './writes.js'

/** The row of `leases` that says which run of the system this was done in last. */
const NAME = 'boot'

/**
 * Ends all leases of other runs of the system, once in each run: it reads all uploads.
 * @param database - where they are
 * @param options - the present run of the system, milliseconds since the epoch
 * @param writes - the transactions of the connection
 */
export function endLeasesOfOtherBoots(
  database: Database,
  { boot, now }: { readonly boot: string; readonly now: () => number },
  writes: Writes,
): void {
  const isDone = (): boolean =>
    database.prepare('SELECT 1 FROM leases WHERE name = ? AND owner = ?').get(NAME, boot) !== undefined
  // A name that was guessed by the clock may be another one although the processes live.
  if (!isCertainBootId(boot) || isDone()) return
  const end = (): void => {
    // Another process may have been faster, and hold something by now.
    if (isDone()) return
    database.prepare('UPDATE uploads SET lease_until = 0 WHERE owner IS NOT NULL AND lease_until > ?').run(now())
    database.prepare('UPDATE uploads SET due_at = ? WHERE due_at > ?').run(now(), now())
    database.exec('DELETE FROM leases')
    database.prepare('INSERT INTO leases (name, owner, until) VALUES (?, ?, 0)').run(NAME, boot)
  }
  try {
    writes.transaction(end)
  } catch (error) {
    // On a full disk uploads are still read and removed, so it must not keep the server from starting. The leases run
    // out by the clock, or the next start ends them.
    if (!isFull(error)) throw error
  }
}
