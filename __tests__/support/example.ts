// Programs of examples/, each in a process of its own, on a port and in a folder of its own. All of it ends with the test.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(__dirname, '../..')
const START_MS = 30_000

/** A request as the server saw it; it is on record once it is over. */
export interface RecordedRequest {
  /** Which one it was, from 1 on. */
  readonly number: number
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string | undefined>>
  /** How many bytes of its body arrived. */
  readonly received: number
  /** 0 if it was not answered. */
  readonly status: number
  readonly answer: Readonly<Record<string, string | number | undefined>>
  /** How long it took, in milliseconds. */
  readonly ms: number
}

/** How a program ended. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly output: string
}

/** A running program. */
export interface Program {
  /** The first URL that it printed. */
  readonly url: string
  readonly port: number
  /** What it wrote until now. */
  output(): string
  /** Sends a signal and waits for the end. */
  end(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<Exit>
  /** Breaks all connections to it. */
  breakConnections(): void
  /** All requests to this process that are over, in the order in which they came. */
  requests(): RecordedRequest[]
  /** Waits until a request with this method and status is over (the client may know before); returns all that are. */
  answered(method: string, status: number): Promise<RecordedRequest[]>
}

/** Where and how a program runs. */
export interface ProgramOptions {
  readonly directory?: string
  /** The port; by default one that is free. */
  readonly port?: number
}

const undo: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const action of undo.splice(0).reverse()) await action()
})

/** Has something undone after the test, the last thing first. */
export function afterTest(action: () => Promise<void> | void): void {
  undo.push(action)
}

/** The path of a new, empty folder. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'resumable-upload-'))
  afterTest(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Starts a server of examples/ and waits until it has printed its URL. */
export async function startExample(script: string, options: ProgramOptions = {}): Promise<Program> {
  const directory = options.directory ?? scratchFolder()
  const record = join(scratchFolder(), 'requests.jsonl')
  const port = options.port ?? (await freePort())
  const child = spawn(
    process.execPath,
    ['--require', join(__dirname, 'observe-server.cjs'), '--import', 'tsx', join('examples', script)],
    {
      cwd: root,
      env: { ...process.env, PORT: String(port), UPLOAD_DIR: join(directory, 'uploads'), RECORD_REQUESTS: record },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const { output, exit } = watch(child)
  const end = async (signal: NodeJS.Signals): Promise<Exit> => {
    child.kill(signal)
    return exit
  }
  afterTest(async () => {
    await end('SIGKILL')
  })
  const url = await waitUntil(
    () => {
      if (child.exitCode !== null) throw new Error(`${script} ended:\n${output()}`)
      return /http:\/\/localhost:\d+\S*/.exec(output())?.[0]
    },
    START_MS,
    output,
  )
  return {
    url,
    port: Number(new URL(url).port),
    output,
    end,
    breakConnections: () => {
      child.kill('SIGUSR2')
    },
    requests: () => requestsIn(record),
    answered: (method, status) =>
      waitUntil(() => {
        const requests = requestsIn(record)
        return requests.some((request) => request.method === method && request.status === status) && requests
      }),
  }
}

/** Runs a program of examples/ to its end. */
export async function runExample(script: string, args: readonly string[]): Promise<Exit> {
  const child = spawn(process.execPath, ['--import', 'tsx', join('examples', script), ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  afterTest(() => {
    child.kill('SIGKILL')
  })
  return watch(child).exit
}

/** Waits until `probe` returns something, and returns it. */
export async function waitUntil<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = 15_000,
  explain: () => string = () => '',
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const found = await probe()
    if (found !== undefined && found !== false) return found
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${probe}\n${explain()}`)
    await new Promise((next) => setTimeout(next, 20))
  }
}

function watch(child: ChildProcess): { output: () => string; exit: Promise<Exit> } {
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      text += chunk
    })
  }
  const exit = once(child, 'close').then(([code, signal]) => ({ code, signal, output: text }))
  return { output: () => text, exit }
}

function requestsIn(record: string): RecordedRequest[] {
  if (!existsSync(record)) return []
  const lines = readFileSync(record, 'utf8').split('\n')
  const requests = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as RecordedRequest)
  return requests.sort((one, other) => one.number - other.number)
}

/** A port that nobody listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
