// The headers of a finished file that is downloaded: what it is, under which name, and what a browser may do with it.

import { create as contentDisposition } from 'content-disposition'
import { parseMediaType } from '../headers/media-type.js'
import { parseUploadMetadata } from '../headers/upload-metadata.js'
import type { ResolvedOptions } from '../options.js'
import type { Upload } from '../upload.js'

/**
 * Types that a browser may show instead of saving them: none of them runs scripts, or can be used as a script or a
 * style.
 */
const INLINE_TYPES: ReadonlySet<string> = new Set([
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

/** Headers of the answers that send a file, besides its length. */
export type FileHeaders = Readonly<Record<string, string>> & { readonly ETag: string; readonly 'Content-Type': string }

/**
 * Makes the headers that describe a finished file. Of what its metadata says of it nothing reaches a header unchecked:
 * the type is kept, with its parameters, where a browser may show it; anything else is bytes to be saved.
 */
export function fileHeaders({ cors }: Pick<ResolvedOptions, 'cors'>, upload: Upload): FileHeaders {
  const metadata = (upload.metadata && parseUploadMetadata(upload.metadata)) || {}
  const declared = parseMediaType(metadata.filetype || metadata.type || '')
  const inline = declared !== undefined && INLINE_TYPES.has(declared.essence)
  const name = metadata.filename || metadata.name || upload.id
  return {
    'Accept-Ranges': 'bytes',
    // A finished upload never changes; but the id of one that was removed may come again where the application chooses
    // it.
    ETag: `"${upload.id}-${upload.createdAtMs.toString(36)}"`,
    'Content-Type': inline ? declared.value : 'application/octet-stream',
    'Content-Disposition': contentDisposition(name, { type: inline ? 'inline' : 'attachment' }),
    'X-Content-Type-Options': 'nosniff',
    // Nothing on the way may compress it: lengths and ranges are those of the file.
    'Cache-Control': 'private, no-transform',
    'Content-Security-Policy': SECURITY_POLICY,
    'Cross-Origin-Resource-Policy': resourcePolicy(cors),
  }
}

/**
 * Which pages may embed files without asking by CORS
 * (https://fetch.spec.whatwg.org/#cross-origin-resource-policy-header). Such a request doesn't say which origin it is
 * from, so for a list of origins it can only be the site; their pages ask by CORS (`<img crossorigin>`), which this
 * header does not concern.
 */
function resourcePolicy(cors: ResolvedOptions['cors']): string {
  if (!cors) return 'same-origin'
  return (cors.origin ?? '*') === '*' ? 'cross-origin' : 'same-site'
}
