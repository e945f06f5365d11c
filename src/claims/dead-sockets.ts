// Removes the sockets that crashed processes have left, in the background and one at a time: there may be thousands,
// and the descriptors of the process belong to the application.

import { rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { isOfOtherBoot } from './owner.js'
import { listSockets } from './socket-path.js'

/** When the first round begins, so that a start is not slowed down, in milliseconds. */
const FIRST_ROUND_MS = 1_000
/** Longer than any lease, in milliseconds. */
const FORGET_AFTER_MS = 10 * 60_000
/** How many are kept at most: those of a crash loop never grow old enough. */
const MAX_KEPT = 64
/** One that is younger may belong to a process that does not listen yet, in milliseconds. */
const MIN_AGE_MS = 60_000

/** What {@link DeadSockets} needs. */
export interface DeadSocketsOptions {
  /** The folder that the processes share. */
  readonly folder: string
  /** The name of this process's own socket. */
  readonly own: string
  /** Called with each round. */
  readonly onRound?: () => void
  /** Milliseconds that only grow. @default performance.now */
  readonly now?: () => number
}

/**
 * The sockets of crashed processes. Until all leases of such a process have run out, its socket is the proof that it
 * has crashed, so it is kept for a while. Names are never used again, so nothing else can be hit.
 */
export class DeadSockets {
  readonly #options: DeadSocketsOptions
  readonly #now: () => number
  /** When each was found dead first. */
  #found = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  /** @param options - where they are */
  constructor(options: DeadSocketsOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /** Begins to remove them, from time to time. It keeps no process alive. */
  start(): void {
    this.#startIn(FIRST_ROUND_MS)
  }

  /** Stops. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  /** One round. */
  async round(): Promise<void> {
    const found = new Map<string, number>()
    for await (const { owner, path } of listSockets(this.#options.folder)) {
      if (this.#closed) return
      if (owner === this.#options.own || !(await isDead(path))) continue
      const since = this.#found.get(path) ?? this.#now()
      // Its leases count for nothing any more.
      if (isOfOtherBoot(owner) || since <= this.#now() - FORGET_AFTER_MS) await rm(path, { force: true })
      else found.set(path, since)
    }
    for (const path of await oldestBeyond(MAX_KEPT, [...found.keys()])) {
      await rm(path, { force: true })
      found.delete(path)
    }
    this.#found = found
  }

  #startIn(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#options.onRound?.()
      // The folder may not be readable, or gone: the next round tries it again.
      void this.round()
        .catch(() => {})
        .then(() => {
          if (!this.#closed) this.#startIn(FORGET_AFTER_MS)
        })
    }, ms).unref()
  }
}

/** Whether nobody listens at a socket. What can't be asked may be alive. */
function isDead(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.unref()
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'))
  })
}

/** The oldest files, as long as there are more than so many. */
async function oldestBeyond(most: number, paths: readonly string[]): Promise<readonly string[]> {
  if (paths.length <= most) return []
  const files: { readonly path: string; readonly bornMs: number }[] = []
  for (const path of paths) {
    const found = await stat(path).catch(() => undefined)
    if (found !== undefined) files.push({ path, bornMs: found.mtimeMs })
  }
  files.sort((one, other) => one.bornMs - other.bornMs)
  const lastMs = Date.now() - MIN_AGE_MS
  return files.slice(0, -most).flatMap(({ path, bornMs }) => (bornMs <= lastMs ? [path] : []))
}
