// A server under measurement, in a process of its own.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** The servers that can be measured, by name: files in `bench/servers/`. */
export type ServerName = 'ours' | 'bare-pipe'

/** A running server. */
export interface ServerProcess {
  readonly port: number
  /** The largest amount of memory that the process has ever used, in MiB. */
  peakMiB(): number
  stop(): Promise<void>
}

/** Starts a server on a folder of its own. */
export async function startServer(name: ServerName): Promise<ServerProcess> {
  const directory = mkdtempSync(join(process.env.BENCH_DIR ?? tmpdir(), 'bench-'))
  const file = fileURLToPath(new URL(`./servers/${name}.mjs`, import.meta.url))
  const child = spawn(process.execPath, [file, directory], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  return {
    port: Number(line),
    peakMiB: () => peakMiB(child),
    stop: async () => {
      child.kill('SIGKILL')
      await once(child, 'exit')
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function peakMiB({ pid }: ChildProcess): number {
  const kib = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kib) / 1024
}
