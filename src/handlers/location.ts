// The URL of an upload, as the client is to use it. What a client or a proxy says of the request leads to no other
// host.

import type { Core } from '../core.js'
import { hookRequest, hookUpload } from '../hooks.js'
import type { TusRequest } from '../request.js'
import { idOfUrl } from '../route.js'
import { isPartial, type NewUpload, untouched } from '../upload.js'
import { isUrlOrPath, URL_OR_PATH } from '../url-or-path.js'

/** Scheme and host, and nothing that a browser would take for the end of the host. */
const ORIGIN = /^https?:\/\/[^\s/?#@\\]+$/i

/**
 * The URL of an upload: below `publicUrl`, or else below the mount that the client used, as a path unless
 * `absoluteLocation` asks for more; and then what `location` makes of it.
 * @returns a promise only where the application has functions for it
 * @throws TypeError if what they return can't be in a `Location`
 */
export function locationOf(core: Core, request: TusRequest, upload: NewUpload): string | Promise<string> {
  const { publicUrl, location } = core.options
  if (typeof publicUrl === 'function' || location !== undefined) return chosenLocation(core, request, upload)
  return `${publicUrl ?? mountOf(core, request)}/${upload.id}`
}

async function chosenLocation(core: Core, request: TusRequest, upload: NewUpload): Promise<string> {
  const { publicUrl, location } = core.options
  const { id } = upload
  const base = typeof publicUrl === 'function' ? await publicUrl(hookRequest(request)) : publicUrl
  if (base !== undefined && (!isUrlOrPath(base) || /[?#]/.test(base))) throw wrong('publicUrl', base)
  const url = `${base?.replace(/\/+$/, '') ?? mountOf(core, request)}/${id}`
  const chosen = await location?.({ request: hookRequest(request), upload: hookUpload(core, untouched(upload)), url })
  if (location === undefined) return url
  if (!isUrlOrPath(chosen)) throw wrong('location', chosen)
  // A final upload names its partial ones by their URLs.
  if (isPartial(upload) && idOfUrl(chosen) !== id) {
    throw new TypeError(`location: the path of a partial upload's URL must end with its id, ${id}: ${chosen}`)
  }
  return chosen
}

/** Where the client found the collection, without a slash at the end. */
function mountOf({ options: { basePath, absoluteLocation } }: Core, { options }: TusRequest): string {
  const mount = safeMount(options.baseUrl ?? basePath)
  return absoluteLocation && options.origin !== undefined && ORIGIN.test(options.origin)
    ? `${options.origin}${mount}`
    : mount
}

/** Nearly every mount: a path of characters that may be there as they are. */
const SAFE_MOUNT = /^(?:\/[\w.~-]+)+$/

/**
 * A mount as it may begin a URL. Browsers take a backslash for a slash and skip tabs and line breaks, and two slashes
 * begin a host: a path that a client chose must not name another one.
 */
function safeMount(mount: string): string {
  if (SAFE_MOUNT.test(mount)) return mount
  const path = mount.endsWith('/') ? mount.slice(0, -1) : mount
  // One in absolute form is the application's own word: adapters hand over paths.
  if (path === '' || /^https?:\/\//i.test(path)) return path
  return `/${path.replace(/[^\x21-\x5b\x5d-\x7e\x80-\xff]/gu, encodeURIComponent).replace(/^\/+/, '')}`
}

function wrong(option: string, value: unknown): TypeError {
  return new TypeError(`${option}: it must return ${URL_OR_PATH}, not ${JSON.stringify(value)}`)
}
