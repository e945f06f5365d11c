// Requests as data: as fast-check makes them up, and as they are sent once the state of the uploads is known.

import { createHash } from 'node:crypto'
import fc from 'fast-check'

/** How many times others have their turn: in this very round of the event loop up to 20, then rounds of it. */
export type Pause = number

/** A body. */
export interface Chunk {
  /** What arrives of it. */
  readonly bytes: Buffer
  /** Whether the connection breaks after that. */
  readonly cut: boolean
  /** `Content-Length`, if stated: more than arrives where the connection breaks. */
  readonly stated: number | undefined
  /** How the core gets it: whole, in pieces, or in pieces that an adapter gathers first. */
  readonly form: 'whole' | 'pieces' | 'gathered'
  /** The size of a piece in bytes. */
  readonly piece: number
  /** Before each piece. */
  readonly pauses: readonly Pause[]
  /** What of it comes only after the requests beside it have been answered. */
  readonly stalls: 'nothing' | 'last piece' | 'end'
  readonly checksum: Checksum | undefined
}

/** A checksum, and what is to be said of it. */
export interface Checksum {
  readonly where: 'header' | 'trailer'
  readonly value: string | undefined
  readonly verdict: 'right' | 'wrong' | 'invalid'
}

interface On {
  readonly id: string
  /** Before it is sent; or it waits until a body beside it stalls. */
  readonly pause: Pause | 'until one stalls'
}

/** A request. */
export type Call =
  | (On & { readonly kind: 'create'; readonly length: number | undefined; readonly chunk: Chunk | undefined })
  | (On & {
      readonly kind: 'patch'
      readonly offset: number
      readonly declared: number | undefined
      readonly chunk: Chunk | undefined
    })
  | (On & { readonly kind: 'head' | 'delete' | 'get' })

/** A body as it is made up: its size is only known when it is sent. */
interface ChunkPlan extends Omit<Chunk, 'bytes' | 'stated' | 'checksum'> {
  /** In bytes, or relative to what the upload has room for. */
  readonly size: number | 'rest' | 'one too many'
  readonly stated: boolean
  readonly checksum: { readonly where: Checksum['where']; readonly kind: (typeof CHECKSUMS)[number] } | undefined
}

const CHECKSUMS = ['sha1', 'sha256', 'md5', 'wrong', 'unknown', 'malformed', 'missing'] as const

/** A request as it is made up: relative to the uploads that there are when it is sent. */
export type Plan = Pick<On, 'pause'> &
  (
    | { readonly kind: 'create'; readonly length: number | 'deferred'; readonly chunk: ChunkPlan | undefined }
    | {
        readonly kind: 'patch'
        readonly on: number
        /** By how much its offset is off, or the offset at which a chunk before it in the same round stalls. */
        readonly off: number | 'where one stalls'
        /** The length it declares: the one that is known, or so much more than it brings. */
        readonly declares: 'nothing' | 'known' | number
        readonly chunk: ChunkPlan | undefined
      }
    | { readonly kind: 'head' | 'delete' | 'get'; readonly on: number }
  )

const pause: fc.Arbitrary<Pause> = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 24 }))
const when = fc.oneof({ weight: 2, arbitrary: pause }, fc.constant('until one stalls' as const))
const rarely = fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, fc.constant(true))

const chunkPlan: fc.Arbitrary<ChunkPlan> = fc.record({
  size: fc.oneof(
    { weight: 4, arbitrary: fc.nat(9) },
    { weight: 3, arbitrary: fc.constant('rest' as const) },
    fc.constant('one too many' as const),
  ),
  cut: rarely,
  stated: fc.boolean(),
  form: fc.constantFrom('whole', 'pieces', 'pieces', 'gathered'),
  piece: fc.integer({ min: 1, max: 4 }),
  pauses: fc.array(pause, { maxLength: 4 }),
  stalls: fc.oneof({ weight: 3, arbitrary: fc.constant('nothing') }, fc.constantFrom('last piece', 'end')),
  checksum: fc.option(fc.record({ where: fc.constantFrom('header', 'trailer'), kind: fc.constantFrom(...CHECKSUMS) }), {
    freq: 1,
    nil: undefined,
  }),
})

const body = fc.oneof({ weight: 4, arbitrary: chunkPlan }, fc.constant(undefined))
const on = fc.nat(3)

const plan: fc.Arbitrary<Plan> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      pause: when,
      length: fc.oneof({ weight: 3, arbitrary: fc.nat(20) }, fc.constant('deferred' as const)),
      chunk: fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, chunkPlan),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('patch' as const),
      pause: when,
      on,
      off: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: -4, max: 8 }), {
        weight: 2,
        arbitrary: fc.constant('where one stalls' as const),
      }),
      declares: fc.oneof(
        { weight: 3, arbitrary: fc.constant('nothing' as const) },
        fc.constant('known' as const),
        fc.integer({ min: -2, max: 5 }),
      ),
      chunk: body,
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('head' as const), pause: when, on }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), pause: when, on }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('get' as const), pause: when, on }) },
)

