// How much memory one huge PATCH takes: the peak of the process over an idle one, beside a bare handler that pipes.

import { request } from 'node:http'
import { type ServerName, startServer } from './server-process.js'

const MIB = 1024 * 1024
const BODY_MIB = Number(process.env.BENCH_BODY_MIB ?? 2048)
const CHUNK = Buffer.alloc(MIB, 'resumable ')

/** Runs the measurement and prints a table. */
export async function measureMemory(): Promise<void> {
  console.log(
    `\n${BODY_MIB} MiB in one PATCH: peak memory of the process (VmHWM) in MiB, Node ${process.versions.node}\n`,
  )
  console.log('| server | body | idle | peak | added |')
  console.log('|---|---|---|---|---|')
  for (const name of ['bare-pipe', 'ours'] as const) {
    for (const chunked of [false, true]) {
      const { idle, peak } = await measure(name, chunked)
      const added = (peak - idle).toFixed(1)
      const body = chunked ? 'chunked' : 'Content-Length'
      console.log(`| ${name} | ${body} | ${idle.toFixed(1)} | ${peak.toFixed(1)} | ${added} |`)
    }
  }
}

async function measure(name: ServerName, chunked: boolean): Promise<{ idle: number; peak: number }> {
  const server = await startServer(name)
  try {
    // A small upload first, so that everything is loaded that an idle server in use has loaded.
    await upload(server.port, 1, false)
    const idle = server.peakMiB()
    await upload(server.port, BODY_MIB, chunked)
    return { idle, peak: server.peakMiB() }
  } finally {
    await server.stop()
  }
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
