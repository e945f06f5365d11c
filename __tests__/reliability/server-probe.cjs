// Preloaded into a server: tells the test over IPC what goes on inside, holds writes up, and stops the process where the
// test wants it to stop. Every message is answered by how things are.
//   'look'
//   'hold writes', 'let go'                           large writes wait from the one to the other
//   'stop before openSync', 'stop after writev', …    the next call concerning an upload's bytes stops the process (SIGSTOP)
const { subscribe } = require('node:diagnostics_channel')
const fs = require('node:fs')
const { syncBuiltinESMExports } = require('node:module')
const { promisify } = require('node:util')

const bodies = new Map()
const answers = []
let held
let letGo
let stopAt

subscribe('http.server.request.start', ({ request, response }) => {
  const { push, url } = request
  bodies.set(request, 0)
  // Listeners for data would start the body.
  request.push = (chunk, encoding) => {
    if (chunk !== null) bodies.set(request, (bodies.get(request) ?? 0) + chunk.length)
    return push.call(request, chunk, encoding)
  }
  response.once('finish', () => answers.push(url))
  response.once('close', () => bodies.delete(request))
})

const writev = promisify(fs.writev)
fs.writev[promisify.custom] = async (...args) => {
  await held
  stopIf('before writev')
  const written = await writev(...args)
  stopIf('after writev')
  return written
}
for (const name of ['writevSync', 'openSync', 'ftruncateSync', 'linkSync', 'fdatasync']) {
  const call = fs[name]
  fs[name] = (...args) => {
    const concerned = typeof args[0] !== 'string' || args[0].includes('.resumable-upload')
    if (concerned) stopIf(`before ${name}`)
    const result = call(...args)
    if (concerned) stopIf(`after ${name}`)
    return result
  }
}
syncBuiltinESMExports()

process.on('message', (message) => {
  if (message === 'hold writes') {
    held = new Promise((resolve) => {
      letGo = resolve
    })
  } else if (message === 'let go') {
    letGo()
    held = undefined
  } else if (message.startsWith('stop ')) {
    stopAt = message.slice('stop '.length)
  }
  const { user, system } = process.cpuUsage()
  process.send({
    cpuMs: (user + system) / 1000,
    timers: process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length,
    made: madeTimers(),
    bodies: [...bodies.values()],
    answers,
  })
})
// The channel alone must not keep the process alive.
process.channel.unref()

/** Once. */
function stopIf(point) {
  if (stopAt !== point) return
  stopAt = undefined
  process.kill(process.pid, 'SIGSTOP')
}

/** How many timers were made so far, if count-calls.cjs is preloaded, too. */
function madeTimers() {
  const calls = globalThis.calls ?? {}
  return (calls['timer.setTimeout'] ?? 0) + (calls['timer.setInterval'] ?? 0)
}
