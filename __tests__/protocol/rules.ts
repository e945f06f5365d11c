// What tus 1.0.0 asks of a server (https://tus.io/protocols/resumable-upload), in short, by the numbers that the titles
// of the tests name.

/** How much a rule, or a test, weighs (RFC 2119). */
export type Level = 'MUST' | 'SHOULD' | 'MAY'

/** One rule. */
export interface Rule {
  readonly number: number
  /** The part of the protocol that it is of. */
  readonly part: string
  /** Its place in the text of the protocol. */
  readonly anchor: string
  /** What it asks for, one sentence for each level. */
  readonly asks: Readonly<Partial<Record<Level, string>>>
}

const CORE = 'Core protocol'

export const RULES: readonly Rule[] = [
  {
    number: 1,
    part: CORE,
    anchor: 'upload-offset',
    asks: { MUST: '`Upload-Offset` and `Upload-Length` are non-negative integers: digits alone, at most 2^53-1 here.' },
  },
  {
    number: 2,
    part: CORE,
    anchor: 'tus-resumable',
    asks: { MUST: 'Every answer has `Tus-Resumable`, errors included.' },
  },
  {
    number: 3,
    part: CORE,
    anchor: 'tus-resumable',
    asks: { MUST: 'A version that is not supported is answered by 412 with `Tus-Version`, and nothing is done.' },
  },
  {
    number: 4,
    part: CORE,
    anchor: 'tus-version',
    asks: { MUST: '`Tus-Version` and `Tus-Extension` are lists with commas.' },
  },
  {
    number: 5,
    part: CORE,
    anchor: 'tus-max-size',
    asks: { MUST: '`Tus-Max-Size` is a non-negative integer.', SHOULD: 'It is sent where there is a limit for all.' },
  },
  {
    number: 6,
    part: CORE,
    anchor: 'x-http-method-override',
    asks: { MUST: '`X-HTTP-Method-Override` takes the place of the method.' },
  },
  {
    number: 7,
    part: CORE,
    anchor: 'head',
    asks: {
      MUST: 'HEAD tells `Upload-Offset`, and `Upload-Length` if it is known, with `Cache-Control: no-store`.',
      SHOULD: 'Its status is 200 or 204.',
    },
  },
  {
    number: 8,
    part: CORE,
    anchor: 'head',
    asks: { SHOULD: 'HEAD of what is not there is answered by 404, 410 or 403, without `Upload-Offset`.' },
  },
  {
    number: 9,
    part: CORE,
    anchor: 'patch',
    asks: {
      SHOULD: 'PATCH takes `application/offset+octet-stream` alone, else 415; an upload that is not there is 404.',
    },
  },
  {
    number: 10,
    part: CORE,
    anchor: 'patch',
    asks: { MUST: 'PATCH at another offset is answered by 409. What is refused changes nothing.' },
  },
  {
    number: 11,
    part: CORE,
    anchor: 'patch',
    asks: { MUST: 'PATCH is answered by 204, and `Upload-Offset` is the old one plus the bytes stored.' },
  },
  {
    number: 12,
    part: CORE,
    anchor: 'patch',
    asks: { SHOULD: 'What arrived before a connection broke is kept.' },
  },
  {
    number: 13,
    part: CORE,
    anchor: 'options',
    asks: { MUST: 'OPTIONS is answered by 204 or 200 with `Tus-Version`, whatever `Tus-Resumable` says.' },
  },
  {
    number: 14,
    part: 'Creation',
    anchor: 'creation',
    asks: {
      MUST: 'POST needs `Upload-Length` or `Upload-Defer-Length: 1`. A length of 0 is complete at once. `creation` is advertised.',
    },
  },
  {
    number: 15,
    part: 'Creation',
    anchor: 'upload-defer-length',
    asks: {
      MUST: 'While the length is not known HEAD says `Upload-Defer-Length: 1`. It comes with any PATCH, and never changes then.',
    },
  },
  {
    number: 16,
    part: 'Creation',
    anchor: 'post',
    asks: { MUST: 'POST is answered by 201 with `Location`; what is too large by 413.' },
  },
  {
    number: 17,
    part: 'Creation',
    anchor: 'upload-metadata',
    asks: {
      MUST: '`Upload-Metadata` has unique keys and Base64 values, and HEAD echoes it as it was sent.',
      SHOULD: 'It is sanitised before it is used in a header.',
    },
  },
  {
    number: 18,
    part: 'Creation With Upload',
    anchor: 'creation-with-upload',
    asks: {
      MUST: 'POST may bring bytes, to which the rules of PATCH apply; the answer has `Upload-Offset`.',
      SHOULD: 'As many bytes as possible are taken. What is refused is refused before the body is sent.',
    },
  },
  {
    number: 19,
    part: 'Expiration',
    anchor: 'expiration',
    asks: {
      MUST: '`Upload-Expires` is on the answers to POST and PATCH of what will expire.',
      SHOULD: 'Afterwards it is 410 while that is remembered, then 404.',
    },
  },
  {
    number: 20,
    part: 'Checksum',
    anchor: 'checksum',
    asks: {
      MUST: 'A body that does not match its `Upload-Checksum` (460), or names an unknown algorithm (400), is discarded. sha1 is supported.',
    },
  },
  {
    number: 21,
    part: 'Checksum',
    anchor: 'checksum',
    asks: { MUST: 'A checksum may come as a trailer; `checksum-trailer` is advertised.' },
  },
  {
    number: 22,
    part: 'Termination',
    anchor: 'termination',
    asks: {
      MUST: 'DELETE is answered by 204.',
      SHOULD: 'Afterwards the upload is gone (404 or 410), and no other one.',
    },
  },
  {
    number: 23,
    part: 'Concatenation',
    anchor: 'concatenation',
    asks: {
      MUST: 'A final upload has the bytes of the partial uploads that it lists, by absolute or relative URLs, in order.',
    },
  },
  {
    number: 24,
    part: 'Concatenation',
    anchor: 'concatenation',
    asks: {
      MUST: 'Metadata of partial uploads is not passed on.',
      SHOULD: 'Partial uploads are not processed.',
      MAY: 'A partial upload is used several times.',
    },
  },
  {
    number: 25,
    part: 'Concatenation',
    anchor: 'concatenation',
    asks: { MUST: 'PATCH of a final upload is answered by 403, and changes nothing.' },
  },
  {
    number: 26,
    part: 'Concatenation',
    anchor: 'concatenation',
    asks: {
      MUST: 'HEAD echoes `Upload-Concat`. The offset of a final upload is its length once it is assembled.',
      SHOULD: 'Before that, HEAD has no `Upload-Offset`.',
    },
  },
  {
    number: 27,
    part: 'Concatenation',
    anchor: 'concatenation',
    asks: {
      MUST: '`concatenation-unfinished` is advertised where a final upload may wait for its partial ones.',
      MAY: 'A final upload is created before its partial uploads are complete.',
    },
  },
]

/** What titles name instead of a rule, where the protocol has none. */
export const TOPICS: Readonly<Record<string, string>> = {
  clients: 'What clients need',
  CORS: 'Pages of other origins',
  downloads: 'Downloads',
  form: 'The form of bodies',
}
