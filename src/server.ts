// TusServer: from a request to an answer.

import { type Checks, checkOptions, milliseconds } from './check-options.js'
import { type Core, createCore, TUS_VERSION } from './core.js'
import { addCors, type Cors, isPreflight } from './cors.js'
import { errorResponse } from './error-response.js'
import { TusError } from './errors.js'
import { terminate } from './handlers/delete.js'
import { asksForFile, describeFile } from './handlers/describe-file.js'
import { download } from './handlers/get.js'
import { readOffset } from './handlers/head.js'
import { missing } from './handlers/missing.js'
import { describeServer, methodsOfUploads } from './handlers/options.js'
import { appendChunk } from './handlers/patch.js'
import { createUpload } from './handlers/post.js'
import { type HookUpload, hookRequest, hookUpload } from './hooks.js'
import type { ErrorContext, TusServerOptions } from './options.js'
import type { PacedBody } from './pace.js'
import { quietly } from './quietly.js'
import {
  type HandleOptions,
  methodOf,
  type RequestBody,
  type RequestHeaders,
  type TusRequest,
  type TusResponse,
  toRequest,
} from './request.js'
import { resolveOptions } from './resolve-options.js'
import { isUploadId, type Route, routeOf } from './route.js'
import { type CleanUpResult, Sweeper } from './sweeper.js'
import { type InspectedUpload, inspect } from './uploads/inspect.js'
import { type ListOptions, listAllUploads, listUploads, type UploadPage } from './uploads/list.js'
import { type TerminateResult, terminateUpload } from './uploads/terminate.js'
import { within } from './within.js'

const DEFAULT_CLOSE_MS = 5_000
/** How long requests may take to end once their bodies are stopped, in milliseconds. */
const STOP_MS = 2_000

/** Options of {@link TusServer.close}. */
export interface CloseOptions {
  /**
   * How long running requests may take to end by themselves, in milliseconds. Then their bodies are stopped, and what
   * arrived is committed.
   * @default 5000
   */
  readonly timeoutMs?: number | undefined
}

const OPEN_TO_EVERYBODY =
  'resumable-upload: whoever reaches this server can fill its storage. Neither onIncomingRequest nor onUploadCreate refuses ' +
  'anything, and unfinished uploads never expire. Set expiration: { unfinishedAfterMs }, or one of those hooks; ' +
  'expiration: false says that it is meant, and silences this. See docs/security.md.'

/** The methods that the collection answers. */
const COLLECTION_METHODS: readonly string[] = ['OPTIONS', 'POST']

const CLOSE_CHECKS: Checks<CloseOptions> = { timeoutMs: milliseconds(0) }

/**
 * A tus 1.0 server that knows neither a framework nor a socket.
 *
 * Mount it with `tusMiddleware(tus)` (Express, Connect) or `tusListener(tus)` (`node:http`), or call
 * {@link TusServer.handleRequest} from routes of your own.
 * @typeParam Context - what hooks get as `request.context`: behind the middleware Express's `Request`
 */
export class TusServer<Context = unknown> {
  /** The path below which this server routes, without a slash at the end. */
  readonly basePath: string
  readonly #core: Core
  readonly #sweeper: Sweeper
  /** The methods that an upload answers. */
  readonly #methods: readonly string[]
  #running = 0
  #warnsIfOpen: boolean
  #closing: Promise<void> | undefined
  #idle: (() => void) | undefined

