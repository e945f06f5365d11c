// The checksum extension: hashes a body while it streams, and compares at its end.

import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { TusError } from './errors.js'
import { announcesChecksum, parseUploadChecksum, type UploadChecksum } from './headers/upload-checksum.js'
import type { TusRequest } from './request.js'

/** The algorithms that a server can offer. */
export const CHECKSUM_ALGORITHMS = ['sha1', 'sha256', 'sha512', 'md5', 'crc32'] as const

/** The name of an algorithm. */
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number]

/** Hashes one body. */
export interface ChecksumCheck {
  /** Takes the next bytes in. */
  update(chunk: Uint8Array): void
  /**
   * Compares, after the last byte.
   * @throws TusError `ERR_CHECKSUM_MISMATCH`; for a trailer also what {@link checksumOf} throws for a header
   */
  verify(): void
}

interface Digest {
  update(chunk: Uint8Array): unknown
  digest(): Buffer
}

/**
 * What a request says of its body's checksum (https://tus.io/protocols/resumable-upload#checksum).
 *
 * A trailer names its algorithm after the body, so all that are offered are computed then.
 * @returns `undefined` if it says nothing
 * @throws TusError `ERR_INVALID_CHECKSUM` or `ERR_UNKNOWN_CHECKSUM_ALGORITHM`
 */
export function checksumOf(
  { headers, options }: TusRequest,
  offered: readonly ChecksumAlgorithm[],
): ChecksumCheck | undefined {
  if (offered.length === 0) return undefined
  const header = headers['upload-checksum']
  if (header !== undefined) return check([read(header, offered)], () => read(header, offered))
  if (!announcesChecksum(headers.trailer)) return undefined
  const algorithms = offered.map((algorithm) => ({ algorithm }))
  return check(algorithms, () => {
    const trailer = options.trailers?.()['upload-checksum']
    return read(typeof trailer === 'string' ? trailer : '', offered)
  })
}

function check(algorithms: readonly { readonly algorithm: string }[], expected: () => UploadChecksum): ChecksumCheck {
  const digests = new Map(algorithms.map(({ algorithm }) => [algorithm, createDigest(algorithm)]))
  return {
    update(chunk) {
      for (const digest of digests.values()) digest.update(chunk)
    },
    verify() {
      const { algorithm, digest } = expected()
      if (!digests.get(algorithm)?.digest().equals(digest)) throw new TusError('ERR_CHECKSUM_MISMATCH')
    },
  }
}

function read(header: string, offered: readonly ChecksumAlgorithm[]): UploadChecksum {
  const checksum = parseUploadChecksum(header)
  if (checksum === undefined) throw new TusError('ERR_INVALID_CHECKSUM')
  if (!(offered as readonly string[]).includes(checksum.algorithm)) {
    throw new TusError('ERR_UNKNOWN_CHECKSUM_ALGORITHM')
  }
  return checksum
}

function createDigest(algorithm: string): Digest {
  return algorithm === 'crc32' ? new Crc32() : createHash(algorithm)
}

/** CRC-32 as in zlib and Ethernet; four bytes, the most significant one first. */
class Crc32 implements Digest {
  #value = 0

  update(chunk: Uint8Array): void {
    this.#value = crc32(chunk, this.#value)
  }

  digest(): Buffer {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(this.#value)
    return bytes
  }
}
