// A real server in a process of its own, to be stopped, killed and started again.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** A running `upload-server.mjs`. */
export interface ServerProcess {
  readonly child: ChildProcess
  readonly pid: number
  readonly url: string
  /** Sends a signal and waits for the process to end. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>
}

/**
 * Starts one.
 * @param options - of the server; `closeMs` is the time that `close` gives to running requests
 * @param flags - flags of Node, for a preloaded script say, which can talk with the test over IPC
 * @param under - the command that runs it, with its arguments: strace, say
 */
export async function startServer(
  directory: string,
  options: object = {},
  port = 0,
  flags: readonly string[] = [],
  under: readonly string[] = [],
): Promise<ServerProcess> {
  const script = join(__dirname, 'upload-server.mjs')
  const node = [process.execPath, ...flags, script, directory, String(port), JSON.stringify(options)]
  const [command = process.execPath, ...args] = [...under, ...node]
  const child = spawn(command, args, {
    stdio: flags.length > 0 ? ['ignore', 'pipe', 'inherit', 'ipc'] : ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface(child.stdout as NodeJS.ReadableStream)
  const [line] = (await Promise.race([once(lines, 'line'), died(child)])) as [string]
  const started = JSON.parse(line) as { port: number; pid: number }
  return {
    child,
    pid: started.pid,
    url: `http://127.0.0.1:${started.port}/files`,
    end: async (signal) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const exited = once(child, 'exit')
      process.kill(started.pid, signal)
      await exited
    },
  }
}

async function died(child: ChildProcess): Promise<never> {
  const [code] = await once(child, 'exit')
  throw new Error(`the server ended with ${code} before it listened`)
}
