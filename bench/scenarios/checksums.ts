// What checksums add, beside what the hash itself costs on the same bytes.

import { createHash } from 'node:crypto'
import { bytesFor } from '../client/bodies.js'
import { chunks } from '../loads.js'
import { inTurns, measureLoad, median, type Sample } from '../measure.js'
import { OURS_EXPRESS, OURS_NODE } from '../servers.js'
import { chosen, medians } from './comparison.js'
import type { Row, Scenario } from './scenario.js'

const MIB = 1024 * 1024
const CHUNK = 8 * MIB
/** What a body comes in, as a socket gives it. */
const READ = 64 * 1024
const ALGORITHMS = ['none', 'sha1', 'sha256'] as const

type Algorithm = (typeof ALGORITHMS)[number]

/** 8 MiB PATCHes with and without `Upload-Checksum`. */
export const checksums: Scenario = {
  name: 'checksums',
  title: 'Checksums: 8 MiB PATCHes, 4 connections',
  run: async (settings) => {
    const steps = 128 / settings.shrink
    const rows: Row[] = []
    for (const server of chosen([OURS_EXPRESS, OURS_NODE], settings)) {
      const hashes = new Map<Algorithm, number[]>(ALGORITHMS.map((algorithm) => [algorithm, []]))
      const samples = await inTurns(ALGORITHMS, settings, async (algorithm) => {
        // Beside the window, so that both find the same machine.
        hashes.get(algorithm)?.push(hashMsPerMiB(algorithm, steps))
        const load = chunks(4, CHUNK, steps, (bytes) => headersFor(algorithm, bytes))
        return measureLoad(server, load, settings, { parent: settings.memoryFolder })
      })
      const without = medians(samples.get('none') as Sample[])
      for (const [algorithm, taken] of samples) {
        const { perSecond, cpuMsPerUnit } = medians(taken)
        const hashMs = median(hashes.get(algorithm) ?? [])
        const addedMs = cpuMsPerUnit - without.cpuMsPerUnit
        rows.push({
          label: `${server.name}, ${algorithm}`,
          values: {
            perSecond,
            cpuMs: cpuMsPerUnit,
            ...(algorithm !== 'none' && { addedMs, hashMs, share: addedMs / hashMs }),
          },
        })
      }
    }
    return {
      subject: 'server, algorithm',
      columns: [
        { key: 'perSecond', title: 'MiB/s' },
        { key: 'cpuMs', title: 'CPU ms per MiB' },
        { key: 'addedMs', title: 'added by the checksum' },
        { key: 'hashMs', title: '`crypto` on the same bytes' },
        { key: 'share', title: 'added, × `crypto`' },
      ],
      rows,
    }
  },
}

function headersFor(algorithm: Algorithm, bytes: Buffer): Readonly<Record<string, string>> {
  if (algorithm === 'none') return {}
  return { 'Upload-Checksum': `${algorithm} ${createHash(algorithm).update(bytes).digest('base64')}` }
}

function hashMsPerMiB(algorithm: Algorithm, chunksInAll: number): number {
  if (algorithm === 'none') return 0
  const before = process.cpuUsage()
  for (let chunk = 0; chunk < chunksInAll; chunk++) {
    const bytes = bytesFor(chunk, CHUNK)
    const hash = createHash(algorithm)
    for (let at = 0; at < CHUNK; at += READ) hash.update(bytes.subarray(at, at + READ))
    hash.digest()
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000 / ((chunksInAll * CHUNK) / MIB)
}
