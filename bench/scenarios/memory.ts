// How much memory one huge PATCH takes: the peak of the process over an idle one, beside a bare handler that pipes.

import { request } from 'node:http'
import { startServer } from '../server-process.js'
import { OURS_EXPRESS } from '../servers.js'
import { withFolder } from '../settings.js'
import type { Row, Scenario } from './scenario.js'

const MIB = 1024 * 1024
const CHUNK = Buffer.alloc(MIB, 'resumable ')
const BARE_PIPE = { name: 'pipe into a file, Express', file: 'bare-pipe' }

/** The peak of the process, with and without a stated length of the body. */
export const memory: Scenario = {
  name: 'memory',
  title: '2 GiB in one PATCH: peak memory of the process (VmHWM)',
  run: async ({ shrink, memoryFolder }) => {
    const rows: Row[] = []
    for (const server of [BARE_PIPE, OURS_EXPRESS]) {
      for (const chunked of [false, true]) {
        const values = await withFolder(memoryFolder, async (folder) => {
          const running = await startServer(server, folder)
          try {
            // A small upload first, so that everything is loaded that an idle server in use has loaded.
            await upload(running.port, 1, false)
            const idle = running.peakMiB()
            await upload(running.port, 2048 / shrink, chunked)
            const peak = running.peakMiB()
            return { idle, peak, added: peak - idle }
          } finally {
            await running.stop()
          }
        })
        rows.push({ label: `${server.name}, ${chunked ? 'chunked' : 'Content-Length'}`, values })
      }
    }
    return {
      subject: 'server, body',
      columns: [
        { key: 'idle', title: 'idle MiB' },
        { key: 'peak', title: 'peak MiB' },
        { key: 'added', title: 'added MiB' },
      ],
      rows,
    }
  },
}

async function upload(port: number, mib: number, chunked: boolean): Promise<void> {
  const tus = { 'Tus-Resumable': '1.0.0' }
  const created = await send(port, 'POST', '/files', { ...tus, 'Upload-Length': String(mib * MIB) }, 0)
  const headers = {
    ...tus,
    'Upload-Offset': '0',
    'Content-Type': 'application/offset+octet-stream',
    ...(chunked ? { 'Transfer-Encoding': 'chunked' } : { 'Content-Length': String(mib * MIB) }),
  }
  await send(port, 'PATCH', String(created), headers, mib)
}

function send(port: number, method: string, path: string, headers: Record<string, string>, mib: number) {
  return new Promise<string | undefined>((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, method, path, headers }, (res) => {
      res.resume().on('end', () => {
        if (res.statusCode !== 201 && res.statusCode !== 204) reject(new Error(`${method}: ${res.statusCode}`))
        else resolve(res.headers.location)
      })
    })
    req.on('error', reject)
    let left = mib
    const write = (): void => {
      while (left > 0) {
        left -= 1
        if (!req.write(CHUNK)) {
          req.once('drain', write)
          return
        }
      }
      req.end()
    }
    write()
  })
}
