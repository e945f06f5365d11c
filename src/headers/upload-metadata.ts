// Upload-Metadata: keys with Base64 values. Stored and echoed as received; read only where somebody wants a value.

// Upload-Metadata = pair *( OWS "," OWS pair )
// pair            = key [ SP [ base64 ] ]
// key             = 1*( VCHAR / obs-text ), without ","
// base64          = *( ALPHA / DIGIT / "+" / "/" ) [ "=" [ "=" ] ], padded to a multiple of four or not at all
// https://tus.io/protocols/resumable-upload#upload-metadata
const KEY = /^[!-+\--~\x80-\xff]+$/
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/**
 * Reads `Upload-Metadata`.
 * @returns an object without prototype, its values decoded as UTF-8 (a key without a value has `''`), or `undefined` if
 * the header is malformed or names a key twice
 */
export function parseUploadMetadata(header: string): Readonly<Record<string, string>> | undefined {
  const pairs = pairsOf(header)
  if (pairs === undefined) return undefined
  const metadata: Record<string, string> = Object.create(null)
  for (const [key, value] of pairs) metadata[key] = Buffer.from(value, 'base64').toString('utf8')
  return metadata
}

/** Whether `Upload-Metadata` can be read. */
export function isUploadMetadata(header: string): boolean {
  return pairsOf(header) !== undefined
}

/** Keys and values, those still in Base64. */
function pairsOf(header: string): ReadonlyMap<string, string> | undefined {
  const pairs = new Map<string, string>()
  if (header.trim() === '') return pairs
  for (const part of header.split(',')) {
    // With the white space goes the one that a key may have before an empty value.
    const pair = trimOws(part)
    const space = pair.indexOf(' ')
    const key = space === -1 ? pair : pair.slice(0, space)
    const value = space === -1 ? '' : pair.slice(space + 1)
    if (!KEY.test(key) || pairs.has(key) || !isBase64(value)) return undefined
    pairs.set(key, value)
  }
  return pairs
}

/** Not by an expression: one that looks for spaces at the end takes quadratic time. */
function trimOws(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isOws(text[start])) start++
  while (end > start && isOws(text[end - 1])) end--
  return text.slice(start, end)
}

function isOws(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

function isBase64(value: string): boolean {
  if (!BASE64.test(value)) return false
  const padding = value.indexOf('=')
  return padding === -1 ? value.length % 4 !== 1 : value.length % 4 === 0
}

/**
 * Writes `Upload-Metadata`.
 * @param metadata - keys and values; the values are encoded as UTF-8
 * @throws TypeError if a key is empty or has a space, a comma, or anything that is not printable ASCII, or a value is
 *   no string
 */
export function formatUploadMetadata(metadata: Readonly<Record<string, string>>): string {
  return Object.entries(metadata)
    .map(([key, value]) => {
      if (!/^[!-+\--~]+$/.test(key)) throw new TypeError(`not a key of Upload-Metadata: ${JSON.stringify(key)}`)
      if (typeof value !== 'string') throw new TypeError(`a value of Upload-Metadata must be a string: ${key}`)
      return value === '' ? key : `${key} ${Buffer.from(value, 'utf8').toString('base64')}`
    })
    .join(',')
}
