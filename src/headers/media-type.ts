// Content-Type: of chunks, and of files as their metadata declares them.

/** The media type of a chunk. */
export const CHUNK_TYPE = 'application/offset+octet-stream'

/** Whether a `Content-Type` is that of a chunk; parameters and case do not matter. */
export function isChunkType(contentType: string | undefined): boolean {
  // Nearly always it is just this.
  return contentType === CHUNK_TYPE || contentType?.split(';')[0]?.trim().toLowerCase() === CHUNK_TYPE
}

/** A media type that may stand in a header. */
export interface MediaType {
  /** Type and subtype, in lower case. */
  readonly essence: string
  /** All of it, parameters included. */
  readonly value: string
}

/** A declared type that is longer than this is no type. */
const MAX_MEDIA_TYPE = 255

// media-type    = type "/" subtype *( OWS ";" OWS [ parameter ] )
// parameter     = token "=" ( token / quoted-string )
// quoted-string = DQUOTE *( HTAB / SP / %x21 / %x23-5B / %x5D-7E / quoted-pair ) DQUOTE, without obs-text
// RFC 9110, 5.6.2, 5.6.4, 5.6.6 and 8.3.1. Sticky, each for one step, so that no text takes more than linear time.
const ESSENCE = /[!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?=[ \t]*(?:;|$))/y
const PARAMETER =
  /[ \t]*;[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|"(?:[\t !#-[\]-~]|\\[\t -~])*"))?/y

/**
 * Reads a media type that somebody declared.
 * @returns the type with its parameters; without any of them if one is malformed (browsers say
 *   `video/webm;codecs=vp8,opus` of what they record); `undefined` if it is no media type
 */
export function parseMediaType(text: string): MediaType | undefined {
  const declared = text.trim()
  if (declared.length > MAX_MEDIA_TYPE) return undefined
  ESSENCE.lastIndex = 0
  const essence = ESSENCE.exec(declared)?.[0].toLowerCase()
  if (essence === undefined) return undefined
  const parameters: string[] = []
  PARAMETER.lastIndex = ESSENCE.lastIndex
  while (PARAMETER.lastIndex < declared.length) {
    const found = PARAMETER.exec(declared)
    if (found === null) return { essence, value: essence }
    if (found[1] !== undefined) parameters.push(found[1])
  }
  return { essence, value: [essence, ...parameters].join('; ') }
}
