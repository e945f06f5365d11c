// Sends made-up requests to a server, and compares it with the model after each round of them.

import { type RequestHeaders, type Storage, type TusResponse, TusServer } from '../../src/index.js'
import { CHUNK, deferred, overriding, quietLogger, VERSION } from '../core/support.js'
import { bodyOf, pauseFor } from './bodies.js'
import { type Call, callsOf, type Known, type Pause, type Plan } from './calls.js'
import { type Answer, type Answered, explain, type Limits, type State } from './protocol-model.js'

/** No request takes so long unless it hangs, in milliseconds. */
const HANGS_AFTER_MS = 10_000

/** A server, and what it was told. */
export interface Subject {
  readonly tus: TusServer
  readonly storage: Storage
  readonly limits: Limits
  readonly errors: readonly unknown[]
}

/** Starts a server whose ids are those that requests ask for. */
export function startSubject(storage: Storage, limits: Limits): Subject {
  const logger = quietLogger()
  const tus = new TusServer({
    storage,
    logger,
    maxSize: limits.maxSize,
    segmentBytes: limits.segments ? 2 : 1024,
    // No clock decides where a body is committed.
    segmentMs: 2 ** 31 - 1,
    downloads: true,
    durability: 'none',
    generateId: ({ headers }) => String(headers['x-id']),
  })
  return { tus, storage, limits, errors: logger.errors }
}

/** A storage that takes its time: before each call others have their turn. */
export function slow(storage: Storage, pauses: readonly Pause[]): Storage {
  let calls = 0
  const next = (): Promise<void> => pauseFor(pauses[calls++ % pauses.length] ?? 0)
  const slowed =
    <Args extends unknown[], Result>(method: (...args: Args) => Result | Promise<Result>) =>
    async (...args: Args): Promise<Result> => {
      await next()
      return method(...args)
    }
  const { create, get, claim, release, remove } = storage
  return overriding(storage, {
    create: slowed(create.bind(storage)),
    get: slowed(get.bind(storage)),
    ...(claim && { claim: slowed(claim.bind(storage)) }),
    ...(release && { release: slowed(release.bind(storage)) }),
    remove: slowed(remove.bind(storage)),
    openStage: slowed(async (id, fence, from) => {
      const stage = await storage.openStage(id, fence, from)
      return {
        write: slowed(async (chunks) => stage.write(chunks)),
        commit: slowed(async (commit) => stage.commit(commit)),
        discard: slowed(async () => stage.discard()),
        close: slowed(async () => stage.close()),
      }
    }),
  })
}

let runs = 0

/** Sends rounds of requests. Throws when an answer or what is stored is not what the model says. */
export async function runRounds(subject: Subject, rounds: ReadonlyArray<readonly Plan[]>): Promise<void> {
  const run = runs++
  const ids: string[] = []
  let created = 0
  let written = 0
  let state: State = new Map()
  const known: Known = {
    ids,
    sizeOf: (id) => ({ offset: state.get(id)?.bytes.length ?? 0, length: state.get(id)?.length }),
    newId: () => `${run}-${created++}`,
    newBytes: (size) => Buffer.from(Array.from({ length: size }, () => (written = (written + 37) % 251))),
  }
  const log: string[] = []
  for (const plans of rounds) {
    // Nobody knows the URL of an upload before the answer to its creation.
    const calls = callsOf(plans, known)
    for (const { kind, id } of calls) if (kind === 'create') ids.unshift(id)
    const requests = await inTime(sendAll(subject, calls), log)
    log.push(...requests.map(describe))
    const states = explain(state, requests, subject.limits)
    if (states.length === 0) throw new Error(`no order explains these answers:\n${log.join('\n')}`)
    state = await theOneThatIs(subject, states, ids, log)
    if (subject.errors.length > 0) throw new Error(`reported: ${subject.errors.join()}\n${log.join('\n')}`)
  }
}

