// The bad network itself: what it does to connections, and that it does nothing to bytes.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { type Fault, type FaultProxy, startFaultProxy } from './fault-proxy.js'

let server: Server
let received: { socket: Socket; bytes: Buffer[]; closed: boolean }[]
let proxy: FaultProxy | undefined

beforeEach(async () => {
  received = []
  server = createServer((socket) => {
    const connection = { socket, bytes: [] as Buffer[], closed: false }
    received.push(connection)
    socket.on('data', (data) => {
      connection.bytes.push(data)
      socket.write(data)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      connection.closed = true
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})

afterEach(async () => {
  await proxy?.close()
  for (const { socket } of received) socket.destroy()
  server.close()
})

async function only(fault: Fault, seed = 1): Promise<number> {
  const weights = { pass: 0, delay: 0, cut: 0, reset: 0, stall: 0, lose: 0, [fault]: 1 }
  proxy = await startFaultProxy((server.address() as AddressInfo).port, { seed, weights, breakWithinBytes: 100_000 })
  return proxy.port
}

/** Sends bytes, in pieces so large, and waits for the echo, or for the end. */
async function echo(port: number, bytes: Buffer, size = bytes.length): Promise<{ echoed: Buffer; ended: string }> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const parts: Buffer[] = []
  let length = 0
  let code = 'closed'
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = String(error.code)
  })
  const whole = new Promise<string>((resolve) => {
    socket.on('data', (data) => {
      parts.push(data)
      length += data.length
      if (length === bytes.length) resolve('whole')
    })
  })
  const ended = Promise.race([whole, closing(socket).then(() => code)])
  for (let at = 0; at < bytes.length; at += size) {
    socket.write(bytes.subarray(at, at + size))
    await setImmediate()
  }
  await ended
  socket.destroy()
  return { echoed: Buffer.concat(parts), ended: await ended }
}

/** Settles when a socket is closed, in whichever way. */
function closing(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once('close', resolve))
}

const BYTES = randomBytes(2_000_000)
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

it.each(['pass', 'delay'] as const)('%s: every byte comes through, in order, both ways', async (fault) => {
  const { echoed, ended } = await echo(await only(fault), BYTES)
  expect(ended).toBe('whole')
  expect(sha256(echoed)).toBe(sha256(BYTES))
})

it.each(['cut', 'reset'] as const)(
  '%s: what comes through is a beginning, and both ends learn of it',
  async (fault) => {
    const { echoed, ended } = await echo(await only(fault), BYTES)
    expect(ended).not.toBe('whole')
    if (!received[0]?.closed) await closing(received[0]?.socket as Socket)
    const got = Buffer.concat(received[0]?.bytes ?? [])
    expect(got.length).toBeLessThanOrEqual(100_000)
    expect(got.equals(BYTES.subarray(0, got.length))).toBe(true)
    expect(echoed.equals(BYTES.subarray(0, echoed.length))).toBe(true)
  },
)

it('stall: the client gives up, and the server never hears of it', async () => {
  const { ended } = await echo(await only('stall'), BYTES)
  expect(ended).not.toBe('whole')
  expect(received[0]?.closed).toBe(false)
})

it('lose: the server has all that was sent to it, and the client never hears of the last of that', async () => {
  const socket = connect({ port: await only('lose'), host: '127.0.0.1' })
  socket.on('error', () => {})
  let sent = 0
  let echoed = 0
  socket.on('data', (data) => {
    echoed += data.length
    if (echoed === sent) send()
  })
  const send = (): void => {
    socket.write(BYTES.subarray(sent, sent + 1000))
    sent += 1000
  }
  send()
  await closing(socket)
  expect(echoed).toBe(sent - 1000)
  if (!received[0]?.closed) await closing(received[0]?.socket as Socket)
  expect(Buffer.concat(received[0]?.bytes ?? []).equals(BYTES.subarray(0, sent))).toBe(true)
})

it('the same seed leads to the same faults, whatever pieces the bytes come in, and calm to none', async () => {
  const rounds: unknown[] = []
  const bytes = BYTES.subarray(0, 300_000)
  for (const [seed, size] of [
    [7, 300_000],
    [7, 7_000],
    [8, 300_000],
  ] as const) {
    proxy = await startFaultProxy((server.address() as AddressInfo).port, { seed, maxStallMs: 5 })
    for (let count = 0; count < 12; count++) await echo(proxy.port, bytes, size)
    rounds.push({ ...proxy.drawn })
    proxy.calm()
    expect((await echo(proxy.port, BYTES)).ended).toBe('whole')
    await proxy.close()
  }
  expect(rounds[0]).toEqual(rounds[1])
  expect(rounds[0]).not.toEqual(rounds[2])
})
