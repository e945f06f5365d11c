// OPTIONS: what this server can do.

import { type Core, TUS_VERSION } from '../core.js'
import type { TusResponse } from '../request.js'

/** The extensions that a server offers, derived from what it and its storage can do. */
export function extensionsOf({ options }: Core): readonly string[] {
  const checksums = options.checksumAlgorithms.length > 0 ? ['checksum', 'checksum-trailer'] : []
  const expiration = options.expiration === undefined ? [] : ['expiration']
  const concatenation = options.concatenation ? ['concatenation', 'concatenation-unfinished'] : []
  return [
    'creation',
    'creation-with-upload',
    'creation-defer-length',
    ...(options.termination ? ['termination'] : []),
    ...checksums,
    ...expiration,
    ...concatenation,
  ]
}

/** Answers OPTIONS (https://tus.io/protocols/resumable-upload#options). */
export function describeServer(core: Core): TusResponse {
  const { maxSize, checksumAlgorithms } = core.options
  return {
    status: 204,
    headers: {
      'Tus-Version': TUS_VERSION,
      'Tus-Extension': extensionsOf(core).join(','),
      ...(typeof maxSize === 'number' && { 'Tus-Max-Size': String(maxSize) }),
      ...(checksumAlgorithms.length > 0 && { 'Tus-Checksum-Algorithm': checksumAlgorithms.join(',') }),
    },
    body: undefined,
  }
}

/** The methods that uploads answer. */
export function methodsOfUploads({ downloads, storage, termination }: Core['options']): readonly string[] {
  return [
    'OPTIONS',
    'HEAD',
    'PATCH',
    ...(termination ? ['DELETE'] : []),
    ...(downloads && storage.read !== undefined ? ['GET'] : []),
  ]
}