async function inTime<T>(work: Promise<T>, log: readonly string[]): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer, after:\n${log.join('\n')}`)), HANGS_AFTER_MS)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

async function sendAll(subject: Subject, calls: readonly Call[]): Promise<readonly Answered[]> {
  const stalled = deferred()
  const othersAnswered = deferred()
  let stalling = calls.filter(stalls).length
  let others = calls.length - stalling
  if (stalling === 0) stalled.resolve()
  if (others === 0) othersAnswered.resolve()
  const stall = (): Promise<void> => {
    stalled.resolve()
    return othersAnswered.promise
  }
  return Promise.all(
    calls.map(async (call) => {
      // Those that stall themselves wait for nobody, so that somebody does.
      if (call.pause !== 'until one stalls') await pauseFor(call.pause)
      else if (!stalls(call)) await stalled.promise
      const answer = await send(subject, call, stall)
      if (stalls(call) && --stalling === 0) stalled.resolve()
      if (!stalls(call) && --others === 0) othersAnswered.resolve()
      return { call, answer }
    }),
  )
}

function stalls(call: Call): boolean {
  return 'chunk' in call && call.chunk !== undefined && call.chunk.stalls !== 'nothing'
}

async function send({ tus }: Subject, call: Call, stall: () => Promise<void>): Promise<Answer> {
  const { kind, id } = call
  const path = kind === 'create' ? '/files' : `/files/${id}`
  const chunk = 'chunk' in call ? call.chunk : undefined
  const checksum = chunk?.checksum
  const headers: Record<string, string | undefined> = {
    ...(kind === 'get' ? {} : VERSION),
    ...(kind === 'patch' || chunk ? CHUNK : {}),
    'Content-Length': chunk ? chunk.stated?.toString() : '0',
    'Upload-Checksum': checksum?.where === 'header' ? checksum.value : undefined,
    Trailer: checksum?.where === 'trailer' ? 'Upload-Checksum' : undefined,
  }
  if (call.kind === 'create') {
    Object.assign(headers, { 'X-Id': id, 'Upload-Length': call.length?.toString() })
    if (call.length === undefined) headers['Upload-Defer-Length'] = '1'
  }
  if (call.kind === 'patch') {
    Object.assign(headers, { 'Upload-Offset': String(call.offset), 'Upload-Length': call.declared?.toString() })
  }
  const method = { create: 'POST', patch: 'PATCH', head: 'HEAD', delete: 'DELETE', get: 'GET' }[kind]
  const trailers = (): RequestHeaders => ({ 'upload-checksum': checksum?.value })
  const body = chunk && bodyOf(chunk, stall)
  return answerOf(call, await tus.handleRequest(method, path, headers, body, { trailers }))
}

async function answerOf({ kind }: Call, { status, headers, body, destroy = false }: TusResponse): Promise<Answer> {
  const length = headers['Upload-Defer-Length'] === '1' ? ('deferred' as const) : numberOf(headers['Upload-Length'])
  const answer = { status, cutOff: destroy, offset: numberOf(headers['Upload-Offset']), length }
  if (kind !== 'get' || status !== 200 || body === undefined) return { ...answer, body: undefined }
  try {
    return { ...answer, body: body instanceof Uint8Array ? Buffer.from(body) : await bytesOf(body) }
  } catch {
    return { ...answer, cutOff: true, body: undefined }
  }
}

function numberOf(header: string | undefined): number | undefined {
  return header === undefined ? undefined : Number(header)
}

async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(Uint8Array.from(chunk))
  return Buffer.concat(chunks)
}

/** The state that the server is in, seen by HEAD and in the storage. */
async function theOneThatIs(
  subject: Subject,
  states: readonly State[],
  ids: readonly string[],
  log: string[],
): Promise<State> {
  const looks = ids.map((id): Call => ({ kind: 'head', id, pause: 0 }))
  const heads: Answered[] = []
  for (const call of looks) heads.push({ call, answer: await send(subject, call, () => Promise.resolve()) })
  const stored = new Map<string, Buffer>()
  for (const id of ids) {
    const upload = await subject.storage.get(id)
    if (upload !== undefined) stored.set(id, await bytesOf(subject.storage.read?.(id, 0, upload.offset) ?? none()))
  }
  const found = states.find(
    (state) =>
      heads.every((head) => explain(state, [head], subject.limits).length > 0) &&
      ids.every((id) => state.get(id)?.bytes.equals(stored.get(id) ?? Buffer.from('nothing')) ?? !stored.has(id)),
  )
  if (found !== undefined) return found
  const seen = heads.map((head) => `${describe(head)} ${stored.get(head.call.id)?.toString('hex')}`)
  throw new Error(`the uploads are not what they should be:\n${[...log, ...seen].join('\n')}`)
}

async function* none(): AsyncGenerator<Uint8Array> {}

/** A request and its answer, for whoever has to find out what went wrong. */
function describe({ call, answer }: Answered): string {
  const { kind, id, pause: _, ...rest } = call
  const text = JSON.stringify(rest, (_key, value) =>
    value?.type === 'Buffer' ? Buffer.from(value.data).toString('hex') : value,
  )
  const { status, cutOff, offset, length } = answer
  return `${kind} ${id} ${text} -> ${status}${cutOff ? ' cut off' : ''} offset ${offset} length ${length}`
}
