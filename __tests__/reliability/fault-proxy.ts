// A bad network between clients and a server: a TCP proxy that delays, cuts, stalls, resets and loses answers, by a
// seed. It never changes, repeats or reorders a byte.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type Random, seededRandom } from './random.js'

/**
 * What befalls one connection: `pass`: nothing; `delay`: every piece of data takes a while; `cut`: it ends after some
 * bytes, both ways; `reset`: the same by RST; `stall`: after some bytes nothing passes, then the client gives up, and the
 * server never hears of it; `lose`: it ends when the server has answered, and the client never hears of that.
 */
export type Fault = 'pass' | 'delay' | 'cut' | 'reset' | 'stall' | 'lose'

/** How bad the network is. */
export interface FaultProxyOptions {
  /** Leads to the same faults each time. */
  readonly seed: number
  /** How likely each fault is, as weights. */
  readonly weights?: Readonly<Partial<Record<Fault, number>>>
  /** After how many bytes of the client a connection breaks, at most. */
  readonly breakWithinBytes?: number
  /** How long a piece of data is delayed at most, in milliseconds. */
  readonly maxDelayMs?: number
  /** After how long the client of a stalled connection gives up at most, in milliseconds. */
  readonly maxStallMs?: number
}

/** A running proxy. */
export interface FaultProxy {
  readonly port: number
  /** How often each fault was drawn. */
  readonly drawn: Readonly<Record<Fault, number>>
  /** Sends new connections to another server from here on. */
  redirect(upstreamPort: number): void
  /** Lets all connections that come from here on pass. */
  calm(): void
  close(): Promise<void>
}

/** So many pieces of answers come through before one is lost, at most. */
const MOST_ANSWERS = 2

const WEIGHTS: Readonly<Record<Fault, number>> = { pass: 4, delay: 2, cut: 2, reset: 1, stall: 1, lose: 1 }

/** Puts a bad network before a server on a port of this machine. */
export async function startFaultProxy(upstreamPort: number, options: FaultProxyOptions): Promise<FaultProxy> {
  const random = seededRandom(options.seed)
  const weights = { ...WEIGHTS, ...options.weights }
  const drawn: Record<Fault, number> = { pass: 0, delay: 0, cut: 0, reset: 0, stall: 0, lose: 0 }
  const sockets = new Set<Socket>()
  let port = upstreamPort
  let calm = false
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port, host: '127.0.0.1', noDelay: true })
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    // Each connection has random numbers of its own: how many it needs depends on how its data comes in pieces.
    const own = seededRandom(random.integer(0, 2 ** 31))
    const fault = calm ? 'pass' : draw(own, weights)
    drawn[fault]++
    join(client, upstream, fault, own, options)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    drawn,
    redirect: (to) => {
      port = to
    },
    calm: () => {
      calm = true
    },
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

function draw(random: Random, weights: Readonly<Record<Fault, number>>): Fault {
  const faults = Object.keys(weights) as Fault[]
  let left = random.next() * faults.reduce((sum, fault) => sum + weights[fault], 0)
  for (const fault of faults) {
    left -= weights[fault]
    if (left < 0) return fault
  }
  return 'pass'
}

function join(client: Socket, upstream: Socket, fault: Fault, random: Random, options: FaultProxyOptions): void {
  const { breakWithinBytes = 256 * 1024, maxDelayMs = 20, maxStallMs = 300 } = options
  if (fault === 'pass') {
    client.pipe(upstream).pipe(client)
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    return
  }
  const breaks = fault !== 'delay' && fault !== 'lose'
  let left = breaks ? random.integer(0, breakWithinBytes) : Number.POSITIVE_INFINITY
  let answers = fault === 'lose' ? random.integer(0, MOST_ANSWERS) : Number.POSITIVE_INFINITY
  let broken = false
  const breakNow = (): void => {
    broken = true
    if (fault === 'stall') {
      client.pause()
      upstream.pause()
      setTimeout(() => client.destroy(), random.integer(1, maxStallMs))
    } else {
      for (const socket of [client, upstream]) fault === 'reset' ? socket.resetAndDestroy() : socket.destroy()
    }
  }
  const pass = (from: Socket, to: Socket, counts: boolean): void => {
    from.on('data', (data) => {
      if (broken) return
      if (!counts && answers-- === 0) return breakNow()
      const whole = !counts || data.length < left
      const part = whole ? data : data.subarray(0, left)
      if (counts) left -= part.length
      const go = (): void => {
        // A piece that waited while the other direction broke is lost, as in a network.
        if (broken || to.destroyed) return
        if (!to.write(part) && whole) {
          from.pause()
          to.once('drain', () => from.resume())
        }
        if (!whole) breakNow()
      }
      if (fault !== 'delay') return go()
      from.pause()
      setTimeout(
        () => {
          go()
          if (!to.writableNeedDrain) from.resume()
        },
        random.integer(0, maxDelayMs),
      )
    })
    from.on('end', () => !broken && to.end())
    from.on('close', () => {
      // The other end of a stalled connection stays: nobody tells it.
      if (!(broken && fault === 'stall')) to.destroy()
    })
  }
  pass(client, upstream, true)
  pass(upstream, client, false)
}
