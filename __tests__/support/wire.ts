// A network between a client and a server: a TCP proxy that can be cut.
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterTest } from './example.js'

/** A running proxy. */
export interface Wire {
  /** Where clients connect. */
  readonly port: number
  /** Cuts all connections of now: clients see them break, the server hears nothing more, not even that. */
  cut(): void
}

/** Puts a wire before a server. */
export async function startWire(serverPort: number): Promise<Wire> {
  const clients = new Set<Socket>()
  const all = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(serverPort, 'localhost')
    for (const socket of [client, upstream]) {
      all.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => all.delete(socket))
    }
    clients.add(client)
    client.on('close', () => {
      if (clients.delete(client)) upstream.destroy()
    })
    upstream.on('close', () => client.destroy())
    client.pipe(upstream).pipe(client)
  })
  server.listen(0)
  await once(server, 'listening')
  afterTest(() => {
    server.close()
    for (const socket of all) socket.destroy()
  })
  return {
    port: (server.address() as AddressInfo).port,
    cut: () => {
      for (const client of clients) {
        clients.delete(client)
        client.unpipe()
        client.destroy()
      }
    },
  }
}
