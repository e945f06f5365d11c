// How the processes of a host talk about claims: each listens on a Unix socket (on Windows: a named pipe), named after
// it. Who wants an upload that another one holds connects there and asks; that the socket closes tells that it died.

import { rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { DeadSockets } from './dead-sockets.js'
import { isOfOtherBoot, isOwner, newOwner } from './owner.js'
import { socketPath } from './socket-path.js'

const MAX_QUESTION_BYTES = 1024

/**
 * What a holder answers: `free`: it let go; `other`: it is at another offset and goes on; `dead`: nobody listens, the
 * process is gone; `lapsed`: nobody listens, and it ran before the system was started the last time; `silent`: no
 * answer in time.
 */
export type PeerAnswer = 'free' | 'other' | 'dead' | 'lapsed' | 'silent'

/** What {@link Peers} does with questions. */
export interface PeersOptions {
  /**
   * Another process asks this one to let go of an upload.
   * `answer` settles when the other one has hung up.
   */
  readonly onAsk: (id: string, offset: number | undefined, answer: (word: 'free' | 'other') => Promise<void>) => void
  /** Whether this process holds anything by which its death would have to be found out. */
  readonly isHolding: () => boolean
  /**
   * How long an upload is kept free for a process that asked for it, and for how long a question is waited for;
   * milliseconds.
   */
  readonly patienceMs: number
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
  readonly #deadSockets: DeadSockets | undefined

  /**
   * @param meetingPoint - a folder that the processes share; without one this process only waits for leases to run out
   * @param options - what to do with questions
   */
  constructor(meetingPoint: string | undefined, options: PeersOptions) {
    this.#options = options
    this.#folder = meetingPoint
    this.owner = newOwner()
    if (meetingPoint === undefined) return
    this.#server = createServer((socket) => this.#listenTo(socket))
    this.#server.on('error', (error) => this.#reportDeaf(error))
    this.#server.unref()
    this.#listen()
    this.#deadSockets = new DeadSockets({ folder: meetingPoint, own: this.owner, onRound: () => this.#listen() })
    this.#deadSockets.start()
    removeAtExit(this)
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
      const path = this.#pathOf(owner)
      if (path === undefined) return
      socket = connect(path)
      socket.on('connect', () => socket?.write(`${JSON.stringify({ id, offset })}\n`))
      socket.once('data', (data) => settle(data.toString() === 'other\n' ? 'other' : 'free'))
      // It closed without a word: it died or shut down. Ask again: then the record or a refused connection tells which.
      socket.on('end', () => settle('free'))
      socket.on('error', (error: NodeJS.ErrnoException) => {
        const death = deathBy(error, owner)
        if (death !== undefined) settle(death)
        else if (error.code === 'ECONNRESET' || error.code === 'EPIPE') settle('free')
      })
    })
  }

  /** Whether nobody listens any more where a process should. */
  isDead(owner: string): Promise<boolean> {
    return new Promise((resolve) => {
      const path = this.#pathOf(owner)
      if (path === undefined) return resolve(false)
      const socket = connect(path)
      socket.on('connect', () => {
        socket.destroy()
        resolve(false)
      })
      socket.on('error', (error) => resolve(deathBy(error, owner) !== undefined))
    })
  }

  /** Hangs up. */
  close(): Promise<void> {
    removeNoMore(this)
    this.#deadSockets?.close()
    for (const socket of this.#connections) socket.destroy()
    return new Promise((resolve) => {
      if (this.#server?.listening) this.#server.close(() => resolve())
      else resolve()
    })
  }

  /** Removes the socket, unless the others need it to find out that this process has died. */
  removeSocket(): void {
    const path = this.#pathOf(this.owner)
    if (path === undefined || process.platform === 'win32' || this.#options.isHolding()) return
    try {
      rmSync(path, { force: true })
    } catch {
      // Others remove it later.
    }
  }

  /** Where another process listens, if there is any such place. */
  #pathOf(owner: string): string | undefined {
    if (this.#folder === undefined || !isOwner(owner)) return undefined
    try {
      return socketPath(this.#folder, owner)
    } catch {
      return undefined
    }
  }

  /** Listens, if it does not yet: the process may have had no descriptor to spare. */
  #listen(): void {
    if (this.#folder === undefined || this.#server === undefined || this.#server.listening) return
    try {
      // `exclusive`, since in a cluster's worker the primary would listen in its stead. It listens once this returns.
      this.#server.listen({ path: socketPath(this.#folder, this.owner), exclusive: true })
    } catch (error) {
      this.#reportDeaf(error)
    }
  }

  #reportDeaf(cause: unknown): void {
    const message =
      'Other processes cannot ask this one to let go of an upload, since it has no socket for that. ' +
      `They wait until its claims run out, and nothing is lost: ${(cause as Error).message}`
    this.#options.onError(new Error(message, { cause }))
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
    const { patienceMs, onAsk } = this.#options
    // A process that hangs must not keep an upload from all others, nor a descriptor for ever.
    const hangUpLater = (): NodeJS.Timeout => setTimeout(() => socket.destroy(), patienceMs).unref()
    const timer = hangUpLater()
    let text = ''
    socket.on('data', (data) => {
      text += data.toString()
      const question = text.endsWith('\n') ? parseQuestion(text) : undefined
      if (question === undefined) {
        if (text.endsWith('\n') || text.length > MAX_QUESTION_BYTES) socket.destroy()
        return
      }
      text = ''
      clearTimeout(timer)
      onAsk(question.id, question.offset, (word) => {
        socket.write(`${word}\n`)
        hangUpLater()
        return closed
      })
    })
  }
}

/** Those that listen. */
const listening = new Set<Peers>()

/** One listener of the process for all. */
function removeAllSockets(): void {
  for (const peers of listening) peers.removeSocket()
}

function removeAtExit(peers: Peers): void {
  if (listening.size === 0) process.on('exit', removeAllSockets)
  listening.add(peers)
}

function removeNoMore(peers: Peers): void {
  if (listening.delete(peers) && listening.size === 0) process.off('exit', removeAllSockets)
}

/** What a failed connection says of the process that should listen. */
function deathBy({ code }: NodeJS.ErrnoException, owner: string): 'dead' | 'lapsed' | undefined {
  const refused = code === 'ECONNREFUSED'
  if (isOfOtherBoot(owner)) return refused || code === 'ENOENT' ? 'lapsed' : undefined
  return refused ? 'dead' : undefined
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
