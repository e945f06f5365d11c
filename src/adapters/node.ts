// The listener for a bare node:http server.

import type { RequestListener } from 'node:http'
import { type Checks, checkOptions } from '../check-options.js'
import type { TusServer } from '../server.js'
import { isSize, type TusMiddlewareOptions, tusMiddleware } from './express.js'
import { checkTusServer } from './prepare-server.js'

/** Options of {@link tusListener}. */
export type TusListenerOptions = Omit<TusMiddlewareOptions, 'forwardErrors'>

const CHECKS: Checks<TusListenerOptions> = { bufferLimit: isSize }

/**
 * Makes a listener of an upload server, for `createServer(tusListener(tus))`. It serves the server's `basePath`, and
 * answers everything else by 404.
 * @param tus - the upload server
 * @param options - limits of this adapter
 * @throws TypeError if `tus` is no TusServer, or an option is unknown or can't be what it says
 */
export function tusListener(tus: TusServer, options: TusListenerOptions = {}): RequestListener {
  checkTusServer('tusListener', tus)
  const middleware = tusMiddleware(tus, checkOptions('tusListener', options, CHECKS))
  return (req, res) =>
    middleware(req, res, () => {
      res.statusCode = 404
      res.end()
    })
}
