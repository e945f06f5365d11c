// GET: downloads of finished uploads, with ranges.

import { randomBytes } from 'node:crypto'
import parseRange from 'range-parser'
import { processing } from '../completions/processing.js'
import type { Core } from '../core.js'
import { TusError } from '../errors.js'
import type { TusRequest, TusResponse } from '../request.js'
import { isFrom, isPartial } from '../upload.js'
import { begin, readInFull } from './file-body.js'
import { type FileHeaders, fileHeaders } from './file-headers.js'
import { isExpired, missing } from './missing.js'

/** More ranges than this in one request are taken for an attack (CVE-2011-3192), and the whole is sent. */
const MAX_RANGES = 50

interface Range {
  readonly start: number
  /** The last byte, included. */
  readonly end: number
}

/** Reads bytes of the file, `end` not included. */
type Read = (start: number, end: number) => AsyncGenerator<Uint8Array>

/**
 * Answers GET with the bytes of a finished upload (RFC 9110, 14). Holds no claim.
 * @param createdAtMs - of the upload that `onIncomingRequest` let the request through to, if it was asked
 * @throws TusError `ERR_NOT_FOUND`, also while the upload is unfinished, and for partial uploads, which never are
 *   files; `ERR_PROCESSING`; `ERR_FILE_MISSING`
 */
export async function download(
  core: Core,
  request: TusRequest,
  id: string,
  createdAtMs?: number,
): Promise<TusResponse> {
  const { storage } = core.options
  const upload = await storage.get(id)
  if (upload === undefined || !isFrom(upload, createdAtMs)) throw await missing(core, id)
  if (await isExpired(core, upload)) throw await missing(core, id, upload)
  // `onUploadComplete` never sees a partial upload.
  if (!upload.complete || isPartial(upload) || storage.read === undefined || upload.length === undefined) {
    throw new TusError('ERR_NOT_FOUND')
  }
  if ((await core.publications.settled(upload)) === undefined) throw await missing(core, id)
  core.completions.assertSettled(upload)
  // The request that completed it holds it until the chunk is on the disk, and `onChunkReceived` has approved it.
  if (upload.completion?.settled !== true && (await core.claims.isHeld(upload))) throw processing()
  const size = upload.length
  const headers = fileHeaders(core.options, upload)
  if (isFresh(request, headers.ETag)) return { status: 304, headers, body: undefined }
  const ranges = rangesOf(request, headers.ETag, size)
  if (ranges === 'unsatisfiable') {
    return { status: 416, headers: { 'Content-Range': `bytes */${size}` }, body: undefined }
  }
  const read: Read = (start, end) => readInFull(core, upload, start, end)
  const [first] = ranges
  if (first === undefined) {
    const body = await begin(core, upload, read(0, size), 1)
    return { status: 200, headers: { ...headers, 'Content-Length': String(size) }, body }
  }
  if (ranges.length === 1) {
    const body = await begin(core, upload, read(first.start, first.end + 1), 1)
    const length = String(first.end - first.start + 1)
    return {
      status: 206,
      headers: { ...headers, 'Content-Length': length, 'Content-Range': contentRange(first, size) },
      body,
    }
  }
  const parts = severalRanges(ranges, size, headers, read)
  // The first chunk is the head of the first part.
  return { status: 206, headers: parts.headers, body: await begin(core, upload, parts.body, 2) }
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
  headers: FileHeaders,
  read: Read,
): { readonly headers: Record<string, string>; readonly body: AsyncGenerator<Uint8Array> } {
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
    headers: {
      ...headers,
      'Content-Type': `multipart/byteranges; boundary=${boundary}`,
      'Content-Length': String(length + tail.length),
    },
    body: body(),
  }
}
