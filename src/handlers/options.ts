// OPTIONS: what this server can do.

import { type Core, TUS_VERSION } from '../core.js'
import type { TusResponse } from '../request.js'

/** The extensions that a server offers, derived from what it and its storage can do. */
export function extensionsOf(_core: Core): readonly string[] {
  return ['creation', 'creation-with-upload', 'creation-defer-length', 'termination']
}

/** Answers OPTIONS (https://tus.io/protocols/resumable-upload#options). */
export function describeServer(core: Core): TusResponse {
  const { maxSize } = core.options
  return {
    status: 204,
    headers: {
      'Tus-Version': TUS_VERSION,
      'Tus-Extension': extensionsOf(core).join(','),
      ...(maxSize === undefined ? {} : { 'Tus-Max-Size': String(maxSize) }),
    },
    body: undefined,
  }
}