  /**
   * @param options - the storage, limits, times
   * @throws TypeError if an option is unknown, or can't be what it says
   */
  constructor(options: TusServerOptions<Context>) {
    // What adapters pass is theirs to know: the core hands it through.
    const resolved = resolveOptions(options as TusServerOptions)
    this.basePath = resolved.basePath
    this.#warnsIfOpen = resolved.isOpen && process.env.NODE_ENV === 'production'
    this.#core = createCore(resolved, {
      onError: (error) => this.reportError(error),
      warn: (message) => this.warn(message),
    })
    this.#methods = methodsOfUploads(resolved)
    this.#sweeper = new Sweeper(this.#core, (error) => this.reportError(error))
    // What a kill has left behind is tidied up later; no request depends on it.
    this.#sweeper.start()
    this.#core.publications.start()
    this.#core.completions.start()
  }

  /**
   * Answers one request.
   * @param method - the HTTP method; `X-HTTP-Method-Override` replaces it
   * @param path - the path below the server's own base path, a query string is ignored
   * @param headers - as `node:http` gives them
   * @param body - bytes, or chunks as they arrive; nothing is read before all that can refuse it was checked
   * @param options - what the adapter knows besides
   * @returns the answer; refusals and failures are answers too
   * @throws TypeError if `body` is neither bytes nor chunks of them; it rejects for nothing else
   */
  async handleRequest(
    method: string,
    path: string,
    headers: RequestHeaders,
    body?: RequestBody,
    options: HandleOptions = {},
  ): Promise<TusResponse> {
    const request = toRequest(method, path, headers, body, options)
    this.#running++
    let response: TusResponse
    try {
      response = await this.#dispatch(request)
    } catch (error) {
      response = errorResponse(this.#core, request, error, (cause, context) => this.reportError(cause, context))
    }
    if (--this.#running === 0) this.#idle?.()
    const answered: Record<string, string> = { 'Tus-Resumable': TUS_VERSION, ...response.headers }
    // Whatever a hook may say of other answers.
    if (request.method === 'HEAD' && !asksForFile(this.#core, request)) answered['Cache-Control'] = 'no-store'
    if (this.#core.cors) addCors(answered, await this.#corsHeaders(this.#core.cors, request))
    return { ...response, headers: answered }
  }

  /**
   * Whether this server answers such a request; an adapter passes others on. `GET` is among the others unless
   * `downloads` are on.
   */
  serves(method: string, path: string, headers: RequestHeaders = {}): boolean {
    const route = routeOf(path, this.basePath)
    return route !== undefined && this.#methodsOf(route).includes(methodOf(method, headers['x-http-method-override']))
  }

  /**
   * Reports an error that no client may see in full: to the logger and to `onError`. For adapters.
   * @param error - what went wrong
   * @param context - the request that it came from, if any
   */
  reportError(error: unknown, context?: ErrorContext): void {
    const { logger, onError } = this.#core.options
    quietly(
      () => logger.error(error),
      () => logger.error('resumable-upload: an error was thrown that the logger can not print'),
    )
    quietly(
      () => onError(error, context),
      (failure) => logger.error(failure),
    )
  }

  /**
   * Watches over an answer that is streamed, by the pace that bodies are held to: cut if its client takes less than
   * `minBytesPerSecond` on average over `stallTimeoutMs`. For adapters.
   * @returns ends the watch
   */
  watch(answer: PacedBody): () => void {
    const { pace } = this.#core.intake
    pace.join(answer)
    return () => pace.leave(answer)
  }

  /** Says something that whoever runs the server should know. For adapters. */
  warn(message: string): void {
    quietly(() => this.#core.options.logger.warn(message))
  }

  /**
   * Removes expired uploads now, and what kills have left behind: for a cron job, or before a backup.
   * @returns how much was done
   * @throws what the storage throws
   */
  cleanUp(): Promise<CleanUpResult> {
    return this.#sweeper.cleanUp()
  }

  /**
   * Reads an upload and disturbs nobody: whoever writes to it goes on, and it expires no later. For progress bars and
   * admin pages. `HEAD`, which a client sends to resume, interrupts.
   * @param id - the last segment of its URL
   * @returns `undefined` if there is none
   * @throws TusError `ERR_CLOSING` after {@link TusServer.close}; what the storage throws
   */
  inspect(id: string): Promise<InspectedUpload | undefined> {
    return this.#forApplication(() => inspect(this.#core, id))
  }

  /**
   * Reads one page of all uploads, and disturbs nobody. Uploads that are there all the time come once, in an order that
   * does not change. A page may have fewer than `limit`, even none: the last one is the one without a `cursor`.
   * @throws TypeError if an option is unknown, or can't be what it says
   * @throws Error if the storage can't list; TusError `ERR_CLOSING` after {@link TusServer.close}
   */
  list(options: ListOptions = {}): Promise<UploadPage> {
    return this.#forApplication(() => listUploads(this.#core, options))
  }

  /** All pages of {@link TusServer.list}, one after the other: `for await (const upload of tus.listAll())`. */
  listAll(options: Omit<ListOptions, 'cursor'> = {}): AsyncGenerator<InspectedUpload> {
    return listAllUploads((page) => this.list(page), options)
  }

  /**
   * Removes an upload as a client's `DELETE` does: whoever writes to it is asked to let go, bytes and record are gone
   * when this settles, and `onUploadTerminate` is told, without a request. `onBeforeTerminate` is not asked.
   * @param id - the last segment of its URL
   * @returns what came of it; only `removed` has removed it
   * @throws TusError `ERR_CLOSING` after {@link TusServer.close}; what the storage throws
   */
  terminate(id: string): Promise<TerminateResult> {
    return this.#forApplication(() => terminateUpload(this.#core, id))
  }

  /**
   * Ends: new requests are refused (503, HEAD 423), running ones are waited for and then stopped with what arrived
   * committed, timers end, the storage is closed. May be called twice.
   * @throws TypeError if an option is unknown, or can't be what it says
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const { timeoutMs = DEFAULT_CLOSE_MS } = checkOptions('close', options, CLOSE_CHECKS)
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  async #close(timeoutMs: number): Promise<void> {
    if (this.#running > 0) {
      const idle = new Promise<void>((resolve) => {
        this.#idle = resolve
      })
      await within(timeoutMs, idle)
      if (this.#running > 0) {
        this.#core.claims.stopAll()
        this.#core.completions.stopWaiting()
        // A hook that never returns must not keep the process from its end.
        await within(STOP_MS, idle)
      }
    }
    this.#core.intake.pace.close()
    // The same goes for what runs in the background. A step of the sweeper that is under way is short where nothing
    // hangs, so it is not cut, however little time there is.
    const { completions, publications } = this.#core
    await Promise.all([
      this.#sweeper.close(Math.max(timeoutMs, STOP_MS)),
      completions.close(timeoutMs),
      publications.close(timeoutMs),
    ])
    await this.#core.claims.close()
    await this.#core.options.storage.close()
  }

  /** Does something for the application, and has {@link TusServer.close} wait for it. */
  async #forApplication<T>(action: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw new TusError('ERR_CLOSING')
    this.#running++
    try {
      return await action()
    } finally {
      if (--this.#running === 0) this.#idle?.()
    }
  }

  async #dispatch(request: TusRequest): Promise<TusResponse> {
    const { method, path, headers } = request
    const route = routeOf(path, this.basePath)
    if (route === undefined) throw new TusError('ERR_NOT_FOUND')
    const methods = this.#methodsOf(route)
    if (!methods.includes(method)) {
      throw new TusError('ERR_METHOD_NOT_ALLOWED', { headers: { Allow: methods.join(', ') } })
    }
    if (method === 'OPTIONS') return this.#describe(request, route)
    const file = asksForFile(this.#core, request)
    if (headers['tus-resumable'] !== TUS_VERSION && !file) {
      throw new TusError('ERR_UNSUPPORTED_VERSION', { headers: { 'Tus-Version': TUS_VERSION } })
    }
    if (this.#closing !== undefined) throw new TusError('ERR_CLOSING', { headers: { 'Retry-After': '1' } })
    if (route.kind === 'upload' && !isUploadId(route.id)) throw new TusError('ERR_NOT_FOUND')
    const createdAtMs = await this.#authorize(request, route)
    if (route.kind === 'collection') {
      this.#warnIfOpen()
      return createUpload(this.#core, request)
    }
    if (method === 'HEAD' && file) return describeFile(this.#core, request, route.id, createdAtMs)
    if (method === 'HEAD') return readOffset(this.#core, request, route.id, createdAtMs)
    if (method === 'GET') return download(this.#core, request, route.id, createdAtMs)
    if (method === 'PATCH') return appendChunk(this.#core, request, route.id, createdAtMs)
    return terminate(this.#core, request, route.id, createdAtMs)
  }

  /** Answers OPTIONS. Browsers send preflights without anything that could identify a user. */
  async #describe(request: TusRequest, route: Route): Promise<TusResponse> {
    const { hooks } = this.#core.options
    if (hooks.onIncomingRequest !== undefined && !isPreflight(request)) {
      if (this.#closing !== undefined) throw new TusError('ERR_CLOSING', { headers: { 'Retry-After': '1' } })
      await hooks.onIncomingRequest({ request: hookRequest(request), upload: await this.#uploadAt(route) })
    }
    return describeServer(this.#core)
  }

  async #uploadAt(route: Route): Promise<HookUpload | undefined> {
    const upload =
      route.kind === 'upload' && isUploadId(route.id) ? await this.#core.options.storage.get(route.id) : undefined
    return upload && hookUpload(this.#core, upload)
  }

  /** Says once, at the first creation in production, that nothing keeps strangers from filling the disk. */
  #warnIfOpen(): void {
    if (!this.#warnsIfOpen) return
    this.#warnsIfOpen = false
    this.warn(OPEN_TO_EVERYBODY)
  }

  /**
   * Asks the application.
   * @returns when the upload was created that the request may reach: another one may have its id by the time that it
   * does. `undefined` if there is no hook, so that any may be reached
   * @throws TusError what the hook throws, or `ERR_NOT_FOUND`: what the hook has not seen is not there for the request
   */
  async #authorize(request: TusRequest, route: Route): Promise<number | undefined> {
    const { hooks, storage } = this.#core.options
    if (hooks.onIncomingRequest === undefined) return undefined
    const upload = route.kind === 'upload' ? await storage.get(route.id) : undefined
    await hooks.onIncomingRequest({ request: hookRequest(request), upload: upload && hookUpload(this.#core, upload) })
    if (route.kind === 'upload' && upload === undefined) throw await missing(this.#core, route.id)
    return upload?.createdAtMs
  }

  async #corsHeaders(cors: Cors, request: TusRequest): Promise<Record<string, string>> {
    try {
      return await cors(request)
    } catch (error) {
      // Who can not be asked has not allowed it. What the request has done is done.
      this.reportError(error, { method: request.method, path: request.path, context: request.options.context })
      return { Vary: 'Origin' }
    }
  }

  #methodsOf(route: Route): readonly string[] {
    return route.kind === 'collection' ? COLLECTION_METHODS : this.#methods
  }
}
