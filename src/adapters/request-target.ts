// Where a request goes: its path as the core routes it, and the mount that the client used.

import type { IncomingMessage } from 'node:http'

/** A request as Express, Connect or `node:http` give it. */
export interface AdapterRequest extends IncomingMessage {
  /** Express: the mount, as the client wrote it. */
  readonly baseUrl?: string
  /** Express: the path below the mount. */
  readonly path?: string
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
  // Two slashes in front would make the Location a URL of another host.
  return { path: `${basePath}${below}`, baseUrl: mount.replace(/^\/{2,}/, '/') }
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
