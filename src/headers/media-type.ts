// Content-Type of chunks.

/** The media type of a chunk. */
export const CHUNK_TYPE = 'application/offset+octet-stream'

/** Whether a `Content-Type` is that of a chunk; parameters and case do not matter. */
export function isChunkType(contentType: string | undefined): boolean {
  return contentType?.split(';')[0]?.trim().toLowerCase() === CHUNK_TYPE
}
