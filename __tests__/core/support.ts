// What the tests of the core have in common.

import type { Commit, CommitResult, HandleOptions, RequestHeaders, Stage, TusResponse } from '../../src/index.js'
import { MemoryStorage, type RequestBody, type Storage, TusServer, type TusServerOptions } from '../../src/index.js'

export const MIB = 1024 * 1024
export const VERSION = { 'Tus-Resumable': '1.0.0' }
export const CHUNK = { ...VERSION, 'Content-Type': 'application/offset+octet-stream' }

/** A logger that says nothing and remembers everything. */
export function quietLogger() {
  const warnings: unknown[] = []
  const errors: unknown[] = []
  return {
    warnings,
    errors,
    warn: (message: unknown) => void warnings.push(message),
    error: (error: unknown) => void errors.push(error),
  }
}

const servers: TusServer[] = []

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ timeoutMs: 0 })))
})

/** A server that is closed after the test, with its storage and its logger. */
export function startServer(options: Partial<TusServerOptions> = {}) {
  const storage: Storage = options.storage ?? new MemoryStorage()
  const logger = quietLogger()
  const tus = new TusServer({ logger, ...options, storage })
  servers.push(tus)
  const handle = (
    method: string,
    path: string,
    headers: RequestHeaders = {},
    body?: RequestBody,
    rest?: HandleOptions,
  ): Promise<TusResponse> => tus.handleRequest(method, path, { ...VERSION, ...headers }, body, rest)
  return {
    tus,
    storage,
    logger,
    handle,
    create: async (headers: RequestHeaders): Promise<string> => {
      const response = await handle('POST', '/files', headers)
      expect(response.status).toBe(201)
      return String(response.headers.Location)
    },
    patch: (path: string, offset: number, body?: RequestBody, headers: RequestHeaders = {}, rest?: HandleOptions) =>
      handle('PATCH', path, { ...CHUNK, 'Upload-Offset': String(offset), ...headers }, body, rest),
    offsetOf: async (path: string): Promise<number> => Number((await handle('HEAD', path)).headers['Upload-Offset']),
    stored: async (path: string): Promise<Buffer> => {
      const id = idOf(path)
      const { offset } = (await storage.get(id)) ?? { offset: 0 }
      const chunks: Uint8Array[] = []
      for await (const chunk of storage.read?.(id, 0, offset) ?? []) chunks.push(chunk)
      return Buffer.concat(chunks)
    },
  }
}

/** The id in the path of an upload. */
export function idOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** A promise that is settled from outside. */
export interface Deferred<T> {
  readonly promise: Promise<T>
  resolve(value: T): void
  reject(error: unknown): void
}

/** Makes a {@link Deferred}. */
export function deferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

/** A storage that notes the size of each write, in bytes. */
export function storageWithWrites(): { readonly storage: Storage; readonly writes: number[] } {
  const writes: number[] = []
  const storage = hookedStorage({
    write: (chunks, write) => {
      writes.push(sizeOf(chunks))
      return write()
    },
  })
  return { storage, writes }
}

/** Lets everything run that can run without new input. */
export async function idle(rounds = 50): Promise<void> {
  for (let round = 0; round < rounds; round++) await new Promise((resolve) => setImmediate(resolve))
}

/** A body that the test feeds by hand, and that tells what was done to it. */
export class Source implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  /** How often a chunk was asked for. */
  pulls = 0
  /** Whether the reader said that it wants no more. */
  returned = false
  readonly #ready: Array<IteratorResult<Uint8Array> | { readonly error: unknown }> = []
  readonly #pending: Array<Deferred<IteratorResult<Uint8Array>>> = []
  #pulled = deferred()

  push(...chunks: Array<string | Uint8Array>): this {
    for (const chunk of chunks)
      this.#offer({ done: false, value: typeof chunk === 'string' ? Buffer.from(chunk) : chunk })
    return this
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  end(): this {
    this.#offer({ done: true, value: undefined })
    return this
  }

  fail(error: unknown = new Error('the connection broke')): this {
    this.#offer({ error })
    return this
  }

  /** Settles when a chunk is asked for that is not there. */
  async hungry(): Promise<void> {
    while (this.#pending.length === 0) await this.#pulled.promise
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    this.pulls++
    const result = deferred<IteratorResult<Uint8Array>>()
    this.#pending.push(result)
    this.#match()
    this.#pulled.resolve()
    this.#pulled = deferred()
    return result.promise
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.returned = true
    return Promise.resolve({ done: true, value: undefined })
  }

  #offer(result: IteratorResult<Uint8Array> | { readonly error: unknown }): void {
    this.#ready.push(result)
    this.#match()
  }

  #match(): void {
    while (this.#ready.length > 0 && this.#pending.length > 0) {
      const pending = this.#pending.shift()
      const result = this.#ready.shift()
      if (result !== undefined && 'error' in result) pending?.reject(result.error)
      else if (result !== undefined) pending?.resolve(result)
    }
  }
}

/** What an adapter makes of a request's body: it can be told to end, and yields then what it has gathered. */
export class AdapterSource extends Source {
  readonly gathers: number
  readonly gathered: string[] = []
  received = 0
  ready = true
  whole = false
  stops = 0

  constructor(gathers = 0) {
    super()
    this.gathers = gathers
  }

  override push(...chunks: Array<string | Uint8Array>): this {
    for (const chunk of chunks) this.received += chunk.length
    return super.push(...chunks)
  }

  /** Gathers bytes, as an adapter does until the body is whole. */
  gather(chunk: string): void {
    this.received += chunk.length
    this.gathered.push(chunk)
  }

  streamInstead(): void {}

  stop(): void {
    this.stops++
    super.push(...this.gathered).end()
  }
}

/** What a test puts between a stage and its caller. */
export interface StageHooks {
  write?(chunks: readonly Uint8Array[], write: () => Promise<void>): Promise<void>
  commit?(commit: Commit, doCommit: () => Promise<CommitResult>): Promise<CommitResult>
  discard?(): void
  close?(): void
}

/** A storage whose stages go through hooks. */
export function hookedStorage(hooks: StageHooks, storage: Storage = new MemoryStorage()): Storage {
  const openStage = async (id: string, fence: number, from: number): Promise<Stage> => {
    const stage = await storage.openStage(id, fence, from)
    return {
      async write(chunks) {
        const write = async (): Promise<void> => stage.write(chunks)
        return hooks.write ? hooks.write(chunks, write) : write()
      },
      async commit(commit) {
        const doCommit = async (): Promise<CommitResult> => stage.commit(commit)
        return hooks.commit ? hooks.commit(commit, doCommit) : doCommit()
      },
      async discard() {
        hooks.discard?.()
        await stage.discard()
      },
      async close() {
        hooks.close?.()
        await stage.close()
      },
    }
  }
  return overriding(storage, { openStage })
}

/** A storage of which some methods are others. */
export function overriding(storage: Storage, methods: Partial<Storage>): Storage {
  return new Proxy(storage, {
    get(target, name) {
      const value = name in methods ? Reflect.get(methods, name) : Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** How many bytes chunks have together. */
export function sizeOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0)
}

/** An error as a file system throws it. */
export function errorWithCode(code: string, message = code): Error {
  return Object.assign(new Error(message), { code })
}

const PERIOD = Buffer.from(Array.from({ length: 65_521 }, (_, index) => (index * 31 + (index >> 8)) & 0xff))

/** Bytes of which no piece can be mistaken for another nearby. */
export function pattern(size: number): Buffer {
  return Buffer.alloc(size, PERIOD)
}
