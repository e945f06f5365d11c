// Requests as fast-check makes them up: valid ones, valid ones with a twist or two, and wild ones.
import fc from 'fast-check'
import { anyByte, anyMethod, field, framing, NAMES, target, version } from './fuzz-values.js'

/** A request before it becomes bytes. `{0}` in a target or a value stands for the path of the first upload. */
export interface Draft {
  readonly method: string
  readonly target: string
  readonly version: string
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
  readonly body: string
  /** How the body says where it ends: rightly, or by a lie. */
  readonly framing: 'length' | 'chunks' | 'none' | 'too short' | 'too long' | 'bad chunks' | 'length and chunks'
}

/** One change to a request. */
export type Twist =
  | { readonly kind: 'method' | 'target' | 'version'; readonly value: string }
  | { readonly kind: 'set' | 'add'; readonly name: string; readonly value: string }
  | { readonly kind: 'drop' | 'repeat'; readonly name: string }
  | { readonly kind: 'framing'; readonly value: Draft['framing'] }
  /** Writes bytes into the finished request. */
  | { readonly kind: 'bytes'; readonly at: number; readonly value: string }

/** An upload that a conversation begins with. */
export interface UploadPlan {
  readonly length: number | 'deferred'
  readonly partial: boolean
  readonly metadata: string | undefined
  /** How many bytes come with the creation. */
  readonly first: number | undefined
}

/** A valid request for one of the uploads, or a wild one. */
export type Base =
  | { readonly kind: 'create'; readonly upload: UploadPlan }
  | { readonly kind: 'patch'; readonly on: number; readonly off: number; readonly size: number | 'rest' | 'too many' }
  | { readonly kind: 'final'; readonly of: readonly number[] }
  | { readonly kind: 'head' | 'get' | 'delete' | 'options'; readonly on: number }
  | { readonly kind: 'wild'; readonly draft: Draft }

/** One request of a conversation. */
export interface Step {
  readonly base: Base
  readonly twists: readonly Twist[]
  /** At which share of its bytes the connection is broken off; 1: not at all. */
  readonly until: number
}

/** A few uploads, and requests for them, each lane on connections of its own. */
export interface Conversation {
  readonly uploads: readonly UploadPlan[]
  readonly lanes: ReadonlyArray<readonly Step[]>
}

const twist: fc.Arbitrary<Twist> = fc.oneof(
  { weight: 30, arbitrary: field.map((one) => ({ kind: 'set' as const, ...one })) },
  { weight: 6, arbitrary: field.map((one) => ({ kind: 'add' as const, ...one })) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom('drop' as const, 'repeat' as const),
      name: fc.constantFrom(...NAMES),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('target' as const), value: target }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('method' as const), value: anyMethod }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('framing' as const), value: framing }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('bytes' as const),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      value: anyByte,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('version' as const), value: version }) },
)

const upload: fc.Arbitrary<UploadPlan> = fc.record({
  length: fc.oneof({ weight: 5, arbitrary: fc.nat(3000) }, fc.constant(5), fc.constant('deferred' as const)),
  partial: fc.oneof({ weight: 2, arbitrary: fc.constant(false) }, fc.constant(true)),
  metadata: fc.oneof(
    {
      weight: 15,
      arbitrary: fc.constantFrom(undefined, 'filename aGVsbG8udHh0', 'filename Li4vLi4veA==,a', '\xe4 5OQ='),
    },
    fc.constant('infected'),
  ),
  first: fc.oneof(fc.constant(undefined), fc.nat(200), fc.constant(3000)),
})

const on = fc.nat(2)
const SIMPLE = ['head', 'head', 'get', 'get', 'options'] as const
const base: fc.Arbitrary<Base> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('patch' as const),
      on,
      off: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, fc.integer({ min: -3, max: 3 })),
      size: fc.oneof(
        { weight: 4, arbitrary: fc.nat(500) },
        { weight: 3, arbitrary: fc.constant('rest' as const) },
        fc.constant('too many' as const),
        fc.constant(100_000),
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('create' as const),
      upload,
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      kind: fc.oneof({ weight: 24, arbitrary: fc.constantFrom(...SIMPLE) }, fc.constant('delete' as const)),
      on,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('final' as const), of: fc.array(on, { minLength: 1, maxLength: 4 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('wild' as const),
      draft: fc.record({
        method: anyMethod,
        target,
        version: fc.oneof({ weight: 9, arbitrary: fc.constant('HTTP/1.1') }, version),
        headers: fc.array(
          field.map(({ name, value }) => [name, value] as const),
          { maxLength: 6 },
        ),
        body: fc.oneof(fc.constant(''), anyByte),
        framing,
      }),
    }),
  },
)

const step: fc.Arbitrary<Step> = fc.record({
  base,
  twists: fc.oneof(
    { weight: 5, arbitrary: fc.constant([]) },
    { weight: 4, arbitrary: twist.map((one) => [one]) },
    fc.array(twist, { minLength: 2, maxLength: 3 }),
  ),
  until: fc.oneof({ weight: 40, arbitrary: fc.constant(1) }, fc.double({ min: 0, max: 1, noNaN: true })),
})

/** Everything that the fuzz test sends. */
export const conversations: fc.Arbitrary<Conversation> = fc.record({
  uploads: fc.array(upload, { minLength: 1, maxLength: 3 }),
  lanes: fc.oneof(
    { weight: 2, arbitrary: fc.array(step, { minLength: 4, maxLength: 30, size: 'max' }).map((steps) => [steps]) },
    fc.array(fc.array(step, { minLength: 1, maxLength: 12, size: 'max' }), { minLength: 2, maxLength: 3, size: 'max' }),
  ),
})
