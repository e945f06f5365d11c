// A server in a process of its own, into which a test can look, and a client of it whose PATCH stalls.
import { once } from 'node:events'
import { join } from 'node:path'
import { CHUNK, create, RawConnection } from '../adapters/client.js'
import { type ServerProcess, startServer } from '../support/server-process.js'

/** What goes on in a server. */
export interface Look {
  /** How much of the processor it has used so far, in milliseconds. */
  readonly cpuMs: number
  /** How many timers are set that keep it alive. */
  readonly timers: number
  /** How many timers were made so far; 0 unless they are counted. */
  readonly made: number
  /** How many bytes have come of the body of each request that is running. */
  readonly bodies: readonly number[]
  /** The URLs of the requests that were answered, in order. */
  readonly answers: readonly string[]
}

/** A server with a probe in it. */
export interface ProbedServer extends ServerProcess {
  readonly port: number
  look(): Promise<Look>
  /** Holds up all large writes from here on, or lets them go on; or stops the process before or after a call. */
  tell(what: 'hold writes' | 'let go' | `stop ${'before' | 'after'} ${string}`): Promise<unknown>
  /** Waits for something to be so. */
  until(holds: (look: Look) => boolean): Promise<Look>
}

/**
 * Starts one.
 * @param options - of the server
 * @param preload - more scripts to load before it
 */
export async function startProbed(
  directory: string,
  options: object = {},
  preload: readonly string[] = [],
): Promise<ProbedServer> {
  const scripts = [...preload, join(__dirname, 'server-probe.cjs')]
  const flags = scripts.flatMap((script) => ['--require', script])
  const server = await startServer(directory, options, 0, flags)
  const ask = async (what: string): Promise<Look> => {
    const answer = once(server.child, 'message')
    server.child.send(what)
    return (await answer)[0]
  }
  return {
    ...server,
    port: Number(new URL(server.url).port),
    look: () => ask('look'),
    tell: ask,
    until: async (holds) => {
      for (;;) {
        const look = await ask('look')
        if (holds(look)) return look
      }
    },
  }
}

/** Creates an upload and sends a part of it in a PATCH that stalls then; settles once the server has read the part. */
export async function stall(
  server: ProbedServer,
  { length, part }: { readonly length: number; readonly part: Uint8Array },
): Promise<{ readonly path: string; readonly stalled: RawConnection }> {
  const path = await create(server.port, length)
  const stalled = await RawConnection.open(server.port)
  await stalled.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': length })
  await stalled.write(part)
  await server.until(({ bodies }) => bodies.includes(part.length))
  return { path, stalled }
}
