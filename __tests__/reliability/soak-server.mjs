// The server of the soak test, which measures itself: Express with the middleware on the default storage.
// node --expose-gc soak-server.mjs <directory> <milliseconds until expiry> → sends { port } to its parent, and answers
// 'rest' and 'measure'.
import { createHash } from 'node:crypto'
import { createReadStream, readdirSync, readlinkSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { pipeline } from 'node:stream/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { queryObjects } from 'node:v8'
import express from 'express'
import { prepareServer, SQLiteStorage, TusError, TusServer, tusMiddleware } from 'resumable-upload'

const SAMPLE_MS = 250
const MIB = 1024 * 1024

const [directory, expiry] = process.argv.slice(2)
const EXPIRY_MS = Number(expiry)
// Put forward to see all that is unfinished expire, without waiting for it.
let aheadMs = 0
const now = () => Date.now() + aheadMs
const storage = new SQLiteStorage({ directory, now })
const tus = new TusServer({
  storage,
  now,
  downloads: true,
  expiration: { unfinishedAfterMs: EXPIRY_MS, sweepEveryMs: 500, rememberMs: EXPIRY_MS },
  // A new folder each second, as applications have one for each day.
  onUploadCreate: ({ upload }) => ({ name: `${Math.floor(Date.now() / 1000)}/${upload.id}` }),
  onUploadComplete: async ({ upload, path }) => {
    if ('refuse' in upload.metadata) throw new TusError('ERR_UNPROCESSABLE')
    const hash = createHash('sha256')
    await pipeline(createReadStream(path), hash)
    return { headers: { 'X-SHA256': hash.digest('hex') } }
  },
})
const handleRequest = tus.handleRequest.bind(tus)
let running = 0
tus.handleRequest = async (...request) => {
  running++
  const response = await handleRequest(...request)
  running--
  return response
}
const app = express()
app.use('/files', tusMiddleware(tus))
// Connections whose other end is gone without a word must end some time, those that wait or download included.
const times = { headersTimeout: 5_000, requestTimeout: 5_000, connectionsCheckingInterval: 500 }
const server = createServer(times, app)
server.setTimeout(8_000)
prepareServer(server, tus)

const delay = monitorEventLoopDelay({ resolution: 10 })
let most = { descriptors: 0, rss: 0 }
const sampling = setInterval(() => {
  most.descriptors = Math.max(most.descriptors, readdirSync('/proc/self/fd').length)
  most.rss = Math.max(most.rss, process.memoryUsage.rss())
}, SAMPLE_MS).unref()

/** What each open descriptor leads to. */
function descriptors() {
  return readdirSync('/proc/self/fd').flatMap((number) => {
    try {
      return [readlinkSync(`/proc/self/fd/${number}`)]
    } catch {
      // The one that the folder was read by.
      return []
    }
  })
}

/** The open files of uploads. Those of SQLite are open all the time, and folders are read now and then. */
function openFiles() {
  return descriptors().filter(
    (target) =>
      target.startsWith(directory) &&
      !target.includes('/uploads.sqlite') &&
      !statSync(target, { throwIfNoEntry: false })?.isDirectory(),
  )
}

/** How many objects of all kinds there are. That this is an experiment of Node's is no warning about the server. */
function countObjects() {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return queryObjects(Object, { format: 'count' })
  } finally {
    process.emitWarning = emitWarning
  }
}

/** Settles when nobody is connected, and what was asked for by those who left is done, too. */
async function rest() {
  for (;;) {
    server.closeIdleConnections()
    const open = await new Promise((resolve) => server.getConnections((_, count) => resolve(count)))
    if (open === 0 && running === 0) return
    await wait(20)
  }
}

/** A file may still be read or written whose client is gone; where one is never closed, the figures tell. */
async function noFiles() {
  for (let tries = 0; tries < 250 && openFiles().length > 0; tries++) await wait(20)
}

/** The figures of the time since the last ones, then those at rest, when what is unfinished has expired. */
async function figures() {
  const loaded = {
    delayP50Ms: delay.percentile(50) / 1e6,
    delayP99Ms: delay.percentile(99) / 1e6,
    delayMaxMs: delay.max / 1e6,
    mostDescriptors: most.descriptors,
    rssMiB: most.rss / MIB,
  }
  await rest()
  aheadMs += 2 * EXPIRY_MS
  await tus.cleanUp()
  aheadMs += 2 * EXPIRY_MS
  await tus.cleanUp()
  await noFiles()
  // What one collection frees may be what held other things.
  for (let time = 0; time < 3; time++) {
    globalThis.gc()
    await wait(10)
  }
  const open = descriptors()
  const { rss, heapUsed, external } = process.memoryUsage()
  const atRest = {
    rssAtRestMiB: rss / MIB,
    heapMiB: heapUsed / MIB,
    externalMiB: external / MIB,
    objects: countObjects(),
    descriptors: open.length,
    sockets: open.filter((target) => target.startsWith('socket:')).length,
    files: openFiles().length,
    logMiB: statSync(join(directory, '.resumable-upload/uploads.sqlite-wal')).size / MIB,
  }
  most = { descriptors: 0, rss: 0 }
  delay.reset()
  delay.enable()
  return { ...loaded, ...atRest }
}

process.on('message', async (what) => {
  // The load is over.
  delay.disable()
  await rest()
  process.send(what === 'rest' ? {} : await figures())
})
process.on('SIGTERM', async () => {
  clearInterval(sampling)
  delay.disable()
  process.disconnect()
  server.close()
  await tus.close()
})
server.listen(0, '127.0.0.1', () => {
  delay.enable()
  process.send({ port: server.address().port })
})
