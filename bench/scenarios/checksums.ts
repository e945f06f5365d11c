// What checksums add, beside what the hash itself costs on the same bytes.

import { createHash } from 'node:crypto'
import { chunks } from '../loads.js'
import { inTurns, measureLoad, type Sample } from '../measure.js'
import { HASHING, OURS_EXPRESS, OURS_NODE, type Rival } from '../servers.js'
import { chosen, medians } from './comparison.js'
import type { Row, Scenario } from './scenario.js'

const MIB = 1024 * 1024
const CHUNK = 8 * MIB
const ALGORITHMS = ['none', 'sha1', 'sha256'] as const

type Algorithm = (typeof ALGORITHMS)[number]

/** 8 MiB PATCHes with and without `Upload-Checksum`. */
export const checksums: Scenario = {
  name: 'checksums',
  title: 'Checksums: 8 MiB PATCHes, 4 connections',
  run: async (settings) => {
    const steps = 256 / settings.shrink
    const servers = chosen([OURS_EXPRESS, OURS_NODE], settings)
    // In turns, the hash alone among them: what it costs depends on what else the processor does.
    const subjects = [HASHING, ...servers].flatMap((server) => ALGORITHMS.map((algorithm) => ({ server, algorithm })))
    // Differences, so they need more rounds than what is measured itself.
    const rounds = settings.rounds * 2 - 1
    const samples = await inTurns(subjects, { ...settings, rounds }, ({ server, algorithm }) => {
      const load = chunks({
        connections: 4,
        size: CHUNK,
        each: 8,
        steps,
        headers: (bytes) => headersFor(algorithm, bytes),
      })
      const options = server === HASHING && algorithm !== 'none' ? { algorithm } : {}
      return measureLoad({ ...server, options }, load, settings, { parent: settings.memoryFolder })
    })
    const resultOf = (server: Rival, algorithm: Algorithm): Sample => {
      const subject = subjects.find((other) => other.server === server && other.algorithm === algorithm)
      return medians(samples.get(subject as (typeof subjects)[number]) as Sample[])
    }
    const addedBy = (server: Rival, algorithm: Algorithm): number =>
      resultOf(server, algorithm).cpuMsPerUnit - resultOf(server, 'none').cpuMsPerUnit
    const rows = servers.flatMap((server) =>
      ALGORITHMS.map((algorithm): Row => {
        const { perSecond, cpuMsPerUnit } = resultOf(server, algorithm)
        const [addedMs, hashMs] = [addedBy(server, algorithm), addedBy(HASHING, algorithm)]
        const added = algorithm === 'none' ? {} : { addedMs, hashMs, share: addedMs / hashMs }
        return { label: `${server.name}, ${algorithm}`, values: { perSecond, cpuMs: cpuMsPerUnit, ...added } }
      }),
    )
    return {
      subject: 'server, algorithm',
      columns: [
        { key: 'perSecond', title: 'MiB/s' },
        { key: 'cpuMs', title: 'CPU ms per MiB' },
        { key: 'addedMs', title: 'added by the checksum' },
        { key: 'hashMs', title: '`crypto` in a bare handler' },
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
