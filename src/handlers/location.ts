// The URL of an upload, as the client is to use it.

import type { Core } from '../core.js'
import type { TusRequest } from '../request.js'

/**
 * The URL of an upload: below `publicUrl`, or else below the mount that the client used, as a path unless
 * `absoluteLocation` asks for more.
 */
export function locationOf(core: Core, { options }: TusRequest, id: string): string {
  const { publicUrl, basePath, absoluteLocation } = core.options
  if (publicUrl !== undefined) return `${publicUrl}/${id}`
  const mount = options.baseUrl ?? basePath
  const path = `${mount.endsWith('/') ? mount.slice(0, -1) : mount}/${id}`
  return absoluteLocation && options.origin !== undefined ? `${options.origin}${path}` : path
}
