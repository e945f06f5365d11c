// What checksums add, beside what the hash itself costs on the same bytes.

import { createHash } from 'node:crypto'
import { chunks } from '../loads.js'
import { inTurns, measureWindow, median, type Sample, underLoad } from '../measure.js'
import { HASHING, OURS_EXPRESS, OURS_NODE, type Rival } from '../servers.js'
import { chosen, medians } from './comparison.js'
import type { Row, Scenario } from './scenario.js'

const MIB = 1024 * 1024
const CHUNK = 8 * MIB
const ALGORITHMS = ['none', 'sha1', 'sha256'] as const
/** How often a process takes each algorithm in turn. */
const CYCLES = 8

type Algorithm = (typeof ALGORITHMS)[number]

/** What one process did in a row with each of the algorithms. */
type Cycle = Readonly<Record<Algorithm, Sample>>

/** 8 MiB PATCHes with and without `Upload-Checksum`. */
export const checksums: Scenario = {
  name: 'checksums',
  title: 'Checksums: 8 MiB PATCHes, 4 connections',
  run: async (settings) => {
    // While a server warms up there is none: each chunk takes the next one then.
    let algorithm: Algorithm | undefined
    let warming = 0
    const load = chunks({
      connections: 4,
      size: CHUNK,
      each: 8,
      steps: 128 / settings.shrink,
      headers: (bytes) => {
        const headers = ALGORITHMS.map((name) => headersFor(name, bytes))
        return () => headers[algorithm ? ALGORITHMS.indexOf(algorithm) : warming++ % ALGORITHMS.length] ?? {}
      },
    })
    const servers = chosen([OURS_EXPRESS, OURS_NODE], settings)
    const samples = await inTurns<Rival, readonly Cycle[]>([HASHING, ...servers], settings, (server) => {
      algorithm = undefined
      return underLoad(server, load, settings, { parent: settings.memoryFolder }, async (subject) => {
        const cycles: Cycle[] = []
        for (let number = 0; number < CYCLES; number++) {
          const cycle: Partial<Record<Algorithm, Sample>> = {}
          // One process, one after another: one process differs from the next by more than what is to be seen here.
          for (let turn = 0; turn < ALGORITHMS.length; turn++) {
            algorithm = ALGORITHMS[(number + turn) % ALGORITHMS.length] as Algorithm
            cycle[algorithm] = await measureWindow(subject)
            subject.clear()
          }
          cycles.push(cycle as Cycle)
        }
        return cycles
      })
    })
    const cyclesOf = (server: Rival): readonly Cycle[] => samples.get(server)?.flat() ?? []
    const addedBy = (server: Rival, name: Algorithm): number =>
      median(cyclesOf(server).map((cycle) => cycle[name].cpuMsPerUnit - cycle.none.cpuMsPerUnit))
    const rows = servers.flatMap((server) =>
      ALGORITHMS.map((name): Row => {
        const { perSecond, cpuMsPerUnit } = medians(cyclesOf(server).map((cycle) => cycle[name]))
        const [addedMs, hashMs] = [addedBy(server, name), addedBy(HASHING, name)]
        const added = name === 'none' ? {} : { addedMs, hashMs, share: addedMs / hashMs }
        return { label: `${server.name}, ${name}`, values: { perSecond, cpuMs: cpuMsPerUnit, ...added } }
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
