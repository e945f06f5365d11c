// Where a request goes: its path as the core routes it, and the mount that the client used.

import type { IncomingMessage } from 'node:http'

/** A request as Express, Connect or `node:http` give it. */
export interface AdapterRequest extends IncomingMessage {
  /** Express: the mount, as the client wrote it. */
  readonly baseUrl?: string
  /** Express: the path below the mount. */
  readonly path?: string
  /** Express: what the parameters of the pattern matched. */
  readonly params?: Readonly<Record<string, unknown>>
  /** Express: the route whose handler this is; `undefined` below `app.use`. */
  readonly route?: { readonly path?: unknown }
  /** Express and Connect: the URL before mounts were cut off. */
  readonly originalUrl?: string
  /** HTTP/2: the stream that Node's compatibility API makes a request of. */
  readonly stream?: { readonly endAfterHeaders?: boolean }
  /** What a body parser left. */
  readonly body?: unknown
}

/** Where a request goes. */
export interface Target {
  /** The path for the core, below its base path. */
  readonly path: string
  /** The mount, for `Location`; `undefined` where there is none, and the core's base path counts. */
  readonly baseUrl: string | undefined
}

/**
 * Finds out where a request goes. A mount takes the place of the core's base path; without one, the base path is part
 * of the URL.
 */
export function targetOf(req: AdapterRequest, basePath: string): Target {
  const below = pathname(req.path ?? req.url ?? '/')
  const mount = mountOf(req, below)
  if (mount === '') return { path: below, baseUrl: undefined }
  return { path: `${basePath}${below}`, baseUrl: mount }
}

/**
 * Where a request goes that reached the mount itself, if a wildcard in the mount's pattern (`/files{/*rest}`) has taken
 * the id: below everything but the last segment. `undefined` if no wildcard has.
 */
export function targetBelowWildcard(req: AdapterRequest, basePath: string): Target | undefined {
  const { baseUrl = '', params = {} } = req
  if (pathname(req.path ?? '/') !== '/') return undefined
  const slash = baseUrl.lastIndexOf('/')
  const id = baseUrl.slice(slash + 1)
  if (!Object.entries(params).some(([name, value]) => id !== '' && lastOfWildcard(name, value) === id)) return undefined
  return { path: `${basePath}/${id}`, baseUrl: baseUrl.slice(0, slash) }
}

/**
 * Why a request of a tus client is not served, if the reason is how the middleware was mounted.
 * @param method - the method that counts
 */
export function misroutedBy(req: AdapterRequest, method: string): string | undefined {
  if (req.headers['tus-resumable'] === undefined) return undefined
  const below = pathname(req.path ?? req.url ?? '/')
  // Clients send these to uploads only.
  if (req.baseUrl && below === '/' && ['HEAD', 'PATCH', 'DELETE'].includes(method)) {
    return (
      `${method} ${req.baseUrl} has no id below the mount. If its last segment is one, the pattern of the mount has ` +
      "taken it: mount by a plain path, app.use('/files', tusMiddleware(tus))"
    )
  }
  // Express leaves a route behind on the request that was for all URLs, and has called next().
  if (req.route === undefined || !/^\/[^*:({]/.test(String(req.route.path))) return undefined
  return (
    `the route ${String(req.route.path)} hands over ${method} ${below}, which is neither the server's basePath nor an ` +
    "upload below it. Set basePath to the path of the route, or mount it: app.use('/files', tusMiddleware(tus))"
  )
}

/**
 * The last segment that a wildcard has taken. Its parameter is a list in Express 5; in Express 4, and for groups of
 * regular expressions, it has a number for a name, or begins with a slash, which no named parameter does.
 */
function lastOfWildcard(name: string, value: unknown): unknown {
  if (Array.isArray(value)) return value.findLast((segment) => segment !== '')
  if (typeof value !== 'string' || !(/^\d+$/.test(name) || value.startsWith('/'))) return undefined
  return value.split('/').findLast((segment) => segment !== '')
}

function mountOf(req: AdapterRequest, below: string): string {
  if (req.baseUrl !== undefined) return req.baseUrl
  if (req.originalUrl === undefined) return ''
  // Connect cuts the mount off `url` and keeps `originalUrl`.
  const whole = pathname(req.originalUrl)
  if (whole.endsWith(below)) return whole.slice(0, -below.length)
  return below === '/' ? whole : ''
}

/** The path of a URL, which may be in absolute form (RFC 9112, 3.2.2), and then without a path at all. */
function pathname(url: string): string {
  const path = url.startsWith('/') ? url : url.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '')
  const end = path.search(/[?#]/)
  return (end === -1 ? path : path.slice(0, end)) || '/'
}
