// The protocol as a model: what a request may be answered, and what becomes of the uploads then.

import type { Call, Chunk } from './calls.js'

/** An upload. It is complete when its bytes are as many as its length. */
export interface ModelUpload {
  readonly length: number | undefined
  readonly bytes: Buffer
}

/** All uploads that there are. */
export type State = ReadonlyMap<string, ModelUpload>

/** An answer of the server. */
export interface Answer {
  readonly status: number
  /** Whether the connection is to be broken instead of answered, or while the body is sent. */
  readonly cutOff: boolean
  readonly offset: number | undefined
  readonly length: number | 'deferred' | undefined
  /** Known where the request is a GET that succeeds. */
  readonly body: Buffer | undefined
}

/** A request and its answer. */
export interface Answered {
  readonly call: Call
  readonly answer: Answer
}

/** What the server was told. */
export interface Limits {
  readonly maxSize: number
  /** Whether long bodies are committed in the middle. */
  readonly segments: boolean
}

/** One way in which a request may go. */
interface Outcome {
  readonly answer: Partial<Answer> & { readonly status: number }
  readonly state: State
}

/**
 * In which states the uploads may be after requests that were under way at the same time: there must be an order in
 * which each could have been answered as it was, had it been alone, or stopped by one that comes after it.
 * @returns none if no order explains the answers
 */
export function explain(state: State, requests: readonly Answered[], limits: Limits): readonly State[] {
  const explainRest = (before: State, rest: readonly Answered[]): readonly State[] => {
    if (rest.length === 0) return [before]
    return rest.flatMap((request) => {
      const others = rest.filter((other) => other !== request)
      const rivals = { later: onSame(request, others), all: onSame(request, requests) }
      return outcomesOf(before, request.call, limits, rivals)
        .filter(({ answer }) => isAnsweredBy(answer, request.answer))
        .flatMap((outcome) => explainRest(outcome.state, others))
    })
  }
  return explainRest(state, requests)
}

/** The requests for the same upload. */
interface Rivals {
  readonly later: readonly Answered[]
  readonly all: readonly Answered[]
}

function onSame({ call }: Answered, others: readonly Answered[]): readonly Answered[] {
  return others.filter((other) => other.call !== call && other.call.id === call.id)
}

/** Headers that the model says nothing of are not looked at; an offset that a refusal may have must be right. */
function isAnsweredBy(expected: Outcome['answer'], actual: Answer): boolean {
  const { status, cutOff = false, offset, length, body } = expected
  if (status !== actual.status || cutOff !== actual.cutOff) return false
  const optional = status >= 400 && actual.offset === undefined
  if (offset !== actual.offset && !optional) return false
  if (length !== actual.length) return false
  return body === undefined ? actual.body === undefined : (actual.body?.equals(body) ?? false)
}

/** In how many ways a request may go. Alone, there is one, but for where a body is committed in the middle. */
function outcomesOf(state: State, call: Call, limits: Limits, rivals: Rivals): readonly Outcome[] {
  switch (call.kind) {
    case 'create':
      return createdBy(state, call, limits)
    case 'patch':
      return patchedBy(state, call, limits, rivals)
    case 'head':
      return [simply(state, call), ...(limits.segments ? midway(state, call, rivals.later) : [])]
    case 'get':
      return gotBy(state, call, rivals)
    default:
      return [simply(state, call)]
  }
}

/** One that another request holds is not sent yet, and one that is removed while it is sent breaks off. */
function gotBy(state: State, call: Call, rivals: Rivals): readonly Outcome[] {
  const sent = simply(state, call)
  if (sent.answer.status !== 200 || rivals.all.length === 0) return [sent]
  const broken = { answer: { status: 200, cutOff: true }, state }
  return [sent, refused(state, 423), ...(rivals.all.some(removes) ? [broken] : [])]
}

function simply(state: State, { kind, id }: Call): Outcome {
  const upload = state.get(id)
  if (upload === undefined) return refused(state, 404)
  const { length, bytes } = upload
  if (kind === 'delete') return { answer: { status: 204 }, state: without(state, id) }
  if (kind === 'head') return { answer: { status: 200, offset: bytes.length, length: length ?? 'deferred' }, state }
  return length === bytes.length ? { answer: { status: 200, body: bytes }, state } : refused(state, 404)
}

