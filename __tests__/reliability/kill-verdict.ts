// What must hold when all clients of a site that was killed again and again have come to their end.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type DiskState, readDisk, remains } from './disk-state.js'
import type { Figures } from './form.js'
import { type KillSite, unlessItHangs } from './kill-site.js'
import { idOf, type UploadClient } from './upload-clients.js'

const HOUR_MS = 60 * 60_000

/** How long unfinished uploads live, and how long is remembered that they did. */
export const EXPIRATION = { unfinishedAfterMs: HOUR_MS, rememberMs: HOUR_MS, sweepEveryMs: HOUR_MS }

/**
 * Waits for all clients, cleans up, and checks that all is right and nothing else is left.
 * @param mayBeginAnew - the clients whose upload could be gone when they went on
 * @returns figures for the report
 */
export async function verdict(site: KillSite, mayBeginAnew: ReadonlySet<UploadClient> = new Set()): Promise<Figures> {
  const clients = [...site.clients.values()]
  const unfinished = (): string => {
    const stuck = clients.filter(({ finished }) => !finished)
    return stuck.map(({ name, failure }) => `${name} (${failure})`).join()
  }
  const urls = await unlessItHangs(Promise.all(clients.map(({ end }) => end)), unfinished)
  for (const [index, { sha256, name }] of clients.entries()) {
    const file = readFileSync(join(site.directory, idOf(urls[index] ?? '')))
    expect([name, createHash('sha256').update(file).digest('hex')]).toEqual([name, sha256])
  }
  // The parts of a parallel upload may have become a whole whose answer was lost; then it is sent again.
  const faithful = clients.filter((client) => client.kind !== 'parallel' && !mayBeginAnew.has(client))
  expect(faithful.filter(({ created }) => created !== 1).map(({ name, created }) => `${name}: ${created}`)).toEqual([])

  await site.advance(2 * HOUR_MS)
  await site.cleanUp()
  const clean = site.check()
  expect(remains(clean)).toEqual([])
  const runs = checkHookRuns(site, clean)
  await site.advance(2 * HOUR_MS)
  await site.cleanUp()
  expect(readDisk(site.directory).rows).toEqual({ waiting: 0, sharing: 0, tombstones: 0 })
  expect(site.errors).toEqual([])
  return {
    'uploads right in the end': clients.length,
    'records checked': site.recordsChecked,
    ...(runs > clean.records.length && { 'hooks run again': runs - clean.records.length }),
  }
}

/** Every finished upload was announced, and was whole each time. */
function checkHookRuns(site: KillSite, { records }: DiskState): number {
  const runs = site.hookRuns()
  let count = 0
  for (const { id, name } of records) {
    const sha256 = createHash('sha256')
      .update(readFileSync(join(site.directory, name)))
      .digest('hex')
    const seen = runs.get(id) ?? []
    count += seen.length
    expect([id, ...new Set(seen)]).toEqual([id, sha256])
  }
  return count
}
