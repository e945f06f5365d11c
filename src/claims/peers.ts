// How the processes of a host talk about claims: each listens on a Unix socket (on Windows: a named pipe), named after
// it. Who wants an upload that another one holds connects there and asks; that the socket closes tells that it died.

import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** `sun_path` has 104 bytes on macOS and 108 on Linux; longer ones are cut off in silence. */
const MAX_SOCKET_PATH_BYTES = 103
const MAX_QUESTION_BYTES = 1024
/** Longer than anybody would make a lease, in milliseconds. */
const FORGET_AFTER_MS = 10 * 60_000

/**
 * What a holder answers: `free`: it let go; `other`: it is at another offset and goes on; `dead`: nobody listens, the
 * process is gone; `silent`: no answer in time.
 */
export type PeerAnswer = 'free' | 'other' | 'dead' | 'silent'

/** What {@link Peers} does with questions. */
export interface PeersOptions {
  /**
   * Another process asks this one to let go of an upload.
   * `answer` settles when the other one has hung up.
   */
  readonly onAsk: (id: string, offset: number | undefined, answer: (word: 'free' | 'other') => Promise<void>) => void
  /** Gets what went wrong in the background. */
  readonly onError: (error: unknown) => void
}

/** One question. */
export interface Question {
  readonly offset: number | undefined
  /** How long to wait for an answer, in milliseconds. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** This process's end of the conversation with the others. */
export class Peers {
  /** The name of this end: what claims are held under. */
  readonly owner: string
  readonly #folder: string | undefined
  readonly #options: PeersOptions
  readonly #server: Server | undefined
  readonly #connections = new Set<Socket>()

  /**
   * @param meetingPoint - a folder that the processes share; without one this process only waits for leases to run out
   * @param options - what to do with questions
   */
  constructor(meetingPoint: string | undefined, options: PeersOptions) {
    this.#options = options
    this.#folder = meetingPoint
    this.owner = `${hostMark()}-${randomBytes(8).toString('hex')}`
    if (meetingPoint === undefined) return
    this.#server = createServer((socket) => this.#listenTo(socket))
    // Without it claims are still safe: the others wait for the lease instead of an answer.
    this.#server.on('error', options.onError)
    // `exclusive`, since in a cluster's worker the primary would listen in its stead. It listens once this returns.
    this.#server.listen({ path: socketPath(meetingPoint, this.owner), exclusive: true })
    this.#server.unref()
    this.#forgetTheDead(meetingPoint)
  }

  /** Asks the process that holds an upload to let go of it. */
  ask(owner: string, id: string, { offset, timeoutMs, signal }: Question): Promise<PeerAnswer> {
    return new Promise((resolve) => {
      let socket: Socket | undefined
      const settle = (answer: PeerAnswer): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', give)
        resolve(answer)
        // The other one keeps the upload free for us until we hang up, so that our claim comes first.
        if (answer === 'free') setImmediate(() => socket?.destroy())
        else socket?.destroy()
      }
      const give = (): void => settle('silent')
      const timer = setTimeout(give, timeoutMs)
      signal?.addEventListener('abort', give)
      if (this.#folder === undefined || !sameHost(owner)) return
      socket = connect(socketPath(this.#folder, owner))
      socket.on('connect', () => socket?.write(`${JSON.stringify({ id, offset })}\n`))
      socket.once('data', (data) => settle(data.toString() === 'other\n' ? 'other' : 'free'))
      // It closed without a word: it died or shut down. Ask again: then the record or a refused connection tells which.
      socket.on('end', () => settle('free'))
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ECONNREFUSED') settle('dead')
        else if (error.code === 'ECONNRESET' || error.code === 'EPIPE') settle('free')
      })
    })
  }

  /** Whether nobody listens any more where a process should. */
  isDead(owner: string): Promise<boolean> {
    return new Promise((resolve) => {
      if (this.#folder === undefined || !sameHost(owner)) return resolve(false)
      const socket = connect(socketPath(this.#folder, owner))
      socket.on('connect', () => {
        socket.destroy()
        resolve(false)
      })
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
    })
  }

  /** Hangs up. */
  close(): Promise<void> {
    for (const socket of this.#connections) socket.destroy()
    return new Promise((resolve) => {
      if (this.#server?.listening) this.#server.close(() => resolve())
      else resolve()
    })
  }

  #listenTo(socket: Socket): void {
    this.#connections.add(socket)
    const closed = new Promise<void>((resolve) => {
      socket.on('close', () => {
        this.#connections.delete(socket)
        resolve()
      })
    })
    socket.unref()
    socket.on('error', () => socket.destroy())
    let text = ''
    socket.on('data', (data) => {
      text += data.toString()
      const question = text.endsWith('\n') ? parseQuestion(text) : undefined
      if (question === undefined) {
        if (text.endsWith('\n') || text.length > MAX_QUESTION_BYTES) socket.destroy()
        return
      }
      text = ''
      this.#options.onAsk(question.id, question.offset, (word) => {
        socket.write(`${word}\n`)
        return closed
      })
    })
  }

  /**
   * Removes the sockets of processes that were killed. Names are never used again, so nothing can be hit wrongly; but
   * until all leases of such a process have run out, its socket is the proof that it is dead.
   */
  #forgetTheDead(folder: string): void {
    if (process.platform === 'win32') return
    for (const owner of listOwners(folder)) {
      if (owner === this.owner) continue
      const path = socketPath(folder, owner)
      const socket = connect(path)
      socket.unref()
      socket.on('connect', () => socket.destroy())
      socket.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'ECONNREFUSED') return
        setTimeout(() => rmSync(path, { force: true }), FORGET_AFTER_MS).unref()
      })
    }
  }
}

function parseQuestion(text: string): { id: string; offset: number | undefined } | undefined {
  try {
    const { id, offset } = JSON.parse(text) as { id?: unknown; offset?: unknown }
    if (typeof id !== 'string') return undefined
    return { id, offset: typeof offset === 'number' ? offset : undefined }
  } catch {
    return undefined
  }
}

function socketPath(folder: string, owner: string): string {
  if (process.platform === 'win32') return `\\\\.\\pipe\\resumable-upload-${owner}`
  const path = join(folder, owner)
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path
  return join(tmpdir(), `ru-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}-${owner}`)
}

function listOwners(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter(sameHost)
  } catch {
    return []
  }
}

let mark: string | undefined

/** Marks the running system: a refused connection only means death if the other one ran on the same. */
function hostMark(): string {
  mark ??= readHostMark()
  return mark
}

function readHostMark(): string {
  let boot = ''
  try {
    boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')
  } catch {
    // Not Linux: folders are assumed to be local, as SQLite needs it.
  }
  return createHash('sha256').update(boot).digest('hex').slice(0, 8)
}

function sameHost(owner: string): boolean {
  return owner.startsWith(`${hostMark()}-`)
}