/** What HEAD says between two segments of a body that it came too late to stop. */
function midway(state: State, { id }: Call, later: readonly Answered[]): readonly Outcome[] {
  const upload = state.get(id)
  if (upload === undefined) return []
  return later.flatMap(({ call }) => {
    if (call.kind !== 'patch' || call.offset !== upload.bytes.length || call.chunk?.checksum !== undefined) return []
    const length = upload.length ?? call.declared ?? ('deferred' as const)
    const counts = upTo(call.chunk?.bytes.length ?? 0).slice(1)
    return counts.map((count) => ({ answer: { status: 200, offset: call.offset + count, length }, state }))
  })
}

function createdBy(state: State, call: Call & { kind: 'create' }, { maxSize, segments }: Limits): readonly Outcome[] {
  const { id, length } = call
  if (length !== undefined && length > maxSize) return [refused(state, 413)]
  const chunk = call.chunk && hasBody(call.chunk) ? call.chunk : undefined
  const early = earlyRefusal(chunk, 0, length, maxSize)
  if (early !== undefined) return [refused(state, early)]
  const fresh: ModelUpload = { length, bytes: Buffer.alloc(0) }
  const after = with_(state, id, fresh)
  if (chunk === undefined) return [{ answer: { status: 201, ...(length === 0 && { offset: 0 }) }, state: after }]
  return storedBy(after, id, { chunk, length, maxSize, segments }).map((outcome) => {
    if (outcome.answer.status === 204) return { ...outcome, answer: { ...outcome.answer, status: 201 } }
    // Nobody could go on with what would be left behind; where the connection broke the server can't know.
    return outcome.answer.status === 400 && chunk.cut
      ? outcome
      : refused(state, outcome.answer.status, outcome.answer.offset)
  })
}

function patchedBy(
  state: State,
  call: Call & { kind: 'patch' },
  { maxSize, segments }: Limits,
  rivals: Rivals,
): readonly Outcome[] {
  const { id, offset, declared, chunk } = call
  const upload = state.get(id)
  if (upload === undefined) return [refused(state, 404)]
  const at = upload.bytes.length
  const length = upload.length ?? declared
  const early = refusalOfLength(call, upload, maxSize) ?? earlyRefusal(chunk, offset, length, maxSize)
  if (offset !== at) {
    const mismatch = refused(state, 409, at)
    // Where another one writes, the offset may still become the right one, and this may be wrong then nevertheless.
    const ahead = offset > at && early !== undefined && rivals.all.length > 0
    return [mismatch, ...(ahead ? [refused(state, early, at)] : []), ...tooKind(state, call, upload, rivals)]
  }
  const outcomes: Outcome[] = []
  if (early !== undefined) outcomes.push(refused(state, early, at))
  else outcomes.push(...storedBy(state, id, { chunk, length, maxSize, segments }))
  // Whoever holds an upload may have come further than it is left at in the end.
  if (rivals.all.some(isInVain)) outcomes.push(refused(state, 409, at))
  if (early === undefined && (rivals.later.some(takesOver) || rivals.all.some((rival) => disturbs(rival, at)))) {
    outcomes.push(...stoppedAt(state, id, { chunk, length, maxSize, segments }))
  }
  return outcomes
}

// To be forbidden here once the server does not do it any more: an empty PATCH beyond the end of a complete upload that
// another request holds gets 204 instead of 409.
function tooKind(
  state: State,
  { offset, chunk }: Call & { kind: 'patch' },
  { bytes, length }: ModelUpload,
  rivals: Rivals,
): readonly Outcome[] {
  const complete = bytes.length === length && offset > bytes.length
  const possible = complete && rivals.all.length > 0 && !(chunk && hasBody(chunk))
  return possible ? [{ answer: { status: 204, offset: bytes.length }, state }] : []
}

// The same: a PATCH where a body has come to of which that byte can't be kept stops it, and gets 409 nevertheless.
function disturbs({ call, answer }: Answered, at: number): boolean {
  return call.kind === 'patch' && answer.status === 409 && call.offset > at
}

/** What refuses the length that a chunk declares. */
function refusalOfLength(
  { offset, declared }: Call & { kind: 'patch' },
  { length }: ModelUpload,
  maxSize: number,
): number | undefined {
  if (declared === undefined) return undefined
  if ((length !== undefined && length !== declared) || declared < offset) return 400
  return declared > maxSize ? 413 : undefined
}

interface Storing {
  readonly chunk: Chunk | undefined
  /** The length of the upload, if known by now. */
  readonly length: number | undefined
  readonly maxSize: number
  readonly segments: boolean
}

