// The checksum extension: hashes a body while it streams, and compares at its end.

import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { TusError } from './errors.js'
import { announcesChecksum, parseUploadChecksum, type UploadChecksum } from './headers/upload-checksum.js'
import type { HandleOptions, TusRequest } from './request.js'

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
 * A trailer names its algorithm after the body, so all that are offered are computed where one is announced. A trailer
 * beside a header is verified as well.
 * @returns `undefined` if it says nothing
 * @throws TusError `ERR_INVALID_CHECKSUM` or `ERR_UNKNOWN_CHECKSUM_ALGORITHM`
 */
export function checksumOf(
  { headers, options }: TusRequest,
  offered: readonly ChecksumAlgorithm[],
): ChecksumCheck | undefined {
  if (offered.length === 0) return undefined
  const header = headers['upload-checksum']
  const announced = announcesChecksum(headers.trailer)
  if (header === undefined && !announced) return undefined
  const first = header === undefined ? undefined : read(header, offered)
  const algorithms = announced ? offered : [first?.algorithm as string]
  return check(algorithms, () => {
    const trailer = trailerOf(options)
    if (trailer === undefined && first !== undefined) return [first]
    return [...(first ? [first] : []), read(trailer ?? '', offered)]
  })
}

/**
 * Verifies the checksum that has come behind a body of which no checksum was expected.
 * @param chunks - all of the body; `undefined` if it is not in memory any more
 * @throws TusError `ERR_CHECKSUM_UNANNOUNCED`, and what {@link ChecksumCheck.verify} throws
 */
export function verifyUnannounced(
  { options }: TusRequest,
  offered: readonly ChecksumAlgorithm[],
  chunks: readonly Uint8Array[] | undefined,
): void {
  const trailer = offered.length > 0 ? trailerOf(options) : undefined
  if (trailer === undefined) return
  const expected = read(trailer, offered)
  if (chunks === undefined) throw new TusError('ERR_CHECKSUM_UNANNOUNCED')
  const late = check([expected.algorithm], () => [expected])
  for (const chunk of chunks) late.update(chunk)
  late.verify()
}

function trailerOf({ trailers }: HandleOptions): string | undefined {
  const trailer = trailers?.()['upload-checksum']
  return trailer === undefined || typeof trailer === 'string' ? trailer : trailer.join(', ')
}

/** @param expected - all that the body must match */
function check(algorithms: readonly string[], expected: () => readonly UploadChecksum[]): ChecksumCheck {
  const digests = new Map(algorithms.map((algorithm) => [algorithm, createDigest(algorithm)]))
  return {
    update(chunk) {
      for (const digest of digests.values()) digest.update(chunk)
    },
    verify() {
      const found = new Map<string, Buffer>()
      for (const { algorithm, digest } of expected()) {
        // A trailer beside a header that announces none may name another algorithm than the one that was computed.
        const actual = found.get(algorithm) ?? digests.get(algorithm)?.digest()
        if (actual === undefined) throw new TusError('ERR_CHECKSUM_UNANNOUNCED')
        if (!actual.equals(digest)) throw new TusError('ERR_CHECKSUM_MISMATCH')
        found.set(algorithm, actual)
      }
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
