// A server that is killed and started again behind one address: the fault proxy, which is calm or bad, stands before it.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isPartial } from '../../src/upload.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { contentOf, type DiskState, readDisk, type StoredRecord, storedBytes } from './disk-state.js'
import { type FaultProxy, startFaultProxy } from './fault-proxy.js'
import { partStarts, type UploadClient } from './upload-clients.js'

/** A point at which the server stops dead, when it comes there for the `hit`th time. */
export interface Failpoint {
  readonly name: string
  readonly hit: number
}

interface Message {
  readonly done?: string
  readonly failed?: string
  readonly error?: string
  readonly port?: number
}

/** Nothing takes so long but what hangs, in milliseconds. */
const HANGS_MS = 60_000

/** Nobody listens there. */
const NOWHERE = 0

/** One directory, the server process of the moment, the clients. */
export class KillSite {
  readonly directory = join(tempFolder(), 'uploads')
  readonly proxy: FaultProxy
  readonly clients = new Map<string, UploadClient>()
  /** What the servers have reported as errors. */
  readonly errors: string[] = []
  /** Settles when the server of the moment listens; if it is killed before, never. */
  listening: Promise<void> = Promise.resolve()
  kills = 0
  /** How often a record was held against the bytes. */
  recordsChecked = 0
  readonly #hookLog = join(tempFolder(), 'hooks')
  readonly #options: object
  readonly #checkedFiles = new Set<string>()
  #skewMs = 0
  #server: Child
  #next: Child

  private constructor(proxy: FaultProxy, options: object) {
    this.proxy = proxy
    this.#options = options
    appendFileSync(this.#hookLog, '')
    this.#server = new Child(this.errors)
    this.#next = this.#server
  }

  /**
   * Starts one.
   * @param seed - of the bad network
   * @param calm - whether it is no bad one
   * @param options - of the server
   */
  static async start(seed: number, calm: boolean, options: object): Promise<KillSite> {
    const proxy = await startFaultProxy(NOWHERE, { seed })
    if (calm) proxy.calm()
    const site = new KillSite(proxy, options)
    await site.restart()
    return site
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.proxy.port}/files`
  }

  /** Starts the server again, and waits until it listens. */
  restart(failpoint?: Failpoint): Promise<void> {
    this.begin(failpoint)
    return this.listening
  }

  /** Starts the server again, and another process ahead of time for the next start. */
  begin(failpoint?: Failpoint): void {
    const server = this.#next
    this.#server = server
    const { directory } = this
    const start = { directory, hookLog: this.#hookLog, options: this.#options, skewMs: this.#skewMs, failpoint }
    this.listening = server.order('open', start).then(({ port = NOWHERE }) => {
      if (!server.killed) this.proxy.redirect(port)
    })
    this.#next = new Child(this.errors)
  }

  arm(failpoint: Failpoint): Promise<Message> {
    return this.#server.order('arm', failpoint)
  }

  disarm(): Promise<Message> {
    return this.#server.order('disarm')
  }

  /** Settles when the server has come to the point that was armed. */
  stopped(): Promise<void> {
    return this.#server.stopped
  }

  /** Lets time go by, for all servers to come. */
  async advance(ms: number): Promise<void> {
    this.#skewMs += ms
    await this.#server.order('advance', { ms })
  }

  cleanUp(): Promise<Message> {
    return this.#server.order('cleanUp')
  }

  /** Kills the server, and holds what is on the disk against what was sent and what was promised. */
  async kill(): Promise<DiskState> {
    this.proxy.redirect(NOWHERE)
    await this.#server.kill()
    this.kills++
    return this.check()
  }

  /** @throws Error if a record says more than what is there, something else is there, or a promise was broken */
  check(): DiskState {
    const state = readDisk(this.directory)
    const records = new Map(state.records.map((record) => [record.id, record]))
    for (const record of state.records) if (!record.buried) this.#checkRecord(record)
    for (const { name, promised, kind } of this.clients.values()) {
      for (const [id, offset] of promised) {
        const record = records.get(id)
        // Parts go when they have become a whole.
        if (record === undefined && kind !== 'parallel') throw new Error(`${name}: ${id} is gone`)
        if (record !== undefined && record.offset < offset) {
          throw new Error(`${name}: ${id} is at ${record.offset}, and ${offset} were promised`)
        }
      }
    }
    return state
  }

  #checkRecord(record: StoredRecord): void {
    const client = this.clients.get(contentOf(record))
    if (client === undefined) throw new Error(`a record of no client: ${JSON.stringify(record)}`)
    if (this.#checkedFiles.has(record.id)) return
    const { content } = client
    const bytes = storedBytes(this.directory, record)
    const starts = isPartial(record) ? partStarts(content.length) : [0]
    if (!starts.some((start) => bytes.equals(content.subarray(start, start + bytes.length)))) {
      throw new Error(`${client.name}: ${record.id} has other bytes than were sent, up to ${record.offset}`)
    }
    if (record.complete && !isPartial(record)) {
      if (bytes.length !== content.length) throw new Error(`${client.name}: complete with ${bytes.length} bytes`)
      this.#checkedFiles.add(record.id)
    }
    this.recordsChecked++
  }

  /** What `onUploadComplete` saw, by the id of the upload: the hash of the file, once for each time that it ran. */
  hookRuns(): Map<string, string[]> {
    const runs = new Map<string, string[]>()
    for (const line of readFileSync(this.#hookLog, 'utf8').split('\n')) {
      if (line === '') continue
      const { id, sha256 } = JSON.parse(line) as { id: string; sha256: string }
      runs.set(id, [...(runs.get(id) ?? []), sha256])
    }
    return runs
  }

  async close(): Promise<void> {
    await Promise.all([this.#server.kill(), this.#next.kill(), this.proxy.close()])
  }
}

/** One server process. */
class Child {
  readonly stopped: Promise<void>
  killed = false
  readonly #ready: Promise<unknown>
  readonly #child: ChildProcess

  /** @param errors - gets what the process reports, and what it writes to stderr */
  constructor(errors: string[]) {
    const child = spawn(process.execPath, [join(__dirname, 'failpoint-server.mjs')], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#child = child
    this.stopped = new Promise((resolve) => child.stdout?.once('data', () => resolve()))
    child.stderr?.on('data', (data) => errors.push(String(data)))
    child.on('message', ({ error }: Message) => {
      if (error !== undefined) errors.push(error)
    })
    child.on('exit', (code, signal) => {
      if (signal !== 'SIGKILL') errors.push(`a server ended by itself: ${code} ${signal}`)
    })
    this.#ready = this.#answer('start')
  }

  /** Settles when it was done; if the process is killed meanwhile, never. */
  async order(order: string, what: object = {}): Promise<Message> {
    await this.#ready
    const answer = this.#answer(order)
    this.#child.send({ order, ...what }, () => {})
    return answer
  }

  #answer(order: string): Promise<Message> {
    return new Promise((resolve, reject) => {
      const listen = (message: Message): void => {
        if (message.failed === order) reject(new Error(message.error))
        else if (message.done === order) resolve(message)
        else return
        this.#child.off('message', listen)
      }
      this.#child.on('message', listen)
    })
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.killed = true
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}

/** Settles as `work` does, but fails if that takes so long that it hangs. */
export async function unlessItHangs<T>(work: Promise<T>, what: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const hung = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`stuck: ${what()}`)), HANGS_MS)
  })
  try {
    return await Promise.race([work, hung])
  } finally {
    clearTimeout(timer)
  }
}