/** What becomes of a body that nobody stops. */
function storedBy(state: State, id: string, { chunk, length, maxSize, segments }: Storing): readonly Outcome[] {
  const { bytes, checksum, cut = false } = chunk ?? { bytes: Buffer.alloc(0), checksum: undefined }
  const at = (state.get(id) as ModelUpload).bytes.length
  const room = (length ?? maxSize) - at
  if (bytes.length > room) {
    // What was committed of it before it was known to be too long stays.
    const most = segments && checksum === undefined ? Math.max(room - 1, 0) : 0
    return upTo(most).map((kept) => ({
      answer: { status: 413, offset: at + kept },
      state: kept === 0 ? state : grown(state, id, bytes.subarray(0, kept), length),
    }))
  }
  if (checksum !== undefined && cut) return [refused(state, 400, at)]
  if (checksum?.verdict === 'wrong') return [refused(state, 460, at)]
  if (checksum?.verdict === 'invalid') return [refused(state, 400, at)]
  if (cut) return [keeping(state, id, { bytes, length, status: 400 })]
  const after = grown(state, id, bytes, length)
  return [{ answer: { status: 204, offset: at + bytes.length }, state: after }]
}

/** What becomes of a body that another request stops: any part of it is kept, but none of one with a checksum. */
function stoppedAt(state: State, id: string, { chunk, length, maxSize }: Storing): readonly Outcome[] {
  const bytes = chunk?.bytes ?? Buffer.alloc(0)
  const at = (state.get(id) as ModelUpload).bytes.length
  const stopped = { status: 423, cutOff: true }
  if (chunk?.checksum !== undefined) return [{ answer: { ...stopped, offset: at }, state }]
  const most = Math.min(bytes.length, (length ?? maxSize) - at)
  return upTo(most).map((count) => {
    const { answer, state: after } = keeping(state, id, { bytes: bytes.subarray(0, count), length, status: 423 })
    return { answer: { ...answer, ...stopped }, state: after }
  })
}

/**
 * Keeps what arrived of a body that did not come to its end. Where that would be all of the upload, its last byte is
 * left to the next chunk, or the length if there is no such byte: only the end of a body completes an upload.
 */
function keeping(
  state: State,
  id: string,
  { bytes, length, status }: { readonly bytes: Buffer; readonly length: number | undefined; readonly status: number },
): Outcome {
  const upload = state.get(id) as ModelUpload
  const whole = upload.bytes.length + bytes.length === length
  const kept = whole ? bytes.subarray(0, Math.max(bytes.length - 1, 0)) : bytes
  const after = whole && kept.length === bytes.length ? state : grown(state, id, kept, length)
  return { answer: { status, offset: upload.bytes.length + kept.length }, state: after }
}

/** What refuses a body before any of it is read. */
function earlyRefusal(
  chunk: Chunk | undefined,
  at: number,
  length: number | undefined,
  maxSize: number,
): number | undefined {
  const { stated, checksum } = chunk ?? { stated: 0, checksum: undefined }
  if (stated !== undefined && at + stated > Math.min(length ?? maxSize, maxSize)) return 413
  return checksum?.where === 'header' && checksum.verdict === 'invalid' ? 400 : undefined
}

/** Whether there is a body at all, as far as a server can know beforehand. */
function hasBody({ stated, form, bytes }: Chunk): boolean {
  return form === 'whole' ? bytes.length > 0 : stated !== 0
}

/** Whether a request makes whoever writes to the upload stop. */
function takesOver({ call, answer }: Answered): boolean {
  if (call.kind === 'head' || call.kind === 'delete') return true
  return call.kind === 'patch' && answer.status !== 409
}

function removes({ call, answer }: Answered): boolean {
  return call.kind === 'delete' && answer.status === 204
}

/** Whether a request brought bytes that are not kept. */
function isInVain({ call, answer }: Answered): boolean {
  return call.kind === 'patch' && answer.status >= 400 && answer.status !== 409
}

function upTo(most: number): readonly number[] {
  return Array.from({ length: most + 1 }, (_, count) => count)
}

function refused(state: State, status: number, offset?: number): Outcome {
  return { answer: { status, ...(offset !== undefined && { offset }) }, state }
}

function with_(state: State, id: string, upload: ModelUpload): State {
  return new Map(state).set(id, upload)
}

function without(state: State, id: string): State {
  const after = new Map(state)
  after.delete(id)
  return after
}

function grown(state: State, id: string, bytes: Buffer, length: number | undefined): State {
  const { bytes: before } = state.get(id) as ModelUpload
  return with_(state, id, { length, bytes: Buffer.concat([before, bytes]) })
}
