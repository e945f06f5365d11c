// The server that hostile clients meet, in a process of its own, and the folders around its directory.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tempFolder } from '../storage/support/temp-folder.js'

/** What the server says of itself. */
export interface HostileFigures {
  /** How often each handler has answered by which status. */
  readonly statuses: Readonly<Record<string, Readonly<Record<string, number>>>>
  /** How many requests have reached the application. */
  readonly requests: number
  readonly connections: number
  readonly rssMiB: number
}

/** The running server. */
export interface HostileSite {
  readonly port: number
  /** The folder of the uploads. */
  readonly directory: string
  /** All that the server has written on stderr. */
  stderr(): string
  /** Whether the process is alive. */
  alive(): boolean
  look(): Promise<HostileFigures>
  /** The same after a garbage collection. */
  collect(): Promise<HostileFigures>
  /** What there is besides the directory of uploads, with times of change: what nobody may touch. */
  surroundings(): readonly string[]
  end(): Promise<void>
}

/** Options of the server. */
export interface HostileOptions {
  /** Of `TusServer`. */
  readonly tus?: object
  /** Of `http.createServer`. */
  readonly http?: object
}

/** Starts it, in folders of its own. */
export async function startHostileSite(options: HostileOptions = {}): Promise<HostileSite> {
  const root = tempFolder()
  const directory = join(root, 'uploads')
  for (const folder of ['uploads', 'uploads-sibling', 'cwd']) mkdirSync(join(root, folder))
  writeFileSync(join(root, 'secret.txt'), 'a secret')
  writeFileSync(join(root, 'uploads-sibling/secret.txt'), 'another secret')
  const child = fork(join(__dirname, 'hostile-server.mjs'), [directory, JSON.stringify(options)], {
    cwd: join(root, 'cwd'),
    // As on a developer's machine, where Express shows all it knows of an error.
    env: { ...process.env, NODE_ENV: 'development' },
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  })
  let stderr = ''
  child.stderr?.on('data', (data) => {
    stderr += data
  })
  const ended = once(child, 'close')
  const died = ended.then(() => {
    throw new Error(`the server is gone: ${child.exitCode ?? child.signalCode}\n${stderr}`)
  })
  died.catch(() => {})
  const next = async <T>(): Promise<T> => (await Promise.race([message(child), died])) as T
  const ask = (what: string): Promise<HostileFigures> => {
    child.send(what)
    return next()
  }
  const { port } = await next<{ port: number }>()
  return {
    port,
    directory,
    stderr: () => stderr,
    alive: () => child.exitCode === null && child.signalCode === null,
    look: () => ask('look'),
    collect: () => ask('collect'),
    surroundings: () => [describe(root, root), ...entriesOf(root, 'uploads')],
    end: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await ended
    },
  }
}

async function message(child: ChildProcess): Promise<unknown> {
  const [content] = await once(child, 'message')
  return content
}

/** All below a folder but one entry of it. */
function entriesOf(root: string, except: string): string[] {
  const entries = readdirSync(root, { recursive: true, encoding: 'utf8' })
  const others = entries.filter((entry) => entry !== except && !entry.startsWith(`${except}/`))
  return others.sort().map((entry) => describe(root, join(root, entry)))
}

function describe(root: string, path: string): string {
  const { size, mtimeMs, ino } = statSync(path)
  return `${path.slice(root.length)} ${size} ${mtimeMs} ${ino}`
}
