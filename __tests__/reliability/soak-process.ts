// The process of the soak test's server, as the test sees it.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** What the server measures of itself. */
export interface Measured {
  /** The event loop's delay since the last figures. Without any, it is the 10 ms between two looks. */
  readonly delayP50Ms: number
  readonly delayP99Ms: number
  readonly delayMaxMs: number
  /** The most that was seen since the last figures. */
  readonly mostDescriptors: number
  readonly rssMiB: number
  /** The rest is measured at rest: nobody is connected, what is unfinished has expired, garbage is collected. */
  readonly rssAtRestMiB: number
  readonly heapMiB: number
  readonly externalMiB: number
  /** How many objects there are on the heap. */
  readonly objects: number
  readonly descriptors: number
  /** Of the descriptors: sockets, and files of uploads. */
  readonly sockets: number
  readonly files: number
  /** The size of SQLite's write-ahead log. */
  readonly logMiB: number
}

/** How the process ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The running server. */
export interface SoakServer {
  readonly port: number
  /** Rejects if it ends by itself. */
  readonly died: Promise<never>
  /** All that it wrote on stderr. */
  stderr(): string
  /** Settles when nobody is connected, and all that was asked for is done. */
  rest(): Promise<unknown>
  /** Waits until it is at rest, has what is unfinished expire, and measures. */
  measure(): Promise<Measured>
  /** Sends a signal and waits for the end. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<Ended>
}

/** Starts it. */
export async function startSoakServer(directory: string, expiryMs: number): Promise<SoakServer> {
  const child = fork(join(__dirname, 'soak-server.mjs'), [directory, String(expiryMs)], {
    execArgv: ['--expose-gc', '--trace-warnings'],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  })
  let stderr = ''
  child.stderr?.on('data', (data) => {
    stderr += data
  })
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal }) as Ended)
  const died = ended.then(({ code, signal }) => {
    throw new Error(`the server ended by itself: ${code ?? signal}\n${stderr}`)
  })
  died.catch(() => {})
  const message = async <T>(): Promise<T> => Promise.race([answer<T>(child), died])
  const ask = <T>(what: 'rest' | 'measure'): Promise<T> => {
    child.send(what)
    return message()
  }
  const { port } = await message<{ port: number }>()
  return {
    port,
    died,
    stderr: () => stderr,
    rest: () => ask('rest'),
    measure: () => ask('measure'),
    end: (signal) => {
      child.kill(signal)
      return ended
    },
  }
}

async function answer<T>(child: ChildProcess): Promise<T> {
  const [message] = await once(child, 'message')
  return message as T
}
