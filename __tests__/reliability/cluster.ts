// A server of several processes behind one port, and clients that know which process they talk to.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Answer, CHUNK, RawConnection, TUS } from '../adapters/client.js'

/** A running cluster. */
export interface Cluster {
  readonly port: number
  /** The processes that listen at the moment. */
  readonly pids: ReadonlySet<number>
  /** Opens a connection to some process that is not `other`. */
  pin(other?: number): Promise<Pinned>
  /** Kills a worker with its uploads; settles with the time at which it was. */
  kill(pid: number): number
  /** Waits until there are as many workers as in the beginning. */
  whole(): Promise<void>
  end(): Promise<void>
}

/** Starts `upload-server.mjs` in so many workers of `node:cluster`. */
export async function startCluster(directory: string, workers: number, options: object = {}): Promise<Cluster> {
  const args = [join(__dirname, 'cluster-server.mjs'), String(workers), directory, '0', JSON.stringify(options)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const pids = new Set<number>()
  let port = 0
  let onListening = (): void => {}
  createInterface(child.stdout).on('line', (line) => {
    const worker = JSON.parse(line) as { port: number; pid: number }
    port = worker.port
    pids.add(worker.pid)
    onListening()
  })
  const whole = async (): Promise<void> => {
    while (pids.size < workers) {
      await new Promise<void>((resolve) => {
        onListening = resolve
      })
    }
  }
  const died = once(child, 'exit').then(() => Promise.reject(new Error('the cluster ended before it listened')))
  died.catch(() => {})
  await Promise.race([whole(), died])
  return {
    port,
    pids,
    whole,
    pin: async (other) => {
      for (;;) {
        const pinned = await Pinned.open(port)
        if (pinned.pid !== other) return pinned
        pinned.destroy()
      }
    },
    kill: (pid) => {
      pids.delete(pid)
      process.kill(pid, 'SIGKILL')
      return performance.now()
    },
    end: () => end(child, pids),
  }
}

/** The workers hold the other end of the pipe, so it closes with the last of them. */
async function end(child: ChildProcess, pids: ReadonlySet<number>): Promise<void> {
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has noticed that the primary is gone.
    }
  }
  await closed
}

/** A connection, and the process at its other end. */
export class Pinned {
  readonly connection: RawConnection
  readonly pid: number

  private constructor(connection: RawConnection, pid: number) {
    this.connection = connection
    this.pid = pid
  }

  /** Connects, and learns which process it is. */
  static async open(port: number): Promise<Pinned> {
    const connection = await RawConnection.open(port)
    await connection.head('OPTIONS', '/files', {})
    const { headers } = await connection.answer('OPTIONS')
    return new Pinned(connection, Number(headers['x-pid']))
  }

  /** Sends a request without a body. */
  async ask(method: 'HEAD' | 'DELETE', path: string): Promise<Answer> {
    await this.connection.head(method, path, TUS)
    return this.connection.answer(method)
  }

  /** Creates an upload; returns its path. */
  async create(length: number): Promise<string> {
    await this.connection.head('POST', '/files', { ...TUS, 'Upload-Length': length, 'Content-Length': 0 })
    const { headers } = await this.connection.answer('POST')
    return headers.location ?? ''
  }

  /** Sends a chunk; settles with the status, or `cut` if the connection ended instead. */
  async patch(path: string, offset: number, body: Uint8Array): Promise<number | 'cut'> {
    await this.connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': offset, 'Content-Length': body.length })
    return this.goOn(body)
  }

  /** Begins to send a chunk: a part of it, once the server asks for it. */
  async begin(path: string, offset: number, length: number, part?: Uint8Array): Promise<void> {
    const headers = { ...CHUNK, 'Upload-Offset': offset, 'Content-Length': length, Expect: '100-continue' }
    await this.connection.head('PATCH', path, headers)
    const { status } = await this.connection.answer('PATCH')
    if (status !== 100) throw new Error(`the server does not ask for the body: ${status}`)
    if (part !== undefined && part.length > 0) await this.connection.write(part)
  }

  /** Sends the rest of a chunk, as `patch` does. */
  goOn(rest: Uint8Array): Promise<number | 'cut'> {
    // Whoever is refused may not get all of its body off.
    void this.connection.write(rest)
    return this.connection.answer('PATCH').then(
      ({ status }) => status,
      () => 'cut',
    )
  }

  destroy(): void {
    this.connection.destroy()
  }
}
