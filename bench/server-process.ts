// A server under measurement, in a process of its own.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** What is measured: a file of `bench/servers/`, and the options it gets. */
export interface ServerSpec {
  /** How it is called in tables. */
  readonly name: string
  /** The file's name, without its ending. */
  readonly file: string
  readonly options?: Readonly<Record<string, unknown>>
}

/** What a server process has used so far. */
export interface Usage {
  /** The time of all its threads, user and system, in milliseconds. */
  readonly cpuMs: number
  readonly rssMiB: number
}

/** Delays of the event loop, in milliseconds. The timer behind them has a resolution of 1 ms, which they include. */
export interface LoopDelay {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

/** A running server. */
export interface ServerProcess {
  readonly port: number
  /** From making the server, its modules loaded, until it listened, in milliseconds. */
  readonly startMs: number
  usage(): Promise<Usage>
  watchLoop(): Promise<void>
  /** The delays since {@link watchLoop}. */
  loopDelay(): Promise<LoopDelay>
  /** Removes expired uploads. */
  cleanUp(): Promise<void>
  /** The largest amount of memory that the process has ever used, in MiB. */
  peakMiB(): number
  stop(): Promise<void>
}

/** Starts a server on a folder. */
export async function startServer({ file, options = {} }: ServerSpec, directory: string): Promise<ServerProcess> {
  const host = fileURLToPath(new URL('./servers/host.mjs', import.meta.url))
  const child = spawn(process.execPath, [host, file, directory, JSON.stringify(options)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const [started] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`${file} ended with ${code} instead of listening`))),
  ])) as [{ port: number; startMs: number }]
  const ask = questionsTo(child)
  return {
    ...started,
    usage: async () => {
      const { cpu, rss } = (await ask('usage')) as { cpu: NodeJS.CpuUsage; rss: number }
      return { cpuMs: (cpu.user + cpu.system) / 1000, rssMiB: rss / 1024 / 1024 }
    },
    watchLoop: async () => void (await ask('watchLoop')),
    loopDelay: () => ask('loopDelay') as Promise<LoopDelay>,
    cleanUp: async () => void (await ask('cleanUp')),
    peakMiB: () => peakMiB(child),
    stop: async () => {
      child.kill('SIGKILL')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    },
  }
}

function questionsTo(child: ChildProcess): (question: string) => Promise<unknown> {
  const waiting = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>()
  let last = 0
  child.on('message', ({ id, answer }: { id: number; answer: unknown }) => {
    waiting.get(id)?.resolve(answer)
    waiting.delete(id)
  })
  child.on('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`the server ended: ${code ?? signal}`))
  })
  return (question) =>
    new Promise((resolve, reject) => {
      const id = ++last
      waiting.set(id, { resolve, reject })
      child.send({ id, ask: question })
    })
}

function peakMiB({ pid }: ChildProcess): number {
  const kib = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}
