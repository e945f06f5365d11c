// Scheme and host as the client used them, as far as the application trusts its proxies.

import type { TLSSocket } from 'node:tls'
import type { AdapterRequest } from './request-target.js'

/** What Express adds to a request that tells where it came in. */
interface ExpressParts {
  readonly protocol?: string
  readonly app?: { get?(setting: string): unknown }
}

// uri-host [ ":" port ] (RFC 9110, 7.2), without what could end a URL's authority early
const HOST = /^[A-Za-z0-9._~-]+(?::[0-9]{1,5})?$|^\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?$/

/**
 * The origin of the URL that the client used; `undefined` if its host or its scheme is none of http's. In Express the
 * setting `trust proxy` decides whether `X-Forwarded-Proto` and `X-Forwarded-Host` count.
 */
export function originOf(req: AdapterRequest): string | undefined {
  const { protocol, app } = req as ExpressParts
  const trusts = app?.get?.('trust proxy fn')
  const trusted = typeof trusts === 'function' && trusts(req.socket.remoteAddress, 0) === true
  const forwarded = trusted
    ? String(req.headers['x-forwarded-host'] ?? '')
        .split(',')[0]
        ?.trim()
    : ''
  const host = forwarded || req.headers.host || ''
  const scheme = (protocol ?? ((req.socket as Partial<TLSSocket>).encrypted ? 'https' : 'http')).toLowerCase()
  // A proxy may pass on a scheme that the client made up.
  if (!HOST.test(host) || (scheme !== 'http' && scheme !== 'https')) return undefined
  const origin = `${scheme}://${host}`
  return URL.canParse(origin) ? origin : undefined
}
