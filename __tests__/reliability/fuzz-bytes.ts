// From a request as it was made up to the bytes that are sent.
import type { Base, Draft, Step, Twist, UploadPlan } from './fuzz-requests.js'

/** An upload of a conversation, as far as the client knows it. */
export interface KnownUpload {
  readonly plan: UploadPlan
  readonly path: string
  /** Where it stands if everything has gone well so far. */
  offset: number
}

/** A request, ready to be sent. */
export interface Message {
  readonly bytes: Buffer
  /** Its method on the wire, which decides whether the answer has a body. */
  readonly method: string
  /** Whether it is well-formed for sure, so that others may follow it on its connection. */
  readonly piped: boolean
  /** Whether there is nothing odd about it at all, so that an answer has to come. */
  readonly plain: boolean
  /** Whether the connection is broken off in the middle of it. */
  readonly dropped: boolean
}

const PLAIN_METHODS = ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'PUT', 'PROPFIND', 'SEARCH']
/** Headers that say how a message is to be read, or what becomes of the connection. */
const OF_MESSAGE = ['content-length', 'transfer-encoding', 'connection', 'expect', 'upgrade', 'host', 'trailer']
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/
/** A request with more than so many bytes of headers is refused, and its connection closed. */
const LARGE_HEADERS = 12_000
/** … and so may one be with a larger body, and what follows it is lost. */
const SMALL_BODY = 64 * 1024

/** How many bytes come with the creation of an upload. */
export function firstBytesOf({ length, first = 0 }: UploadPlan): number {
  return length === 'deferred' ? first : Math.min(first, length)
}

/** The request that creates an upload. */
export function creationOf(plan: UploadPlan): Draft {
  const { length, partial, metadata, first } = plan
  return {
    method: 'POST',
    target: '/files',
    version: 'HTTP/1.1',
    headers: [
      ['Tus-Resumable', '1.0.0'],
      length === 'deferred' ? ['Upload-Defer-Length', '1'] : ['Upload-Length', String(length)],
      ...(metadata === undefined ? [] : ([['Upload-Metadata', metadata]] as const)),
      ...(partial ? ([['Upload-Concat', 'partial']] as const) : []),
      ...(first === undefined ? [] : ([['Content-Type', 'application/offset+octet-stream']] as const)),
    ],
    body: 'x'.repeat(firstBytesOf(plan)),
    framing: 'length',
  }
}

/** The bytes of a step; what it does to its upload is counted in. */
export function messageOf({ base, twists, until }: Step, uploads: readonly KnownUpload[]): Message {
  const draft = twists.reduce(twisted, draftOf(base, uploads))
  const message = rendered(draft, uploads)
  let { bytes } = message
  for (const twist of twists) if (twist.kind === 'bytes') bytes = spliced(bytes, twist)
  const dropped = until < 1
  // A download breaks off when the upload is removed meanwhile.
  const odd = base.kind === 'wild' || base.kind === 'get'
  const plain = !odd && twists.length === 0 && !dropped
  const suspect = twists.some((twist) => twist.kind === 'bytes' || twist.kind === 'version') || dropped
  return {
    bytes: dropped ? bytes.subarray(0, Math.floor(bytes.length * until)) : bytes,
    method: draft.method,
    piped: !suspect && isWellFormed(draft, message.head),
    plain,
    dropped,
  }
}

/** The bytes of a request, and its head as text. */
export function rendered(draft: Draft, uploads: readonly KnownUpload[]): { bytes: Buffer; head: string } {
  const body = Buffer.from(draft.body, 'latin1')
  const size = body.length
  const framing: string[] = []
  const length = (value: number): number => framing.push(`Content-Length: ${value}`)
  const chunked = draft.framing === 'chunks' || draft.framing === 'bad chunks' || draft.framing === 'length and chunks'
  if (draft.framing === 'length' && (size > 0 || draft.method === 'POST' || draft.method === 'PATCH')) length(size)
  if (draft.framing === 'too short') length(Math.max(size - 3, 0))
  if (draft.framing === 'too long') length(size + 7)
  if (draft.framing === 'length and chunks') length(size)
  if (chunked) framing.push('Transfer-Encoding: chunked')
  const fields = draft.headers.map(([name, value]) => `${name}: ${placed(value, uploads)}`)
  const host = draft.headers.some(([name]) => name.toLowerCase() === 'host') ? [] : ['Host: localhost']
  const first = `${draft.method} ${placed(draft.target, uploads)} ${draft.version}`
  const head = [first, ...host, ...fields, ...framing, '', ''].join('\r\n')
  const content = chunked ? inChunks(body, draft.framing === 'bad chunks') : body
  return { bytes: Buffer.concat([Buffer.from(head, 'latin1'), content]), head }
}