/** Requests that are sent at the same time: one, several, or several for one upload. */
export const plans: fc.Arbitrary<readonly Plan[]> = fc.oneof(
  { weight: 3, arbitrary: plan.map((one) => [one]) },
  { weight: 1, arbitrary: fc.array(plan, { minLength: 2, maxLength: 4 }) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(on, fc.array(plan, { minLength: 2, maxLength: 4 }))
      .map(([same, all]) => all.map((each) => (each.kind === 'create' ? each : { ...each, on: same }))),
  },
)

/** What is known of the uploads. */
export interface Known {
  /** All that ever were, the latest first. */
  readonly ids: readonly string[]
  sizeOf(id: string): { readonly offset: number; readonly length: number | undefined }
  /** A new id. */
  newId(): string
  /** Bytes that are like no others. */
  newBytes(size: number): Buffer
}

/** Makes requests of the plans of a round. */
export function callsOf(plans: readonly Plan[], known: Known): readonly Call[] {
  const calls: Call[] = []
  for (const plan of plans) calls.push(callOf(plan, known, calls))
  return calls
}

function callOf(plan: Plan, known: Known, before: readonly Call[]): Call {
  const { kind, pause } = plan
  if (kind === 'create') {
    const length = plan.length === 'deferred' ? undefined : plan.length
    const chunk = chunkOf(plan.chunk, length, known)
    // Nobody learns the URL of a creation that breaks off; one without bytes would be neither complete nor anything else.
    return { kind, id: known.newId(), pause, length, chunk: chunk && { ...chunk, cut: chunk.cut && length !== 0 } }
  }
  const id = known.ids[plan.on % Math.max(known.ids.length, 1)] ?? 'unknown'
  if (kind !== 'patch') return { kind, id, pause }
  const { offset: at, length } = known.sizeOf(id)
  const offset = plan.off === 'where one stalls' ? stallsAt(id, before, at) : Math.max(at + plan.off, 0)
  const chunk = chunkOf(plan.chunk, length === undefined ? undefined : length - offset, known)
  return {
    kind,
    id,
    pause,
    offset,
    declared: declaredBy(plan.declares, offset + (chunk?.bytes.length ?? 0), length),
    chunk,
  }
}

function stallsAt(id: string, calls: readonly Call[], at: number): number {
  for (const call of calls) {
    if (call.id !== id || call.kind !== 'patch' || call.chunk === undefined) continue
    const { bytes, piece, stalls } = call.chunk
    const pieces = Math.ceil(bytes.length / piece)
    return call.offset + (stalls === 'last piece' ? Math.max(pieces - 1, 0) * piece : bytes.length)
  }
  return at
}

function declaredBy(
  declares: 'nothing' | 'known' | number,
  end: number,
  length: number | undefined,
): number | undefined {
  if (declares === 'nothing') return undefined
  return declares === 'known' ? (length ?? end) : Math.max(end + declares, 0)
}

function chunkOf(plan: ChunkPlan | undefined, room = 5, known: Known): Chunk | undefined {
  if (plan === undefined) return undefined
  const { size, form, stated, checksum, ...rest } = plan
  const bytes = known.newBytes(Math.max(size === 'rest' ? room : size === 'one too many' ? room + 1 : size, 0))
  // Bytes that are there as a whole can neither break off nor stall.
  const cut = plan.cut && form !== 'whole'
  return {
    ...rest,
    bytes,
    form,
    cut,
    stalls: form === 'whole' ? 'nothing' : plan.stalls,
    stated: stated || form === 'gathered' ? bytes.length + (cut ? 2 : 0) : undefined,
    checksum: checksum && checksumOf(checksum.where, checksum.kind, bytes),
  }
}

function checksumOf(where: Checksum['where'], kind: (typeof CHECKSUMS)[number], bytes: Buffer): Checksum {
  const digest = (name: string, of: Buffer): string => `${name} ${createHash(name).update(of).digest('base64')}`
  switch (kind) {
    case 'wrong':
      return { where, verdict: 'wrong', value: digest('sha1', Buffer.concat([bytes, Buffer.from('!')])) }
    case 'unknown':
      return { where, verdict: 'invalid', value: digest('sha1', bytes).replace('sha1', 'sha3') }
    case 'malformed':
      return { where, verdict: 'invalid', value: 'sha1 !' }
    case 'missing':
      // A header that is missing is none.
      return { where: 'trailer', verdict: 'invalid', value: undefined }
    default:
      return { where, verdict: 'right', value: digest(kind, bytes) }
  }
}
