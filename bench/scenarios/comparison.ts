// A workload side by side on all servers: throughput, cost, and ratios.

import { inTurns, type Load, measureWindows, median, type Place, type Sample, underLoad } from '../measure.js'
import { RIVALS, type Rival, TUS_SERVER } from '../servers.js'
import type { Settings } from '../settings.js'
import type { Outcome, Row, Scenario } from './scenario.js'

/** A workload, and what it is counted in. */
export interface Comparison {
  readonly name: string
  readonly title: string
  /** What one unit is: `upload`, `request`, `MiB`. */
  readonly unit: string
  load(settings: Settings): Load
  /** More servers than {@link RIVALS}. */
  readonly besides?: readonly Rival[]
}

/** Makes a scenario of a workload. */
export function compare({ name, title, unit, load, besides = [] }: Comparison): Scenario {
  return {
    name,
    title,
    run: async (settings) => {
      const servers = chosen([...RIVALS, ...besides], settings)
      const place: Place = { parent: settings.memoryFolder }
      const work = load(settings)
      // Large bodies differ more, from one process to the next and from second to second.
      const [rounds, windows] = work.steps === undefined ? [settings.rounds, 1] : [settings.rounds * 2 - 1, 3]
      const samples = await inTurns(servers, { ...settings, rounds }, (server) =>
        underLoad(server, work, settings, place, (subject) => measureWindows(subject, windows)),
      )
      return outcomeOf(samples, unit)
    },
  }
}

/** The servers that were asked for, by a part of their name. */
export function chosen<T extends Rival>(servers: readonly T[], settings: Settings): readonly T[] {
  if (settings.servers.length === 0) return servers
  return servers.filter(({ name, file }) => settings.servers.some((part) => file === part || name.includes(part)))
}

/** Two samples of the same thing, seen as medians. */
export function medians(samples: readonly Sample[]): Sample {
  return {
    perSecond: median(samples.map((sample) => sample.perSecond)),
    cpuMsPerUnit: median(samples.map((sample) => sample.cpuMsPerUnit)),
  }
}

function outcomeOf(samples: ReadonlyMap<Rival, readonly (readonly Sample[])[]>, unit: string): Outcome {
  const results = new Map<string, Sample>()
  for (const [server, taken] of samples) results.set(server.name, medians(taken.flat()))
  const tusServer = results.get(TUS_SERVER.name)
  const rows: Row[] = []
  for (const { name, bare } of samples.keys()) {
    const result = results.get(name)
    if (result === undefined) continue
    const { perSecond, cpuMsPerUnit } = result
    const besideBare = results.get(bare)
    rows.push({
      label: name,
      values: {
        perSecond,
        cpuMs: cpuMsPerUnit,
        speedup: tusServer && perSecond / tusServer.perSecond,
        cpuToTusServer: tusServer && cpuMsPerUnit / tusServer.cpuMsPerUnit,
        cpuToBare: besideBare && cpuMsPerUnit / besideBare.cpuMsPerUnit,
      },
    })
  }
  return {
    subject: 'server',
    columns: [
      { key: 'perSecond', title: `${unit}s/s`.replace('MiBs', 'MiB') },
      { key: 'cpuMs', title: `CPU ms per ${unit}` },
      { key: 'speedup', title: 'throughput, × @tus/server' },
      { key: 'cpuToTusServer', title: 'CPU, × @tus/server' },
      { key: 'cpuToBare', title: 'CPU, × bare handler' },
    ],
    rows,
  }
}
