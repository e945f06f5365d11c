// Whether a server stays as fast when a million uploads lie in its store.

import { fillStore, keepStore } from '../fill-store.js'
import { chunks, creations, offsetRequestsOf, smallUploads, wholeUploads } from '../loads.js'
import { inTurns, type Load, measureLoad, type Sample } from '../measure.js'
import { OURS_EXPRESS, OURS_NODE, type Rival } from '../servers.js'
import { type Settings, withFolder } from '../settings.js'
import { chosen, medians } from './comparison.js'
import type { Row, Scenario } from './scenario.js'

const KIB = 1024
const MIB = 1024 * KIB
const UPLOADS = 1_000_000
/** What HEAD needs: one in ten is unfinished, one for each connection. */
const FEW_UPLOADS = 320

/** Every workload on an empty store and on a full one. */
export const growth: Scenario = {
  name: 'growth',
  title: `${UPLOADS.toLocaleString('en')} uploads in the store, against an empty one`,
  run: (settings) =>
    withFolder(settings.memoryFolder, async (folder) => {
      const ids = await fillStore(folder, { uploads: UPLOADS / settings.shrink, expired: 0 })
      const restore = keepStore(folder)
      const measureFull = (server: Rival, load: Load): Promise<Sample> => {
        restore()
        return measureLoad(server, load, settings, { folder })
      }
      const rows: Row[] = []
      for (const server of chosen([OURS_EXPRESS, OURS_NODE], settings)) {
        for (const { label, load } of workloads(settings)) {
          const samples = await inTurns(['empty', 'full'] as const, settings, (store) =>
            store === 'full'
              ? measureFull(server, load(ids))
              : withFolder(settings.memoryFolder, async (folder) => {
                  const ids = await fillStore(folder, { uploads: FEW_UPLOADS, expired: 0 })
                  return measureLoad(server, load(ids), settings, { folder })
                }),
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
        notes: [
          `HEAD asks for unfinished uploads at random; the empty store has ${FEW_UPLOADS / 10} of them, for that.`,
        ],
      }
    }),
}

interface Workload {
  readonly label: string
  /** @param ids - of uploads in the store */
  load(ids: readonly string[]): Load
}

function workloads({ shrink }: Settings): readonly Workload[] {
  return [
    { label: '1 KiB upload', load: () => smallUploads },
    { label: 'POST', load: () => creations },
    { label: 'HEAD', load: offsetRequestsOf },
    { label: '64 KiB PATCH', load: () => chunks({ connections: 16, size: 64 * KIB, each: 256 }) },
    {
      label: '8 MiB PATCHes, MiB',
      load: () => chunks({ connections: 4, size: 8 * MIB, each: 8, steps: 256 / shrink }),
    },
    {
      label: '1 GiB in one PATCH, MiB',
      load: () => wholeUploads({ connections: 1, mib: 1024 / shrink, steps: 1, removed: true }),
    },
  ]
}
