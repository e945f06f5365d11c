// The server that a hostile crowd meets: Express with the middleware on the default storage and default limits, and hooks
// that can be slow. Tells what it costs: memory, descriptors, the delay of its event loop.
// node --expose-gc crowd-server.mjs <directory> <options of TusServer as JSON> → sends { port }; answers each message with figures.
import { readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import express from 'express'
import { prepareServer, SQLiteStorage, TusServer, tusMiddleware } from 'resumable-upload'

/** How often the event loop is looked at, in milliseconds. */
const RESOLUTION_MS = 1

const [directory, options] = process.argv.slice(2)
const never = new Promise(() => {})

const tus = new TusServer({
  storage: new SQLiteStorage({ directory }),
  downloads: true,
  onBeforeTerminate: () => never,
  onUploadComplete: ({ upload }) => ('hang' in upload.metadata ? never : undefined),
  ...JSON.parse(options),
})
const app = express().use('/files', tusMiddleware(tus))
const server = prepareServer(createServer(app), tus)
const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
delay.enable()

process.on('message', (what) => {
  if (what === 'collect') for (let time = 0; time < 3; time++) globalThis.gc()
  const { user, system } = process.cpuUsage()
  server.getConnections((_error, connections) => {
    process.send({
      connections,
      descriptors: readdirSync('/proc/self/fd').length,
      rssMiB: process.memoryUsage.rss() / 2 ** 20,
      cpuMs: (user + system) / 1000,
      // Of what a timer of that resolution is late.
      delayP99Ms: Math.max(delay.percentile(99) / 1e6 - RESOLUTION_MS, 0),
      delayMaxMs: delay.max / 1e6,
    })
    if (what === 'reset') delay.reset()
  })
})
process.on('disconnect', () => process.exit())
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => process.send({ port: server.address().port }))
