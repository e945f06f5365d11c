// Preloaded into a server: writes a line of JSON to $RECORD_REQUESTS for each request that is over, and on SIGUSR2
// breaks all connections, as a network does.
const { subscribe } = require('node:diagnostics_channel')
const { appendFileSync } = require('node:fs')

const sockets = new Set()
let count = 0

subscribe('http.server.request.start', ({ request, response, socket }) => {
  if (!sockets.has(socket)) socket.once('close', () => sockets.delete(socket))
  sockets.add(socket)
  const { method, url, headers } = request
  const number = ++count
  const startedAtMs = performance.now()
  let received = 0
  // Listeners for data would start the body.
  const { push } = request
  request.push = (chunk, encoding) => {
    if (chunk !== null) received += chunk.length
    return push.call(request, chunk, encoding)
  }
  response.once('close', () => {
    const status = response.headersSent ? response.statusCode : 0
    const ms = Math.round(performance.now() - startedAtMs)
    const record = { number, method, url, headers, received, status, answer: response.getHeaders(), ms }
    appendFileSync(process.env.RECORD_REQUESTS, `${JSON.stringify(record)}\n`)
  })
})

process.on('SIGUSR2', () => {
  for (const socket of sockets) socket.resetAndDestroy()
})
