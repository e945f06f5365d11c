// What syncing to a real disk costs, workload by workload.

import { chunks, smallUploads, wholeUploads } from '../loads.js'
import { inTurns, type Load, measureLoad, type Sample } from '../measure.js'
import { OURS_EXPRESS } from '../servers.js'
import { medians } from './comparison.js'
import { type Row, type Scenario, skip } from './scenario.js'

const KIB = 1024
const MIB = 1024 * KIB
const DURABILITIES = ['none', 'completed', 'committed'] as const

/** `durability` 'none', 'completed' and 'committed' in Express. */
export const durability: Scenario = {
  name: 'durability',
  title: 'Durability on a disk, Express',
  run: async (settings) => {
    const { diskFolder, shrink } = settings
    if (diskFolder === undefined) return skip('there is no folder on a real file system; name one by BENCH_DISK')
    const workloads: readonly [string, Load][] = [
      ['1 KiB upload, 32 connections, /s', smallUploads],
      ['64 KiB PATCH, 16 connections, /s', chunks({ connections: 16, size: 64 * KIB })],
      ['8 MiB PATCHes, 4 connections, MiB/s', chunks({ connections: 4, size: 8 * MIB, steps: 64 / shrink })],
      [
        '64 MiB uploads, 4 connections, MiB/s',
        wholeUploads({ connections: 4, mib: 64, steps: 16 / Math.min(shrink, 4) }),
      ],
    ]
    const rows: Row[] = []
    for (const [label, load] of workloads) {
      const samples = await inTurns(DURABILITIES, settings, (durability) =>
        measureLoad({ ...OURS_EXPRESS, options: { durability } }, load, settings, { parent: diskFolder }),
      )
      const [none, completed, committed] = DURABILITIES.map((name) => medians(samples.get(name) as Sample[]))
      rows.push({
        label,
        values: {
          none: none?.perSecond,
          completed: completed?.perSecond,
          committed: committed?.perSecond,
          kept: completed && none && completed.perSecond / none.perSecond,
          noneCpuMs: none?.cpuMsPerUnit,
          completedCpuMs: completed?.cpuMsPerUnit,
          committedCpuMs: committed?.cpuMsPerUnit,
        },
      })
    }
    return {
      subject: 'workload',
      columns: [
        { key: 'none', title: "'none'" },
        { key: 'completed', title: "'completed'" },
        { key: 'committed', title: "'committed'" },
        { key: 'kept', title: "'completed', × 'none'" },
        { key: 'noneCpuMs', title: "CPU ms, 'none'" },
        { key: 'completedCpuMs', title: "CPU ms, 'completed'" },
        { key: 'committedCpuMs', title: "CPU ms, 'committed'" },
      ],
      rows,
    }
  },
}
