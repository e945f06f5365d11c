// The listener for a bare node:http server.

import type { RequestListener } from 'node:http'
import type { TusServer } from '../server.js'
import { type TusMiddlewareOptions, tusMiddleware } from './express.js'

/** Options of {@link tusListener}. */
export type TusListenerOptions = Omit<TusMiddlewareOptions, 'forwardErrors'>

/**
 * Makes a listener of an upload server, for `createServer(tusListener(tus))`. It serves the server's `basePath`, and
 * answers everything else by 404.
 * @param tus - the upload server
 * @param options - limits of this adapter
 */
export function tusListener(tus: TusServer, options: TusListenerOptions = {}): RequestListener {
  const middleware = tusMiddleware(tus, options)
  return (req, res) =>
    middleware(req, res, () => {
      res.statusCode = 404
      res.end()
    })
}
