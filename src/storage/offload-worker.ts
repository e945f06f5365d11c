// The worker behind offload(): hosts a storage and does what the other thread asks for.

import { workerData } from 'node:worker_threads'
import {
  type Hello,
  MEMBERS,
  type OffloadWorkerData,
  packError,
  type Request,
  type Response,
} from './offload-messages.js'
import type { Stage, Storage } from './storage.js'

/** A chunk that is read crosses in parts of at most so many bytes. */
const MAX_CHUNK_BYTES = 1024 * 1024

interface OpenStage {
  readonly stage: Stage
  /** Settles when the call before has: the next one waits for it. */
  tail: Promise<unknown>
}

interface Reading {
  /** How many chunks may be sent. */
  window: number
  stopped: boolean
  wake: (() => void) | undefined
}

type Module = Readonly<Record<string, unknown>>

// `module` is a name that CommonJS has taken.
const { module: moduleUrl, options, port, signal } = workerData as OffloadWorkerData
const stages = new Map<number, OpenStage>()
const readings = new Map<number, Reading>()

// A real import(), whatever this file was compiled to: in CommonJS the compiler would make a require() of it, which
// knows no URLs and not every ES module.
const importModule = new Function('url', 'return import(url)') as (url: string) => Promise<Module>

// Whoever started this worker is blocked until it hears of it, also if the module ends the worker.
process.once('exit', wakeStarter)
host()
  .then(
    (hello) => send({ kind: 'hello', hello }),
    (error) => send({ kind: 'failed', error: packError(error) }),
  )
  .finally(wakeStarter)

function wakeStarter(): void {
  Atomics.store(signal, 0, 1)
  Atomics.notify(signal, 0)
}

async function host(): Promise<Hello> {
  const createStorage = creatorIn(await importModule(moduleUrl))
  if (createStorage === undefined) throw new TypeError('it exports no function createStorage')
  const storage = (await createStorage(options)) as Storage
  const lacking = Object.entries(MEMBERS).find(
    ([member, kind]) => kind === 'method' && typeof storage?.[member as keyof Storage] !== 'function',
  )
  if (lacking !== undefined) throw new TypeError(`createStorage() returned no storage: it has no ${lacking[0]}()`)
  port.on('message', (request: Request) => handle(storage, request))
  return {
    capabilities: (Object.keys(MEMBERS) as (keyof Storage)[]).filter(
      (member) => MEMBERS[member] === 'capability' && typeof storage[member] === 'function',
    ),
    segments: storage.segments && { ...storage.segments },
    meetingPoint: storage.meetingPoint,
  }
}

/** An ES module exports functions; those of a CommonJS module may all be found below `default`. */
function creatorIn(exports: Module): ((options: unknown) => unknown) | undefined {
  const fallback = exports.default as (Module & ((options: unknown) => unknown)) | undefined
  return [exports.createStorage, fallback?.createStorage, fallback?.default, fallback].find(
    (candidate): candidate is (options: unknown) => unknown => typeof candidate === 'function',
  )
}

function handle(storage: Storage, request: Request): void {
  if (request.kind === 'call') {
    const method = storage[request.method] as (...args: readonly unknown[]) => unknown
    void answer(request.id, () => Reflect.apply(method, storage, request.args))
  } else if (request.kind === 'open') {
    void answer(request.id, async () => {
      stages.set(request.id, { stage: await storage.openStage(...request.args), tail: Promise.resolve() })
    })
  } else if (request.kind === 'stage') {
    void answer(request.id, () => callStage(request.stage, request.method, request.args))
  } else if (request.kind === 'read') {
    void read(storage, request.id, request.args, request.window)
  } else {
    const reading = readings.get(request.id)
    if (reading === undefined) return
    if (request.kind === 'more') reading.window++
    else reading.stopped = true
    reading.wake?.()
  }
}

async function answer(id: number, call: () => unknown): Promise<void> {
  try {
    send({ kind: 'result', id, value: await call() })
  } catch (error) {
    send({ kind: 'error', id, error: packError(error) })
  }
}

/** In order and one by one, so that `close` waits for a write that the other thread has given up. */
function callStage(handle: number, name: keyof Stage, args: readonly unknown[]): Promise<unknown> {
  const open = stages.get(handle)
  if (open === undefined) throw new Error('the stage is closed')
  if (name === 'close') stages.delete(handle)
  const method = open.stage[name] as (...args: readonly unknown[]) => unknown
  const call = open.tail.then(() => Reflect.apply(method, open.stage, args))
  open.tail = call.catch(() => {})
  return call
}

async function read(
  storage: Storage,
  id: number,
  args: readonly [id: string, start: number, end: number],
  window: number,
): Promise<void> {
  const reading: Reading = { window, stopped: false, wake: undefined }
  readings.set(id, reading)
  try {
    for await (const chunk of storage.read?.(...args) ?? []) {
      if (!(await sendChunk(id, reading, chunk))) break
    }
    send({ kind: 'end', id })
  } catch (error) {
    send({ kind: 'end', id, error: packError(error) })
  } finally {
    readings.delete(id)
  }
}

/** Returns whether more is wanted. */
async function sendChunk(id: number, reading: Reading, chunk: Uint8Array): Promise<boolean> {
  for (let start = 0; start < chunk.length; start += MAX_CHUNK_BYTES) {
    while (reading.window === 0 && !reading.stopped) {
      await new Promise<void>((resolve) => {
        reading.wake = resolve
      })
    }
    if (reading.stopped) return false
    reading.window--
    // A copy of exactly these bytes: what the storage yields may be a slice of something larger that it still uses.
    const part = new Uint8Array(Math.min(MAX_CHUNK_BYTES, chunk.length - start))
    part.set(chunk.subarray(start, start + part.length))
    send({ kind: 'chunk', id, chunk: part }, part.buffer)
  }
  return !reading.stopped
}

function send(response: Response, transferred?: ArrayBuffer): void {
  port.postMessage(response, transferred === undefined ? [] : [transferred])
}
