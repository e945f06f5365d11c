// The options of a server, and the form in which the rest of the code sees them.

import type { Storage } from './storage/storage.js'

/** Where warnings and errors go. `console` and pino have this shape. */
export interface Logger {
  warn(message: unknown, ...rest: unknown[]): void
  error(message: unknown, ...rest: unknown[]): void
}

/** Which request an error came from. */
export interface ErrorContext {
  readonly method: string
  readonly path: string
  /** What the adapter passed as `context`: Express's request, say. */
  readonly context: unknown
}

/**
 * What must have reached the disk before an answer: `completed`: a whole upload, before the answer that says so;
 * `committed`: every chunk, before its answer; `none`: nothing, the operating system decides.
 */
export type Durability = 'completed' | 'committed' | 'none'

/** Options of {@link TusServer}. */
export interface TusServerOptions {
  /** Where uploads live. */
  readonly storage: Storage
  /**
   * The path below which the server itself routes. A mount replaces it: behind `app.use('/api/files', …)` it does not
   * matter.
   * @default '/files'
   */
  readonly basePath?: string
  /**
   * The largest upload, in bytes. Larger ones are refused with 413 before their body is read.
   * @default no limit
   */
  readonly maxSize?: number
  /**
   * What must have reached the disk before an answer.
   * @default 'completed'
   */
  readonly durability?: Durability
  /**
   * How long a request waits for an upload that another one is writing to and does not let go of, in milliseconds.
   * Then it is answered by 423.
   * @default 15000
   */
  readonly claimWaitMs?: number
  /**
   * How long the right to write to an upload lasts unless it is renewed, in milliseconds: after so long an upload is
   * free again whose process hangs. (One whose process died is free at once.)
   * @default 10000
   */
  readonly leaseMs?: number
  /**
   * How many bodies are read at the same time. The others wait, with TCP's own backpressure.
   * @default 8
   */
  readonly maxActiveBodies?: number
  /**
   * How many bytes of bodies may be held in memory at the same time.
   * @default 67108864 (64 MiB)
   */
  readonly memoryBudget?: number
  /**
   * A long body is committed each time so many bytes of it are stored: what a crash in the middle of it loses at most.
   * @default 16777216 (16 MiB)
   */
  readonly segmentBytes?: number
  /**
   * A slow body is committed each time so many milliseconds have gone by, where that comes before `segmentBytes`.
   * @default 1000
   */
  readonly segmentMs?: number
  /**
   * Where warnings and errors go.
   * @default console
   */
  readonly logger?: Logger
  /** Called with every error that a client got a bare 5xx for, and what went wrong in the background. */
  readonly onError?: (error: unknown, context: ErrorContext | undefined) => void
  /**
   * The clock, in milliseconds since the epoch; for tests.
   * @default Date.now
   */
  readonly now?: () => number
}

/** Options with all defaults filled in. */
export interface ResolvedOptions extends Required<Omit<TusServerOptions, 'maxSize' | 'onError'>> {
  readonly maxSize: number | undefined
  readonly onError: (error: unknown, context: ErrorContext | undefined) => void
}

const MIB = 1024 * 1024

/**
 * Fills in the defaults.
 * @throws TypeError if an option can't be what it says
 */
export function resolveOptions(options: TusServerOptions): ResolvedOptions {
  const { storage, durability = 'completed', basePath = '/files', maxSize } = options
  if (typeof storage?.openStage !== 'function') throw new TypeError('TusServer: storage must be a Storage')
  if (!['completed', 'committed', 'none'].includes(durability)) {
    throw new TypeError(`TusServer: durability must be 'completed', 'committed' or 'none', not ${durability}`)
  }
  return {
    storage,
    basePath: resolveBasePath(basePath),
    maxSize: maxSize === undefined ? undefined : natural('maxSize', maxSize, 0),
    durability,
    claimWaitMs: natural('claimWaitMs', options.claimWaitMs ?? 15_000, 0),
    leaseMs: natural('leaseMs', options.leaseMs ?? 10_000, 1),
    maxActiveBodies: natural('maxActiveBodies', options.maxActiveBodies ?? 8, 1),
    memoryBudget: natural('memoryBudget', options.memoryBudget ?? 64 * MIB, 0),
    segmentBytes: natural('segmentBytes', options.segmentBytes ?? 16 * MIB, 1),
    segmentMs: natural('segmentMs', options.segmentMs ?? 1000, 0),
    logger: options.logger ?? console,
    onError: options.onError ?? (() => {}),
    now: options.now ?? Date.now,
  }
}

function resolveBasePath(basePath: string): string {
  if (!basePath.startsWith('/')) throw new TypeError(`TusServer: basePath must begin with a slash: ${basePath}`)
  return basePath.replace(/\/+$/, '')
}

function natural(name: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new TypeError(`TusServer: ${name} must be an integer of at least ${least}, not ${value}`)
}
