// A hostile crowd in a process of its own: many connections, each cheap, which do one kind of thing at a time.
// node crowd.mjs <port> <kind> <connections> → sends { ready: true }, and answers each message with what it has cost so far.
import { connect } from 'node:net'
import { setPriority } from 'node:os'

const [port, kind, count] = process.argv.slice(2)
const CONNECTIONS = Number(count)
const PATCH = (path, length) =>
  `PATCH ${path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n` +
  `Content-Type: application/offset+octet-stream\r\nContent-Length: ${length}\r\n\r\n`
const LENGTH = 1_000_000_000

// It must not take the processor from the server: the server's own work is what counts.
setPriority(10)

let bytes = 0
let cut = 0
const sockets = []

function open() {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true }, () => resolve(socket))
    socket.on('error', reject)
    socket.on('close', () => cut++)
    sockets.push(socket)
  })
}

function write(socket, data) {
  if (socket.destroyed) return
  bytes += data.length
  socket.write(data)
}

/** The head of the next answer on a connection. */
function answer(socket) {
  return new Promise((resolve) => {
    let text = ''
    const onData = (data) => {
      text += data
      if (!text.includes('\r\n\r\n')) return
      socket.off('data', onData)
      resolve(text)
    }
    socket.on('data', onData)
  })
}

async function create(socket, headers = `Upload-Length: ${LENGTH}`) {
  const answered = answer(socket)
  write(socket, `POST /files HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n${headers}\r\n\r\n`)
  return /location: (\S+)/i.exec(await answered)[1]
}

/** Writes one byte on each connection every so often, evenly over that time. */
function trickle(everyMs, byte = 'x') {
  const STEP_MS = 5
  let next = 0
  let due = 0
  setInterval(() => {
    due += (sockets.length * STEP_MS) / everyMs
    for (; due >= 1; due--) write(sockets[next++ % sockets.length], byte)
  }, STEP_MS)
}

async function each(act) {
  for (let index = 0; index < CONNECTIONS; index += 20) {
    await Promise.all(Array.from({ length: Math.min(20, CONNECTIONS - index) }, async () => act(await open())))
  }
}

const KINDS = {
  // First as much as makes a body one that is read in large pieces, then a byte now and then.
  async 'a few that trickle fast'() {
    await each(async (socket) => write(socket, PATCH(await create(socket), LENGTH) + 'x'.repeat(600_000)))
    trickle(2)
  },
  async 'PATCHes that trickle'() {
    await each(async (socket) => write(socket, `${PATCH(await create(socket), LENGTH)}${'x'.repeat(20_000)}`))
    trickle(250)
  },
  // Half of them small enough to be gathered.
  async 'creations that trickle'() {
    let small = false
    await each((socket) => {
      small = !small
      const length = small ? 10_000 : LENGTH
      const head = PATCH('/files', length)
        .replace('PATCH', 'POST')
        .replace('Upload-Offset: 0', `Upload-Length: ${length}`)
      write(socket, `${head}x`)
    })
    trickle(250)
  },
  async 'PATCHes of 1 B/s'() {
    await each(async (socket) => write(socket, PATCH(await create(socket), LENGTH)))
    trickle(1000)
  },
  async 'PATCHes of 64 KiB/s'() {
    await each(async (socket) => write(socket, PATCH(await create(socket), LENGTH)))
    trickle(1000, 'x'.repeat(65_536))
  },
  // Behind a request that takes long, a DELETE whose hook thinks for ever: as many as may wait, and on the first connection more.
  async 'pipelined requests'() {
    let connection = 0
    await each(async (socket) => {
      const path = await create(socket, 'Upload-Length: 10')
      write(socket, `DELETE ${path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\n\r\n`)
      write(
        socket,
        'HEAD /files/x HTTP/1.1\r\nHost:a\r\n\r\n'.repeat(connection === 0 ? 2000 : connection < 60 ? 64 : 4),
      )
      connection++
    })
  },
  async 'hooks that hang'() {
    const body = `Upload-Length: 1\r\nUpload-Metadata: hang`
    await each((socket) =>
      write(socket, `${PATCH('/files', 1).replace('PATCH', 'POST').replace('Upload-Offset: 0', body)}x`),
    )
  },
  // Each connection makes one final upload after the other of the same 64 partial ones, which are never complete.
  async 'final uploads that wait'() {
    const socket = await open()
    const partials = []
    for (let count = 0; count < 64; count++)
      partials.push(await create(socket, 'Upload-Length: 10\r\nUpload-Concat: partial'))
    const final = () => create(socket, `Upload-Concat: final;${partials.join(' ')}`)
    const request =
      'POST /files HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nContent-Length: 0\r\n' +
      `Upload-Concat: final;${partials.join(' ')}\r\n\r\n`
    await final()
    await each((connection) => {
      connection.resume()
      write(connection, request)
    })
    trickle(10_000, request)
  },
  // A part of 64 KiB, and a final upload that names it 64 times: 10 copies of 4 MiB are asked for each second.
  async 'copies of one part'() {
    const part = 'x'.repeat(65_536)
    const copy = async (socket) => {
      const answered = answer(socket)
      const head = PATCH('/files', part.length)
        .replace('PATCH', 'POST')
        .replace('Upload-Offset: 0', `Upload-Length: ${part.length}\r\nUpload-Concat: partial`)
      write(socket, head + part)
      const path = /location: (\S+)/i.exec(await answered)[1]
      await create(socket, `Upload-Concat: final;${`${path} `.repeat(64).trim()}`)
    }
    await each(() => {})
    let next = 0
    setInterval(() => copy(sockets[next++ % sockets.length]), 100)
  },
  async 'downloads that stall'() {
    const socket = await open()
    const size = 32 * 1024 * 1024
    const path = await create(socket, `Upload-Length: ${size}`)
    const answered = answer(socket)
    write(socket, PATCH(path, size))
    write(socket, Buffer.alloc(size))
    await answered
    await each((connection) => {
      connection.pause()
      write(connection, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    })
  },
}

process.on('message', () => {
  const { user, system } = process.cpuUsage()
  process.send({ bytes, cut, cpuMs: (user + system) / 1000 })
})
process.on('disconnect', () => process.exit())
await KINDS[kind]()
process.send({ ready: true })
