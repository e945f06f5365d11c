// What crosses between a storage in a worker and the thread that uses it.

import { adoptTusError, isTusError, type TusError } from '../errors.js'
import type { Segments, Stage, Storage } from './storage.js'

/** Every member of a storage: what it is, and that none is forgotten. */
export const MEMBERS = {
  create: 'method',
  get: 'method',
  openStage: 'method',
  remove: 'method',
  close: 'method',
  claim: 'capability',
  renew: 'capability',
  release: 'capability',
  read: 'capability',
  tombstone: 'capability',
  expired: 'capability',
  lease: 'capability',
  vacuum: 'capability',
  assemble: 'capability',
  flatten: 'capability',
  waitingFinals: 'capability',
  readyFinals: 'capability',
  dueCompletions: 'capability',
  takeCompletion: 'capability',
  renewCompletion: 'capability',
  settleCompletion: 'capability',
  unpublished: 'capability',
  publish: 'capability',
  list: 'capability',
  freeBytes: 'capability',
  pathOf: 'capability',
  segments: 'value',
  meetingPoint: 'value',
} as const satisfies Record<keyof Storage, 'method' | 'capability' | 'value'>

/** The first word of a worker: what its storage can do. */
export interface Hello {
  readonly capabilities: readonly (keyof Storage)[]
  readonly segments: Segments | undefined
  readonly meetingPoint: string | undefined
}

/** What a worker is started with. */
export interface OffloadWorkerData {
  /** The URL of the module that makes the storage. */
  readonly module: string
  /** What its function gets. */
  readonly options: unknown
  readonly port: MessagePortLike
  /** Set to 1 and notified when the first message has been sent, or none will come. */
  readonly signal: Int32Array
}

type MessagePortLike = import('node:worker_threads').MessagePort

/** A method of a storage that is called with values and answers with one. */
export type PlainMethod = Exclude<keyof Storage, 'openStage' | 'read' | 'segments' | 'meetingPoint'>

/** From the thread that uses the storage. Bytes have an ArrayBuffer of their own, which is transferred. */
export type Request =
  | { readonly kind: 'call'; readonly id: number; readonly method: PlainMethod; readonly args: readonly unknown[] }
  | { readonly kind: 'open'; readonly id: number; readonly args: readonly [id: string, fence: number, from: number] }
  | {
      readonly kind: 'stage'
      readonly id: number
      /** The id of the request that opened the stage. */
      readonly stage: number
      readonly method: keyof Stage
      readonly args: readonly unknown[]
    }
  /** Begins to read: the worker may send so many chunks until it is asked for more. */
  | {
      readonly kind: 'read'
      readonly id: number
      readonly args: readonly [id: string, start: number, end: number]
      readonly window: number
    }
  /** One more chunk of a reading may be sent. */
  | { readonly kind: 'more'; readonly id: number }
  /** No more of a reading is wanted. Its end is still told. */
  | { readonly kind: 'stop'; readonly id: number }

/** From the worker. */
export type Response =
  | { readonly kind: 'hello'; readonly hello: Hello }
  | { readonly kind: 'failed'; readonly error: WireError }
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'error'; readonly id: number; readonly error: WireError }
  | { readonly kind: 'chunk'; readonly id: number; readonly chunk: Uint8Array }
  | { readonly kind: 'end'; readonly id: number; readonly error?: WireError }

/** An error on its way. Structured cloning would keep the message and drop the codes. */
export interface WireError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  /** `code`, `errcode` and the like. */
  readonly details: Readonly<Record<string, string | number>>
  /** What a {@link TusError} answers, of whichever copy of the package the worker's module has. */
  readonly answer: Pick<TusError, 'code' | 'status' | 'headers'> | undefined
  readonly cause: WireError | undefined
}

const DETAILS = ['code', 'errcode', 'errno', 'syscall', 'status'] as const
const MAX_CAUSES = 5
const KINDS: Readonly<Record<string, ErrorConstructor>> = { TypeError, RangeError, SyntaxError, ReferenceError }

/** Packs whatever was thrown. Never throws itself, or the caller would wait for an answer for ever. */
export function packError(thrown: unknown, depth = 0): WireError {
  try {
    return pack(thrown, depth)
  } catch {
    // A getter of it throws, or it has no text.
    return { ...EMPTY, message: `an unreadable ${typeof thrown} was thrown` }
  }
}

const EMPTY = { name: 'Error', stack: undefined, details: {}, answer: undefined, cause: undefined } as const

function pack(thrown: unknown, depth: number): WireError {
  if (typeof thrown !== 'object' || thrown === null || typeof (thrown as Error).message !== 'string') {
    return { ...EMPTY, message: String(thrown) }
  }
  const { name, message, stack, cause } = thrown as Error
  const details: Record<string, string | number> = {}
  for (const key of DETAILS) {
    const value = (thrown as Readonly<Record<string, unknown>>)[key]
    if (typeof value === 'string' || typeof value === 'number') details[key] = value
  }
  return {
    name: typeof name === 'string' ? name : 'Error',
    message,
    stack: typeof stack === 'string' ? stack : undefined,
    details,
    answer: isTusError(thrown)
      ? { code: thrown.code, status: thrown.status, headers: { ...thrown.headers } }
      : undefined,
    cause: cause === undefined || depth === MAX_CAUSES ? undefined : packError(cause, depth + 1),
  }
}

/** Makes the error again: a TusError where it was one. */
export function unpackError({ name, message, stack, details, answer, cause }: WireError): Error {
  const options = cause === undefined ? {} : { cause: unpackError(cause) }
  if (answer !== undefined) return adoptTusError({ ...answer, message, cause: options.cause })
  const error: Error = new (KINDS[name] ?? Error)(message, options)
  if (error.name !== name) Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true })
  // Where it happened, not where it arrived.
  if (stack !== undefined) error.stack = stack
  return Object.assign(error, details)
}
