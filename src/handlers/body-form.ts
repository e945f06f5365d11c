// What refuses a body whose bytes are not those of the upload, before any of it is read.

import { TusError } from '../errors.js'
import { isIdentityEncoding, isPlainTransfer, startOfRange } from '../headers/codings.js'
import { isChunkType } from '../headers/media-type.js'
import { hasBody, type TusRequest } from '../request.js'

/**
 * Checks what the headers say of a body's form: its type, codings, and range.
 * @param offset - where its bytes begin
 * @throws TusError `ERR_INVALID_CONTENT_TYPE`, `ERR_CONTENT_ENCODING` (RFC 9110, 15.5.16), `ERR_TRANSFER_ENCODING`
 * (RFC 9112, 6.1), `ERR_CONTENT_RANGE`
 */
export function checkBodyForm(request: TusRequest, offset: number): void {
  const { headers } = request
  if (!isChunkType(headers['content-type'])) throw new TusError('ERR_INVALID_CONTENT_TYPE')
  // Of nothing, no coding makes anything else.
  if (!hasBody(request)) return
  if (!isPlainTransfer(headers['transfer-encoding'])) throw new TusError('ERR_TRANSFER_ENCODING')
  if (!isIdentityEncoding(headers['content-encoding'])) {
    throw new TusError('ERR_CONTENT_ENCODING', { headers: { 'Accept-Encoding': 'identity' } })
  }
  const range = headers['content-range']
  if (range !== undefined && startOfRange(range) !== offset) throw new TusError('ERR_CONTENT_RANGE')
}
