// Sends each kind of request some times to a server in this process, which has count-calls.cjs preloaded:
//   node --require count-calls.cjs requests.mjs <express|node> <directory> → { name: [the calls of each time], … }
import { once } from 'node:events'
import { Agent, createServer, request } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import express from 'express'
import { prepareServer, SQLiteStorage, TusServer, tusListener, tusMiddleware } from 'resumable-upload'

const TIMES = 3
const KIB = 1024
const [adapter, directory] = process.argv.slice(2)

// Time stands still, so that nothing falls due while a slow machine is at it.
const now = () => 1_800_000_000_000
const tus = new TusServer({ storage: new SQLiteStorage({ directory, now }), now, leaseMs: 60 * 60_000 })
const listener = adapter === 'express' ? express().use('/files', tusMiddleware(tus)) : tusListener(tus)
const server = prepareServer(createServer(listener), tus).listen(0, '127.0.0.1')
await once(server, 'listening')
const agent = new Agent({ keepAlive: true, maxSockets: 1 })

const create = (length, headers = {}, body = undefined) =>
  send('POST', '/files', { 'Upload-Length': String(length), ...headers }, body)
const chunk = (size) => ({ 'Content-Type': 'application/offset+octet-stream', 'Content-Length': String(size) })
const patch = (path, offset, size) =>
  send('PATCH', path, { 'Upload-Offset': String(offset), ...chunk(size) }, Buffer.alloc(size))

/** What is sent before the request that counts, and that one. */
const REQUESTS = {
  POST: { request: () => create(1000 * KIB) },
  'POST with all of the body': { request: () => create(KIB, chunk(KIB), Buffer.alloc(KIB)) },
  'POST with a part of the body': { request: () => create(1000 * KIB, chunk(KIB), Buffer.alloc(KIB)) },
  HEAD: {
    before: async () => {
      const { location } = await create(1000 * KIB)
      await patch(location, 0, KIB)
      return location
    },
    request: (path) => send('HEAD', path, {}),
  },
  'PATCH of 1 KiB': { before: fresh(1000 * KIB), request: (path) => patch(path, 0, KIB) },
  'PATCH of 64 KiB': { before: fresh(1000 * KIB), request: (path) => patch(path, 0, 64 * KIB) },
  'PATCH of 8 MiB': { before: fresh(10_000 * KIB), request: (path) => patch(path, 0, 8 * KIB * KIB) },
  'PATCH of 1 KiB that completes': { before: fresh(KIB), request: (path) => patch(path, 0, KIB) },
  'PATCH of 64 KiB that completes': { before: fresh(64 * KIB), request: (path) => patch(path, 0, 64 * KIB) },
  DELETE: { before: fresh(1000 * KIB), request: (path) => send('DELETE', path, {}) },
}

function fresh(length) {
  return async () => (await create(length)).location
}

async function send(method, path, headers, body) {
  const sent = request({
    agent,
    method,
    path,
    port: server.address().port,
    headers: { 'Tus-Resumable': '1.0.0', ...headers },
  })
  sent.end(body)
  const [response] = await once(sent, 'response')
  await once(response.resume(), 'end')
  if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${response.statusCode}`)
  return response.headers
}

/** Settles when nothing is left to be done of the requests before. */
async function settled() {
  for (let quiet = 0; quiet < 10; quiet++) {
    await turn()
    if (process.getActiveResourcesInfo().some((resource) => resource.startsWith('FSReq'))) quiet = 0
  }
}

// The sockets of crashed processes are looked for once, a second after the start: not while requests are counted.
while (!globalThis.calls['fs.promises.opendir']) await turn()
await settled()

const results = {}
for (const [name, { before, request: measured }] of Object.entries(REQUESTS)) {
  results[name] = []
  // The first time is for what is done once: descriptors that stay open, timers that run on.
  for (let time = 0; time <= TIMES; time++) {
    const path = await before?.()
    await settled()
    globalThis.calls = {}
    await measured(path)
    await settled()
    if (time > 0) results[name].push({ ...globalThis.calls })
  }
}
console.log(JSON.stringify(results))
process.exit()
