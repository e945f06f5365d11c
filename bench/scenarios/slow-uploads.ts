// How much memory many slow uploads take: half of them small enough to be gathered, half of them streamed.

import { setTimeout as sleep } from 'node:timers/promises'
import { bytesFor } from '../client/bodies.js'
import { TusClient } from '../client/tus-client.js'
import { type ServerProcess, startServer } from '../server-process.js'
import { BARE_EXPRESS, OURS_EXPRESS, TUS_SERVER, UPLOADX } from '../servers.js'
import { type Settings, withFolder } from '../settings.js'
import { chosen } from './comparison.js'
import type { Row, Scenario } from './scenario.js'

const KIB = 1024
const UPLOADS = 1000
const GATHERED = 16 * KIB
const STREAMED = 1024 * KIB
const PARTS = 32
const PAUSE_MS = 400

/** The peak over an idle process. */
export const slowUploads: Scenario = {
  name: 'slow',
  title: `Memory with ${UPLOADS} concurrent slow uploads (16 KiB and 1 MiB in ${(PARTS * PAUSE_MS) / 1000} s)`,
  run: async (settings) => {
    const rows: Row[] = []
    for (const { name, ...server } of chosen([OURS_EXPRESS, TUS_SERVER, UPLOADX, BARE_EXPRESS], settings)) {
      const values = await withFolder(settings.memoryFolder, async (folder) => {
        const running = await startServer({ name, ...server }, folder)
        try {
          return await measure(running, settings)
        } finally {
          await running.stop()
        }
      })
      rows.push({ label: name, values })
    }
    return {
      subject: 'server',
      columns: [
        { key: 'idle', title: 'idle MiB' },
        { key: 'peak', title: 'peak MiB' },
        { key: 'added', title: 'added MiB' },
      ],
      rows,
    }
  },
}

async function measure({ port, peakMiB }: ServerProcess, { shrink }: Settings): Promise<Row['values']> {
  // One upload first, so that everything is loaded that an idle server in use has loaded.
  await upload(port, 0, 0)
  const idle = peakMiB()
  const uploads = Array.from({ length: UPLOADS / shrink }, (_, number) => upload(port, number, PAUSE_MS))
  await Promise.all(uploads)
  const peak = peakMiB()
  return { idle, peak, added: peak - idle }
}

async function upload(port: number, number: number, pauseMs: number): Promise<void> {
  const client = await TusClient.open(port)
  const size = number % 2 === 0 ? GATHERED : STREAMED
  const path = await client.create(size)
  await client.patch(path, 0, { size, parts: slowly(bytesFor(number, size), pauseMs) })
  client.close()
}

async function* slowly(bytes: Buffer, pauseMs: number): AsyncGenerator<Buffer> {
  const part = bytes.length / PARTS
  for (let at = 0; at < bytes.length; at += part) {
    yield bytes.subarray(at, at + part)
    await sleep(pauseMs)
  }
}