function draftOf(base: Base, uploads: readonly KnownUpload[]): Draft {
  if (base.kind === 'wild') return base.draft
  if (base.kind === 'create') return creationOf(base.upload)
  const tus = ['Tus-Resumable', '1.0.0'] as const
  const rest = { version: 'HTTP/1.1', body: '', framing: 'length' } as const
  if (base.kind === 'final') {
    const urls = base.of.map((index) => `{${index}}`).join(' ')
    return { ...rest, method: 'POST', target: '/files', headers: [tus, ['Upload-Concat', `final;${urls}`]] }
  }
  if (base.kind !== 'patch') {
    return { ...rest, method: base.kind.toUpperCase(), target: `{${base.on}}`, headers: [tus] }
  }
  const upload = uploads[base.on % uploads.length] as KnownUpload
  const room = Math.max((upload.plan.length === 'deferred' ? 100 : upload.plan.length) - upload.offset, 0)
  const size = base.size === 'rest' ? room : base.size === 'too many' ? room + 1 : Math.min(base.size, 200_000)
  const offset = Math.max(upload.offset + base.off, 0)
  if (base.off === 0 && size <= room) upload.offset += size
  const headers = [
    tus,
    ['Content-Type', 'application/offset+octet-stream'],
    ['Upload-Offset', String(offset)],
    ...(upload.plan.length === 'deferred' && base.size === 'rest'
      ? ([['Upload-Length', String(offset + size)]] as const)
      : []),
  ] as const
  return { ...rest, method: 'PATCH', target: `{${base.on}}`, headers, body: 'y'.repeat(size) }
}

function twisted(draft: Draft, twist: Twist): Draft {
  const { headers } = draft
  const isOf = (name: string) => (field: readonly [string, string]) => field[0].toLowerCase() === name.toLowerCase()
  switch (twist.kind) {
    case 'method':
    case 'target':
    case 'version':
    case 'framing':
      return { ...draft, [twist.kind]: twist.value }
    case 'set': {
      const others = headers.filter((field) => !isOf(twist.name)(field))
      return { ...draft, headers: [...others, [twist.name, twist.value]] }
    }
    case 'add':
      return { ...draft, headers: [...headers, [twist.name, twist.value]] }
    case 'drop':
      return { ...draft, headers: headers.filter((field) => !isOf(twist.name)(field)) }
    case 'repeat':
      return { ...draft, headers: [...headers, ...headers.filter(isOf(twist.name))] }
    case 'bytes':
      return draft
  }
}

function spliced(bytes: Buffer, { at, value }: Extract<Twist, { kind: 'bytes' }>): Buffer {
  const place = Math.floor(at * bytes.length)
  return Buffer.concat([bytes.subarray(0, place), Buffer.from(value, 'latin1'), bytes.subarray(place)])
}

function placed(text: string, uploads: readonly KnownUpload[]): string {
  const pathOf = (index: string): string => uploads[Number(index) % uploads.length]?.path ?? '/files/unknown'
  return text
    .replaceAll(/\{(\d)\}/g, (_, index) => pathOf(index))
    .replaceAll(/\{percent (\d)\}/g, (_, index) =>
      pathOf(index).replaceAll(/[^/]/g, (char) => `%${char.charCodeAt(0).toString(16)}`),
    )
}

function inChunks(body: Buffer, bad: boolean): Buffer {
  const middle = Math.ceil(body.length / 2)
  const parts = [body.subarray(0, middle), body.subarray(middle)].filter((part) => part.length > 0)
  const chunks = parts.flatMap((part) => [
    Buffer.from(`${part.length.toString(16)};a=b\r\n`),
    part,
    Buffer.from('\r\n'),
  ])
  return Buffer.concat([...chunks, Buffer.from(bad ? 'zz\r\n' : '0\r\n\r\n')])
}

function isWellFormed(draft: Draft, head: string): boolean {
  const { method, version, headers, framing, body } = draft
  const target = head.slice(method.length + 1, head.indexOf('\r\n') - version.length - 1)
  return (
    PLAIN_METHODS.includes(method) &&
    version === 'HTTP/1.1' &&
    /^[!-~]+$/.test(target) &&
    head.length < LARGE_HEADERS &&
    body.length <= SMALL_BODY &&
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    headers.every(([name, value]) => TOKEN.test(name) && !/[\0-\x08\n-\x1f\x7f]/.test(value)) &&
    !headers.some(([name]) => OF_MESSAGE.includes(name.toLowerCase())) &&
    (framing === 'length' || framing === 'chunks' || (framing === 'none' && body === ''))
  )
}
