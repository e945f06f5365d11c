// Parallel parts of one file, put together by the concatenation extension.

import { statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bytesFor } from '../client/bodies.js'
import { Ledger } from '../client/ledger.js'
import { TusClient } from '../client/tus-client.js'
import { repeat } from '../loads.js'
import { median } from '../measure.js'
import { startServer } from '../server-process.js'
import { OURS_EXPRESS, OURS_NODE, type Rival } from '../servers.js'
import { type Settings, withFolder } from '../settings.js'
import { chosen } from './comparison.js'
import { type Outcome, type Row, type Scenario, skip } from './scenario.js'

const MIB = 1024 * 1024
const PARTS = 4
const MIB_EACH = 256
const FILE_TIMEOUT_MS = 60_000
const POLL_MS = 5

/** 4 × 256 MiB. No other Node server has the extension. */
export const concatenation: Scenario = {
  name: 'concat',
  title: `Concatenation of ${PARTS} × ${MIB_EACH} MiB`,
  run: async (settings) => {
    const rows: Row[] = []
    for (const server of chosen([OURS_EXPRESS, OURS_NODE], settings)) {
      const rounds: Values[] = []
      for (let round = 0; round < settings.rounds; round++) {
        const values = await measure(server, settings)
        if (values === undefined) return skip('`Tus-Extension` has no concatenation')
        rounds.push(values)
      }
      const middle = (key: keyof Values): number => median(rounds.map((values) => values[key]))
      rows.push({
        label: server.name,
        values: {
          perSecond: middle('perSecond'),
          cpuMs: middle('cpuMs'),
          finalMs: middle('finalMs'),
          finalCpuMs: middle('finalCpuMs'),
          fileMs: middle('fileMs'),
        },
      })
    }
    return outcomeOf(rows)
  },
}

interface Values {
  /** MiB of the partial uploads per second, and the CPU milliseconds of each. */
  readonly perSecond: number
  readonly cpuMs: number
  /** The POST that puts them together. */
  readonly finalMs: number
  /** All that the process did until the one file lay there. */
  readonly finalCpuMs: number
  readonly fileMs: number
}

async function measure(server: Rival, settings: Settings): Promise<Values | undefined> {
  return withFolder(settings.memoryFolder, async (folder) => {
    const running = await startServer(server, folder)
    const clients: TusClient[] = []
    try {
      for (let index = 0; index < PARTS; index++) clients.push(await TusClient.open(running.port))
      const [client] = clients as [TusClient]
      if (!(await client.extensions()).includes('concatenation')) return undefined
      const mib = MIB_EACH / settings.shrink

      const idle = await running.usage()
      const begun = performance.now()
      const paths = await Promise.all(clients.map((each, number) => uploadPart(each, number, mib)))
      const uploaded = await running.usage()
      const uploadedAt = performance.now()
      const path = await client.create(undefined, { 'Upload-Concat': `final;${paths.join(' ')}` })
      const answeredAt = performance.now()
      const size = PARTS * mib * MIB
      await client.head(path, size)
      await fileOf(folder, path, size)
      const fileAt = performance.now()
      const { cpuMs } = await running.usage()

      const ledger = new Ledger(folder)
      ledger.note(0, { path, numbers: [...paths.keys()], chunk: MIB, size })
      ledger.verify()
      return {
        perSecond: (PARTS * mib) / ((uploadedAt - begun) / 1000),
        cpuMs: (uploaded.cpuMs - idle.cpuMs) / (PARTS * mib),
        finalMs: answeredAt - uploadedAt,
        finalCpuMs: cpuMs - uploaded.cpuMs,
        fileMs: fileAt - uploadedAt,
      }
    } finally {
      for (const client of clients) client.close()
      await running.stop()
    }
  })
}

async function uploadPart(client: TusClient, number: number, mib: number): Promise<string> {
  const path = await client.create(mib * MIB, { 'Upload-Concat': 'partial' })
  await client.patch(path, 0, { size: mib * MIB, parts: repeat(bytesFor(number, MIB), mib) })
  return path
}

/** Settles when the upload is one file of its own: it may be put together in the background. */
async function fileOf(folder: string, path: string, size: number): Promise<void> {
  const file = join(folder, basename(path))
  const deadline = performance.now() + FILE_TIMEOUT_MS
  while (statSync(file, { throwIfNoEntry: false })?.size !== size) {
    if (performance.now() > deadline) throw new Error(`${file} did not come to its ${size} bytes`)
    await sleep(POLL_MS)
  }
}

function outcomeOf(rows: readonly Row[]): Outcome {
  return {
    subject: 'server',
    columns: [
      { key: 'perSecond', title: 'partial uploads, MiB/s' },
      { key: 'cpuMs', title: 'CPU ms per MiB' },
      { key: 'finalMs', title: 'final POST, ms' },
      { key: 'fileMs', title: 'until it is one file, ms' },
      { key: 'finalCpuMs', title: 'CPU ms until then' },
    ],
    rows,
    notes: ['No other server here has the extension.'],
  }
}
