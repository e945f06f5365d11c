// The core as what a case runs against: no framework, no socket.

import { type RequestBody, type Storage, TusServer, type TusServerOptions } from '../../src/index.js'
import { Source } from '../core/support.js'
import type { Case } from './case.js'
import type { Answer, Filled, Stalled, Subject } from './run-case.js'

const ORIGIN = 'http://localhost'

/** In which form the core gets the bytes of bodies whose length is known. */
export type BodyForm = (bytes: Uint8Array) => RequestBody

/** A server, and what there is to know of it. */
export interface Running {
  readonly tus: TusServer
  readonly storage: Storage
  readonly reported: unknown[]
  readonly clock: { ms: number } | undefined
}

/** Makes the storage of a server. */
export type OpenStorage = (options: { readonly now?: () => number }) => Storage

/** Starts a server for a case. */
export function start(open: OpenStorage, { options, clock: startMs }: Partial<Case>): Running {
  const reported: unknown[] = []
  const report = (message: unknown): void => void reported.push(message)
  const clock = startMs === undefined ? undefined : { ms: startMs }
  const time = clock && { now: () => clock.ms }
  const storage = open({ ...time })
  const settings: TusServerOptions = { storage, logger: { warn: report, error: report }, ...time, ...options }
  return { tus: new TusServer(settings), storage, reported, clock }
}

/** A running server, asked in one form of bodies. */
export function coreSubject({ tus, storage, clock }: Running, formOf: BodyForm): Subject {
  const handle = async (
    { method, path, headers, trailers = {} }: Filled,
    length: string | undefined,
    body: RequestBody | undefined,
  ) => {
    const stated = length === undefined ? {} : { 'Content-Length': length }
    const inLowerCase = Object.entries(trailers).map(([name, value]) => [name.toLowerCase(), value])
    const options = { origin: ORIGIN, trailers: () => Object.fromEntries(inLowerCase) as Record<string, string> }
    return tus.handleRequest(method, path, { ...headers, ...stated }, body, options)
  }
  const answerOf = async (request: Filled, response: Awaited<ReturnType<typeof handle>>): Promise<Answer> => {
    if (response.destroy) throw new Error('the connection was cut')
    const found = Object.entries(response.headers).map(([name, value]) => [name.toLowerCase(), value])
    const answer = { status: response.status, headers: Object.fromEntries(found) as Record<string, string> }
    if (request.method !== 'GET') return answer
    return { ...answer, body: await textOf(response.body) }
  }
  return {
    origin: ORIGIN,
    passesOn: false,
    async send(request) {
      const { body, chunked, cut, waits, contentLength } = request
      const bytes = body === undefined ? undefined : Buffer.from(body)
      const length = chunked || bytes === undefined ? undefined : (contentLength ?? String(bytes.length))
      if (bytes !== undefined && waits) {
        let asked = false
        const waiting = chunksOf(bytes, () => {
          asked = true
        })
        return { ...(await answerOf(request, await handle(request, length, waiting))), asked }
      }
      const input = bytes && (cut ? broken(bytes) : (chunked ? chunksOf : formOf)(bytes))
      return answerOf(request, await handle(request, length, input))
    },
    async begin(request): Promise<Stalled> {
      const { body = '', chunked, contentLength } = request
      const source = new Source()
      for (const byte of Buffer.from(body)) source.push(Uint8Array.of(byte))
      const response = handle(request, chunked ? undefined : contentLength, source)
      await source.hungry()
      return {
        async goOn(rest) {
          source.push(rest).end()
          return answerOf(request, await response)
        },
        cutOff: async () => expect(await response).toMatchObject({ destroy: true }),
      }
    },
    async stored(id) {
      const { offset } = (await storage.get(id)) ?? { offset: 0 }
      return textOf(storage.read?.(id, 0, offset))
    },
    async holdElsewhere(id) {
      expect(await storage.claim?.(id, { owner: 'another host', ttlMs: 60_000 })).toHaveProperty('fence')
    },
    pass(ms) {
      if (clock === undefined) throw new Error('a case in which time goes by needs a clock')
      clock.ms += ms
    },
    cleanUp: async () => (await tus.cleanUp()).expired,
  }
}

async function textOf(body: RequestBody = new Uint8Array(0)): Promise<string> {
  const chunks: Uint8Array[] = []
  if (body instanceof Uint8Array) chunks.push(body)
  else for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** One byte at a time. */
export async function* chunksOf(bytes: Uint8Array, onAsked: () => void = () => {}): AsyncGenerator<Uint8Array> {
  onAsked()
  for (let start = 0; start < bytes.length; start++) yield bytes.subarray(start, start + 1)
}

async function* broken(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield* chunksOf(bytes)
  throw new Error('the connection broke')
}
