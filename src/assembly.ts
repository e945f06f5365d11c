// Makes a final upload of its partial uploads, once they are complete.

import type { Core } from './core.js'
import { tombstoneOf } from './handlers/missing.js'
import { removeUpload } from './handlers/remove-upload.js'
import type { AssemblyResult } from './storage/storage.js'

/** What is remembered of a final upload that can not come about: it is too large, or a partial upload is lost. */
const HOPELESS = { 'too-large': 413, gone: 410 } as const

/**
 * Assembles a final upload if its partial uploads are complete. May be called again and again.
 * @param isFinished - whether the caller does what is left to be done then, at once; if not, it is done in the
 *   background
 */
export async function assemble(core: Core, id: string, isFinished = false): Promise<AssemblyResult> {
  const { storage, durability, leaseMs, now } = core.options
  const completion = isFinished ? { owner: core.claims.owner, ttlMs: leaseMs } : undefined
  const assembly = { activeAtMs: now(), durable: durability !== 'none', completion }
  const result = (await storage.assemble?.(id, assembly)) ?? 'gone'
  if (result === 'too-large' || result === 'gone') {
    await removeUpload(core, id, { request: undefined, tombstone: tombstoneOf(core, HOPELESS[result]) })
  }
  return result
}

/** Assembles the final uploads that have waited for a partial upload that is complete now. */
export async function assembleFinalsOf(core: Core, partial: string): Promise<void> {
  const { storage } = core.options
  const finals = (await storage.waitingFinals?.(partial)) ?? []
  for (const id of finals) await assemble(core, id)
  if (finals.length > 0) core.completions.wake('copy')
}
