// What a server with a million uploads does besides answering: it starts, tidies up, and removes what has expired.

import { setTimeout as sleep } from 'node:timers/promises'
import { fillStore } from '../fill-store.js'
import { inTurns, median } from '../measure.js'
import { type ServerProcess, startServer } from '../server-process.js'
import { OURS_NODE } from '../servers.js'
import { type Settings, withFolder } from '../settings.js'
import type { Row, Scenario } from './scenario.js'

const UPLOADS = 1_000_000
const EXPIRED = 10_000
const REST_MS = 65_000
const DAY_MS = 24 * 60 * 60_000
/** Only the sweep that is asked for takes place. */
const SERVER = { ...OURS_NODE, options: { expiration: { unfinishedAfterMs: DAY_MS, sweepEveryMs: DAY_MS } } }

/** Start-up, what follows it by itself, and one sweep. */
export const sweep: Scenario = {
  name: 'sweep',
  title: `${UPLOADS.toLocaleString('en')} uploads in the store: start-up, and a sweep of ${EXPIRED.toLocaleString('en')}`,
  run: (settings) =>
    withFolder(settings.memoryFolder, async (folder) => {
      const { shrink } = settings
      await fillStore(folder, { uploads: UPLOADS / shrink, expired: EXPIRED / shrink })
      return {
        subject: 'what',
        columns: [
          { key: 'tookMs', title: 'ms' },
          { key: 'cpuMs', title: 'CPU ms' },
          { key: 'p99', title: 'event-loop delay, p99 ms' },
          { key: 'max', title: 'max ms' },
        ],
        rows: [...(await startUps(folder, settings)), ...(await background(folder, settings))],
        notes: ['Delays include the 1 ms of the timer that measures them.'],
      }
    }),
}

async function startUps(folder: string, settings: Settings): Promise<readonly Row[]> {
  const samples = await inTurns(['an empty', 'the full'] as const, settings, (store) =>
    store === 'the full' ? startUp(folder) : withFolder(settings.memoryFolder, startUp),
  )
  return [...samples].map(([store, tookMs]) => ({
    label: `start-up on ${store} store`,
    values: { tookMs: median(tookMs) },
  }))
}

async function startUp(folder: string): Promise<number> {
  const running = await startServer(SERVER, folder)
  await running.stop()
  return running.startMs
}

async function background(folder: string, { shrink }: Settings): Promise<readonly Row[]> {
  const running = await startServer(SERVER, folder)
  try {
    const tidying = await observe(running, () => sleep(REST_MS / shrink))
    const sweeping = await observe(running, () => running.cleanUp())
    return [
      { label: 'the minute after it, no requests', values: tidying },
      { label: 'the sweep', values: sweeping },
    ]
  } finally {
    await running.stop()
  }
}

async function observe(running: ServerProcess, action: () => Promise<unknown>): Promise<Row['values']> {
  const before = await running.usage()
  await running.watchLoop()
  const from = performance.now()
  await action()
  const tookMs = performance.now() - from
  const { p99, max } = await running.loopDelay()
  const { cpuMs } = await running.usage()
  return { tookMs, cpuMs: cpuMs - before.cpuMs, p99, max }
}
