// Hosts a storage in a worker thread, so that it can't block the event loop.

import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Checks, callback, checkOptions, milliseconds, show } from '../check-options.js'
import { Host } from './offload-host.js'
import type { Link } from './offload-link.js'
import type { PlainMethod } from './offload-messages.js'
import type { Stage, Storage } from './storage.js'

const START_TIMEOUT_MS = 10_000

/** How {@link offload} starts its worker. */
export interface OffloadOptions {
  /**
   * How long the module may take to load and to make its storage, in milliseconds.
   * @default 10000
   */
  readonly startTimeoutMs?: number | undefined
  /**
   * Told of each worker that has died, and of each that could not be started again. `() => process.exit(1)` leaves the
   * rest to what supervises the process.
   * @default a warning of the process
   */
  readonly onWorkerExit?: ((error: Error) => void) | undefined
}

const CHECKS: Checks<OffloadOptions> = { startTimeoutMs: milliseconds(1), onWorkerExit: callback }

/**
 * Hosts any storage in a worker thread, with no rewrite: whatever it does synchronously, the event loop stays free.
 * The thread that calls waits only here, until the storage is made, so that whatever keeps it from starting is thrown
 * at once.
 *
 * A worker that dies is followed by another one. Calls under way fail with the code `EUNAVAILABLE`, which clients see
 * as 503; later ones wait for it. One that dies again and again is started after ever longer pauses, up to half a
 * minute.
 *
 * The module exports `createStorage(options)`, or such a function as its default; it may return a promise.
 * @param module - its URL (`new URL('./my-storage.js', import.meta.url)`), or its absolute path
 * (`require.resolve('./my-storage.js')`)
 * @param options - what `createStorage` gets; it must be cloneable (no functions)
 * @param offloadOptions - how the worker is started
 * @returns a storage with the same capabilities; errors keep their `code`, `errcode`, `message`, `name` and `status`
 * @throws TypeError if `module` or `options` can't be used
 * @throws Error that names the module, if it can't be loaded or makes no storage; its `cause` says why
 */
export function offload(module: URL | string, options?: unknown, offloadOptions: OffloadOptions = {}): Storage {
  const given = checkOptions('offload', offloadOptions, CHECKS)
  const { startTimeoutMs = START_TIMEOUT_MS, onWorkerExit: onExit = warn } = given
  const host = new Host({ module: urlOf(module), options, startTimeoutMs, onExit })
  const { capabilities, segments, meetingPoint } = host.hello
  const call = <T>(method: PlainMethod, ...args: readonly unknown[]): Promise<T> =>
    host.call((link) => link.request({ kind: 'call', method, args }).answer as Promise<T>)
  const can = (method: keyof Storage): boolean => capabilities.includes(method)
  return {
    create: (upload) => call('create', upload),
    get: (id) => call('get', id),
    openStage: (id, fence, from) => host.call((link) => openStage(link, id, fence, from)),
    remove: (id, fence, removal) => call('remove', id, fence, removal),
    close: () => host.close(),
    ...(can('claim') && { claim: (id, request) => call('claim', id, request) }),
    ...(can('renew') && { renew: (id, fence, ttlMs) => call('renew', id, fence, ttlMs) }),
    ...(can('release') && { release: (id, fence, activeAtMs) => call('release', id, fence, activeAtMs) }),
    ...(can('read') && { read: (id, start, end) => read(host, [id, start, end]) }),
    ...(can('tombstone') && { tombstone: (id) => call('tombstone', id) }),
    ...(can('expired') && { expired: (request) => call('expired', request) }),
    ...(can('lease') && { lease: (name, request) => call('lease', name, request) }),
    ...(can('vacuum') && { vacuum: (limit) => call('vacuum', limit) }),
    ...(can('assemble') && { assemble: (id, assembly) => call('assemble', id, assembly) }),
    ...(can('flatten') && { flatten: (id, attempt, durable) => call('flatten', id, attempt, durable) }),
    ...(can('waitingFinals') && { waitingFinals: (partial) => call('waitingFinals', partial) }),
    ...(can('readyFinals') && { readyFinals: (limit, after) => call('readyFinals', limit, after) }),
    ...(can('dueCompletions') && { dueCompletions: (request) => call('dueCompletions', request) }),
    ...(can('takeCompletion') && { takeCompletion: (id, request) => call('takeCompletion', id, request) }),
    ...(can('renewCompletion') && {
      renewCompletion: (id, attempt, ttlMs) => call('renewCompletion', id, attempt, ttlMs),
    }),
    ...(can('settleCompletion') && {
      settleCompletion: (id, attempt, outcome) => call('settleCompletion', id, attempt, outcome),
    }),
    ...(can('unpublished') && { unpublished: (limit) => call('unpublished', limit) }),
    ...(can('publish') && { publish: (id, request) => call('publish', id, request) }),
    ...(can('list') && { list: (request) => call('list', request) }),
    ...(can('freeBytes') && { freeBytes: () => call('freeBytes') }),
    ...(can('pathOf') && { pathOf: (upload) => call('pathOf', { name: upload.name }) }),
    ...(segments && { segments }),
    ...(meetingPoint !== undefined && { meetingPoint }),
  }
}

function warn({ message, cause }: Error): void {
  const reason = cause instanceof Error ? `: ${cause.message}` : ''
  process.emitWarning(`${message}${reason}. It is started again when it is needed.`, {
    code: 'RESUMABLE_UPLOAD_OFFLOAD_WORKER_DIED',
  })
}

async function* read(host: Host, args: readonly [id: string, start: number, end: number]): AsyncGenerator<Uint8Array> {
  yield* (await host.link()).read(args)
}

async function openStage(link: Link, upload: string, fence: number, from: number): Promise<Stage> {
  const { id: stage, answer } = link.request({ kind: 'open', args: [upload, fence, from] })
  await answer
  const call = <T>(method: keyof Stage, args: readonly unknown[], transferred?: ArrayBuffer): Promise<T> =>
    link.request({ kind: 'stage', stage, method, args }, transferred).answer as Promise<T>
  let closed: Promise<void> | undefined
  return {
    write: (chunks) => {
      const bytes = joined(chunks)
      return call('write', [[bytes]], bytes.buffer)
    },
    commit: (commit) => call('commit', [commit]),
    discard: () => call('discard', []),
    close: () => {
      closed ??= call('close', [])
      return closed
    },
  }
}

/** Copies the chunks into one buffer of their own. They may be slices of a pool, which must not be transferred. */
function joined(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 0
  for (const chunk of chunks) size += chunk.length
  const bytes = new Uint8Array(size)
  let position = 0
  for (const chunk of chunks) {
    bytes.set(chunk, position)
    position += chunk.length
  }
  return bytes
}

function urlOf(module: URL | string): string {
  // No instanceof: in another realm, such as that of a test runner, URL is another class.
  const url = typeof module === 'object' ? module?.href : module
  if (typeof url === 'string' && (typeof module === 'object' || /^(file|data):/.test(url))) return url
  if (typeof url === 'string' && isAbsolute(url)) return pathToFileURL(url).href
  throw new TypeError(
    `offload: ${show(module)} is neither a URL nor an absolute path; ` +
      "pass new URL('./my-storage.js', import.meta.url), or in CommonJS require.resolve('./my-storage.js')",
  )
}
