// Whether a server stays as fast when a million uploads lie in its store.

import { fillStore } from '../fill-store.js'
import { chunks, creations, offsetRequests, offsetRequestsOf, smallUploads } from '../loads.js'
import { inTurns, type Load, measureLoad, type Sample } from '../measure.js'
import { OURS_EXPRESS, OURS_NODE } from '../servers.js'
import { type Settings, withFolder } from '../settings.js'
import { chosen, medians } from './comparison.js'
import type { Row, Scenario } from './scenario.js'

const KIB = 1024
const MIB = 1024 * KIB
const UPLOADS = 1_000_000

/** Every small workload on an empty store and on a full one. */
export const growth: Scenario = {
  name: 'growth',
  title: `${UPLOADS.toLocaleString('en')} uploads in the store, against an empty one`,
  run: (settings) =>
    withFolder(settings.memoryFolder, async (folder) => {
      const ids = await fillStore(folder, { uploads: UPLOADS / settings.shrink, expired: 0 })
      const rows: Row[] = []
      for (const server of chosen([OURS_EXPRESS, OURS_NODE], settings)) {
        for (const { label, empty, full = empty } of workloads(settings, ids)) {
          const samples = await inTurns(['empty', 'full'] as const, settings, (store) =>
            store === 'empty'
              ? measureLoad(server, empty, settings, { parent: settings.memoryFolder })
              : measureLoad(server, full, settings, { folder }),
          )
          const before = medians(samples.get('empty') as Sample[])
          const after = medians(samples.get('full') as Sample[])
          rows.push({
            label: `${server.name}: ${label}`,
            values: {
              emptyPerSecond: before.perSecond,
              fullPerSecond: after.perSecond,
              emptyCpuMs: before.cpuMsPerUnit,
              fullCpuMs: after.cpuMsPerUnit,
              growth: after.cpuMsPerUnit / before.cpuMsPerUnit,
            },
          })
        }
      }
      return {
        subject: 'server: workload',
        columns: [
          { key: 'emptyPerSecond', title: 'empty, /s' },
          { key: 'fullPerSecond', title: 'full, /s' },
          { key: 'emptyCpuMs', title: 'empty, CPU ms' },
          { key: 'fullCpuMs', title: 'full, CPU ms' },
          { key: 'growth', title: 'CPU, full × empty' },
        ],
        rows,
        notes: ['HEAD asks for uploads of the full store at random, and for the same 32 of the empty one.'],
      }
    }),
}

interface Workload {
  readonly label: string
  readonly empty: Load
  readonly full?: Load
}

function workloads({ shrink }: Settings, ids: readonly string[]): readonly Workload[] {
  return [
    { label: '1 KiB upload', empty: smallUploads },
    { label: 'POST', empty: creations },
    { label: 'HEAD', empty: offsetRequests, full: offsetRequestsOf(ids) },
    { label: '64 KiB PATCH', empty: chunks(16, 64 * KIB) },
    { label: '8 MiB PATCHes, MiB', empty: chunks(4, 8 * MIB, 64 / shrink) },
  ]
}
