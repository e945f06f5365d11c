// GET: downloads of finished uploads, with ranges.

import { randomBytes } from 'node:crypto'
import { create as contentDisposition } from 'content-disposition'
import parseRange from 'range-parser'
import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import { parseUploadMetadata } from '../headers/upload-metadata.js'
import type { TusRequest, TusResponse } from '../request.js'
import type { Upload } from '../upload.js'
import { isExpired, missing } from './missing.js'

/** Types that a browser may show instead of saving them: none of them runs scripts. */
const INLINE_TYPES = new Set([
  'application/pdf',
  'audio/aac',
  'audio/mp4',
  'audio/mpeg',
  'audio/ogg',
  'audio/wav',
  'audio/webm',
  'image/avif',
  'image/gif',
  'image/jpeg',
  'image/png',
  'image/webp',
  'text/plain',
  'video/mp4',
  'video/ogg',
  'video/webm',
])

/** A page that is shown in spite of all this may do nothing; a browser's own player may play the file. */
const SECURITY_POLICY = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; sandbox allow-same-origin"

// type "/" subtype, tokens of RFC 9110, 5.6.2; parameters are dropped.
const MEDIA_TYPE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+/

/** More ranges than this in one request are taken for an attack (CVE-2011-3192), and the whole is sent. */
const MAX_RANGES = 50

interface Range {
  readonly start: number
  /** The last byte, included. */
  readonly end: number
}

/**
 * Answers GET with the bytes of a finished upload (RFC 9110, 14). Holds no claim.
 * @throws TusError `ERR_NOT_FOUND`, also while the upload is unfinished
 */
export async function download(core: Core, request: TusRequest, id: string): Promise<TusResponse> {
  const { storage } = core.options
  const upload = await storage.get(id)
  if (upload === undefined || (await isExpired(core, upload))) throw await missing(core, id, upload)
  if (!upload.complete || storage.read === undefined || upload.length === undefined) {
    throw new TusError('ERR_NOT_FOUND')
  }
  core.completions.assertSettled(upload)
  const size = upload.length
  const headers = fileHeaders(upload)
  if (isFresh(request, headers.ETag)) return { status: 304, headers, body: undefined }
  const read = (start: number, end: number): AsyncIterable<Uint8Array> =>
    inFull(storage.read?.(upload.id, start, end) as AsyncIterable<Uint8Array>, end - start)

  const ranges = rangesOf(request, headers.ETag, size)
  if (ranges === 'unsatisfiable') {
    return { status: 416, headers: { 'Content-Range': `bytes */${size}` }, body: undefined }
  }
  const [first] = ranges
  if (first === undefined) {
    return { status: 200, headers: { ...headers, 'Content-Length': String(size) }, body: read(0, size) }
  }
  if (ranges.length === 1) {
    return {
      status: 206,
      headers: {
        ...headers,
        'Content-Length': String(first.end - first.start + 1),
        'Content-Range': contentRange(first, size),
      },
      body: read(first.start, first.end + 1),
    }
  }
  return severalRanges(ranges, size, headers, read)
}

/** Fails where bytes are missing: an upload may be removed while it is sent, and its answer must not end as if whole. */
async function* inFull(chunks: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let left = size
  for await (const chunk of chunks) {
    left -= chunk.length
    yield chunk
  }
  if (left > 0) throw new Error(`the upload was removed while it was sent: ${left} bytes are missing`)
}

function fileHeaders(upload: Upload): Record<string, string> & { ETag: string } {
  const metadata = (upload.metadata && parseUploadMetadata(upload.metadata)) || {}
  const type =
    MEDIA_TYPE.exec(metadata.filetype || metadata.type || '')?.[0].toLowerCase() ?? 'application/octet-stream'
  const name = metadata.filename || metadata.name || upload.id
  const inline = INLINE_TYPES.has(type)
  return {
    'Accept-Ranges': 'bytes',
    // A finished upload never changes; but the id of one that was removed may come again where the application chooses it.
    ETag: `"${upload.id}-${upload.createdAtMs.toString(36)}"`,
    'Content-Type': type === 'text/plain' ? 'text/plain; charset=utf-8' : type,
    'Content-Disposition': contentDisposition(name, { type: inline ? 'inline' : 'attachment' }),
    'X-Content-Type-Options': 'nosniff',
    // Nothing on the way may compress it: lengths and ranges are those of the file.
    'Cache-Control': 'private, no-transform',
    'Content-Security-Policy': SECURITY_POLICY,
  }
}

function isFresh({ headers }: TusRequest, etag: string): boolean {
  const wanted = headers['if-none-match']
  if (wanted === undefined) return false
  return wanted.trim() === '*' || wanted.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag)
}

function rangesOf({ headers }: TusRequest, etag: string, size: number): readonly Range[] | 'unsatisfiable' {
  const { range } = headers
  if (range === undefined) return []
  // If-Range needs a strong match, and a date can't be one.
  if (headers['if-range'] !== undefined && headers['if-range'] !== etag) return []
  const ranges = parseRange(size, range, { combine: true })
  if (ranges === -1) return 'unsatisfiable'
  if (ranges === -2 || ranges.type !== 'bytes' || ranges.length > MAX_RANGES) return []
  return ranges
}

function contentRange({ start, end }: Range, size: number): string {
  return `bytes ${start}-${end}/${size}`
}

/** Several ranges as multipart/byteranges (RFC 9110, 14.6). */
function severalRanges(
  ranges: readonly Range[],
  size: number,
  headers: Record<string, string>,
  read: (start: number, end: number) => AsyncIterable<Uint8Array>,
): TusResponse {
  const boundary = randomBytes(18).toString('hex')
  const heads = ranges.map((range, index) =>
    Buffer.from(
      `${index === 0 ? '' : '\r\n'}--${boundary}\r\nContent-Type: ${headers['Content-Type']}\r\n` +
        `Content-Range: ${contentRange(range, size)}\r\n\r\n`,
    ),
  )
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  const length = ranges.reduce((sum, { start, end }, index) => sum + end - start + 1 + (heads[index]?.length ?? 0), 0)
  async function* body(): AsyncGenerator<Uint8Array> {
    for (const [index, { start, end }] of ranges.entries()) {
      yield heads[index] as Uint8Array
      yield* read(start, end + 1)
    }
    yield tail
  }
  return {
    status: 206,
    headers: {
      ...headers,
      'Content-Type': `multipart/byteranges; boundary=${boundary}`,
      'Content-Length': String(length + tail.length),
    },
    body: body(),
  }
}
