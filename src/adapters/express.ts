// The middleware for Express and Connect: translates, calls the core, writes the answer. It knows nothing of tus.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { boolean, type Check, type Checks, checkOptions } from '../check-options.js'
import { type HandleOptions, methodOf, type RequestHeaders } from '../request.js'
import type { TusServer } from '../server.js'
import { closeAfterAnswer } from './early-answer.js'
import { serveInTurn } from './pipelining.js'
import { checkTusServer, warnIfUnprepared } from './prepare-server.js'
import { bodyOf, headersOf, isStillComing } from './request-body.js'
import { originOf } from './request-origin.js'
import { type AdapterRequest, misroutedBy, type Target, targetBelowWildcard, targetOf } from './request-target.js'
import { markAnswered, markReceiving } from './request-timeout.js'
import { sendResponse } from './send-response.js'

const DEFAULT_BUFFER_LIMIT = 16 * 1024

/** Options of {@link tusMiddleware}. */
export interface TusMiddlewareOptions {
  /**
   * A body whose `Content-Length` is at most so many bytes is gathered into one Buffer by `raw-body`; a larger one, or
   * one of unstated length, is streamed. `0` streams everything, `Infinity` gathers everything that states its length.
   * @default 16384 (16 KiB)
   */
  readonly bufferLimit?: number | undefined
  /**
   * Whether unexpected errors go to `next(error)` instead of being answered by a bare 500. Express's own error handler
   * sends stack and path to the client unless `NODE_ENV` is `production`.
   * @default false
   */
  readonly forwardErrors?: boolean | undefined
}

/** The check of `bufferLimit`. */
export const isSize: Check = (value) =>
  typeof value === 'number' && value >= 0 ? undefined : 'a number of bytes, or Infinity'

const CHECKS: Checks<TusMiddlewareOptions> = { bufferLimit: isSize, forwardErrors: boolean }

/** A middleware of Express or Connect. */
export type Middleware = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void

/**
 * Makes a middleware of an upload server, for `app.use('/files', tusMiddleware(tus))`.
 *
 * It may be mounted under any path, in nested routers too; the mount takes the place of the server's `basePath`. What
 * the upload server does not serve goes to the next middleware.
 * @param tus - the upload server
 * @param options - limits of this adapter
 * @throws TypeError if `tus` is no TusServer, or an option is unknown or can't be what it says
 */
export function tusMiddleware(tus: TusServer, options: TusMiddlewareOptions = {}): Middleware {
  checkTusServer('tusMiddleware', tus)
  const { bufferLimit = DEFAULT_BUFFER_LIMIT, forwardErrors = false } = checkOptions('tusMiddleware', options, CHECKS)
  return (incoming, res, next) => {
    const req: AdapterRequest = incoming
    const method = req.method ?? 'GET'
    const target = servedTarget(tus, method, req)
    if (target === undefined) return next()
    const { path, baseUrl } = target
    const serve = (): void => {
      const body = bodyOf(req, bufferLimit)
      if (body !== undefined) {
        markReceiving(req)
        warnIfUnprepared(tus, req)
      }
      tus
        .handleRequest(method, path, headersOf(req, body), body, new RequestOptions(req, res, baseUrl))
        .then((response) => {
          markAnswered(req)
          if (!forwardErrors || response.error === undefined) {
            return sendResponse(req, res, response, (answer) => tus.watch(answer))
          }
          if (isStillComing(req)) closeAfterAnswer(req, res)
          next(response.error)
          return undefined
        })
        .catch((error: unknown) => {
          tus.reportError(error, { method, path, context: req })
          // Half an answer can't be taken back; a cut connection can't be mistaken for a whole one.
          req.socket.destroy()
        })
    }
    serveInTurn(req, res, serve)
  }
}

const warnedOf = new WeakSet<TusServer>()

/** Where a request goes, or `undefined` if it is not for the upload server. Says once if the mount is to blame. */
function servedTarget(tus: TusServer, method: string, req: AdapterRequest): Target | undefined {
  const target = targetOf(req, tus.basePath)
  if (tus.serves(method, target.path, req.headers)) return target
  const below = targetBelowWildcard(req, tus.basePath)
  if (below !== undefined && tus.serves(method, below.path, req.headers)) return below
  if (warnedOf.has(tus)) return undefined
  const reason = misroutedBy(req, methodOf(method, req.headers['x-http-method-override']))
  if (reason !== undefined) {
    warnedOf.add(tus)
    tus.warn(`tusMiddleware: ${reason}`)
  }
  return undefined
}

/** What the core may ask for besides, made only when it does. */
class RequestOptions implements HandleOptions {
  readonly context: unknown
  // The one header of which Node makes a list, Set-Cookie, means nothing in a request.
  readonly plainHeaders = true
  readonly baseUrl: string | undefined
  readonly #req: AdapterRequest
  readonly #res: ServerResponse
  #controller: AbortController | undefined

  constructor(req: AdapterRequest, res: ServerResponse, baseUrl: string | undefined) {
    this.context = req
    this.baseUrl = baseUrl
    this.#req = req
    this.#res = res
  }

  get origin(): string | undefined {
    return originOf(this.#req)
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController()
      this.#controller = controller
      if (this.#req.socket.destroyed) controller.abort()
      else this.#res.once('close', () => controller.abort())
    }
    return this.#controller.signal
  }

  get trailers(): () => RequestHeaders {
    return () => this.#req.trailers
  }
}
