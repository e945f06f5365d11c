// Measures what a server does in a window of time, and what it costs its process.

import { Ledger } from './client/ledger.js'
import { TusClient } from './client/tus-client.js'
import { type ServerProcess, type ServerSpec, startServer } from './server-process.js'
import { type Settings, withFolder } from './settings.js'

/** One connection's part of a load. */
export interface Worker {
  readonly client: TusClient
  /** Its number, from 0. */
  readonly index: number
  /** Where it notes what should be stored. */
  readonly ledger: Ledger
}

/** A step of a load: returns how many units it has done. */
export type Step = () => Promise<number>

/** What a number of connections do at the same time. */
export interface Load {
  readonly connections: number
  /** Prepares one connection. */
  begin(worker: Worker): Promise<Step>
  /** How many steps a window has in all; a window without this lasts a time. */
  readonly steps?: number
}

/** One window. */
export interface Sample {
  readonly perSecond: number
  /** The processor time of the server's process, in milliseconds. */
  readonly cpuMsPerUnit: number
}

/** Where a server works: in a folder of its own below `parent`, or in one that is there already. */
export type Place = { readonly parent: string } | { readonly folder: string }

/** With large bodies a server runs little of its code in a second, and takes longer until all of that is compiled. */
const LARGE_WARM_UP = 3

/** Puts a load on a server of its own and measures one window. */
export function measureLoad(server: ServerSpec, load: Load, settings: Settings, place: Place): Promise<Sample> {
  return underLoad(server, load, settings, place, measureWindow)
}

/** Measures one window of a server that is under load. */
export async function measureWindow({ running, work }: UnderLoad): Promise<Sample> {
  const before = await running.usage()
  const from = performance.now()
  const units = await work()
  const seconds = (performance.now() - from) / 1000
  const { cpuMs } = await running.usage()
  return { perSecond: units / seconds, cpuMsPerUnit: (cpuMs - before.cpuMs) / units }
}

/** Measures several windows, one after another; what is finished in one is removed before the next. */
export async function measureWindows(subject: UnderLoad, windows: number): Promise<readonly Sample[]> {
  const samples: Sample[] = []
  for (let left = windows; left > 0; left--) {
    samples.push(await measureWindow(subject))
    if (left > 1) subject.clear()
  }
  return samples
}

/** A server that is warm, and the connections to it. */
export interface UnderLoad {
  readonly running: ServerProcess
  /** Does the work of one window; settles with how much it was. */
  work(): Promise<number>
  /** Verifies and removes what is finished, before another window. */
  clear(): void
}

/**
 * Starts a server, connects, warms up, and checks in the end what the server has stored.
 * @param observe - observes the server while one window of work is done, or several
 */
export function underLoad<T>(
  server: ServerSpec,
  load: Load,
  settings: Settings,
  place: Place,
  observe: (subject: UnderLoad) => Promise<T>,
): Promise<T> {
  return at(place, async (folder) => {
    const running = await startServer(server, folder)
    const ledger = new Ledger(folder)
    const clients: TusClient[] = []
    try {
      const steps: Step[] = []
      for (let index = 0; index < load.connections; index++) {
        const client = await TusClient.open(running.port)
        clients.push(client)
        steps.push(await load.begin({ client, index, ledger }))
      }
      const { windowMs, warmUpMs } = settings
      await warmUp(running, steps, ledger, load.steps === undefined ? warmUpMs : warmUpMs * LARGE_WARM_UP)
      const result = await observe({
        running,
        work: () => run(steps, load.steps === undefined ? { ms: windowMs } : { steps: load.steps }),
        clear: () => ledger.clear(),
      })
      ledger.verify()
      return result
    } finally {
      for (const client of clients) client.close()
      await running.stop()
    }
  })
}

function at<T>(place: Place, action: (folder: string) => Promise<T>): Promise<T> {
  return 'folder' in place ? action(place.folder) : withFolder(place.parent, action)
}

/** Measures subjects in turns, so that whatever else the machine does hits all of them alike. */
export async function inTurns<S, T>(
  subjects: readonly S[],
  { rounds }: Settings,
  measure: (subject: S) => Promise<T>,
): Promise<Map<S, T[]>> {
  const samples = new Map<S, T[]>(subjects.map((subject) => [subject, []]))
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < subjects.length; turn++) {
      // Each round begins with another one, since what runs first finds a machine at rest.
      const subject = subjects[(round + turn) % subjects.length] as S
      samples.get(subject)?.push(await measure(subject))
    }
  }
  return samples
}

/** The middle one. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2
}

/** Runs until the server has had the processor for a while: on a busy machine that takes longer. */
async function warmUp(running: ServerProcess, steps: readonly Step[], ledger: Ledger, warmUpMs: number): Promise<void> {
  const begun = performance.now()
  const { cpuMs } = await running.usage()
  do {
    await run(steps, { ms: warmUpMs / 8 })
    ledger.clear()
  } while ((await running.usage()).cpuMs - cpuMs < warmUpMs && performance.now() - begun < warmUpMs * 5)
}

async function run(steps: readonly Step[], until: { ms: number } | { steps: number }): Promise<number> {
  let units = 0
  let left = 'steps' in until ? until.steps : Number.POSITIVE_INFINITY
  const deadline = performance.now() + ('ms' in until ? until.ms : Number.POSITIVE_INFINITY)
  await Promise.all(
    steps.map(async (step) => {
      while (left > 0 && performance.now() < deadline) {
        left--
        const done = await step()
        units += done
      }
    }),
  )
  return units
}
