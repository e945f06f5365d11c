// Runs one of the servers beside it in this process, and tells its parent what it costs:
//   node bench/servers/host.mjs <name> <directory> <options as JSON>
import { monitorEventLoopDelay, performance } from 'node:perf_hooks'

const [name, directory, options] = process.argv.slice(2)
const { serve } = await import(`./${name}.mjs`)

const begun = performance.now()
const { server, cleanUp } = await serve(directory, JSON.parse(options))
// A benchmark of large bodies must not be ended by Node's own limit.
server.requestTimeout = 0
server.listen(0, '127.0.0.1', 1024, () => {
  process.send({ port: server.address().port, startMs: performance.now() - begun })
})

const loop = monitorEventLoopDelay({ resolution: 1 })
const answers = {
  usage: () => ({ cpu: process.cpuUsage(), rss: process.memoryUsage.rss() }),
  watchLoop: () => {
    loop.reset()
    loop.enable()
  },
  loopDelay: () => {
    loop.disable()
    return { p50: loop.percentile(50) / 1e6, p99: loop.percentile(99) / 1e6, max: loop.max / 1e6 }
  },
  cleanUp: () => cleanUp(),
}
process.on('message', async ({ id, ask }) => process.send({ id, answer: await answers[ask]() }))
process.on('disconnect', () => process.exit())
