// What goes into the core and what comes out: requests and responses without a framework and without a socket.

import { isUint8Array } from 'node:util/types'
import { show } from './check-options.js'
import { parseContentLength } from './headers/integer.js'

/** Headers of a request, as `node:http` gives them. Names may be in any case. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/**
 * The body of a request: bytes, or chunks as they arrive. An error that the iteration throws means that the connection
 * broke: what came before counts.
 */
export type RequestBody = Uint8Array | AsyncIterable<Uint8Array>

/** A body that an adapter made: it can be told to end early, and may gather itself into one chunk. */
export interface AdapterBody extends AsyncIterable<Uint8Array> {
  /** How many bytes the first pull gathers in memory before it yields them; 0 if the body is streamed. */
  readonly gathers: number
  /** All of the body, if it has arrived by now and is one to be gathered; then nothing is left of it to pull. */
  takeWhole?(): Uint8Array | undefined
  /** How many bytes have arrived, those that are being gathered included. */
  readonly received: number
  /** Whether there is something to be pulled at once: bytes, or the end. */
  readonly ready: boolean
  /** Whether all of it has arrived, read or not: it ends without anything more from the client. */
  readonly whole: boolean
  /** Streams the body after all, since there is no memory to gather it in. Called before the first pull. */
  streamInstead(): void
  /** Told of chunks whose bytes are stored, and needed no more. */
  release?(chunks: readonly Uint8Array[]): void
  /** Ends the body: a pending pull yields what was gathered so far, then the iteration is done. */
  stop(): void
}

/** Whether a body can be told to end early. */
export function isAdapterBody(body: RequestBody): body is AdapterBody {
  return 'gathers' in body && 'stop' in body
}

/** What an adapter knows of a request besides its method, path, headers and body. */
export interface HandleOptions {
  /**
   * The mount as the client sees it, for `Location`: a path (`/api/files`) or an absolute URL.
   * @default the server's `basePath`
   */
  readonly baseUrl?: string | undefined
  /**
   * Whether all headers have names in lower case and single values, as `node:http` has them: then they are not copied.
   */
  readonly plainHeaders?: boolean | undefined
  /** Scheme and host as the adapter sees them (`https://example.org`), for `absoluteLocation`. */
  readonly origin?: string | undefined
  /** Aborted when the client is gone, so that nothing waits for a claim in vain. Read only where something waits. */
  readonly signal?: AbortSignal | undefined
  /** Trailers of the request, asked for after its body has ended. */
  readonly trailers?: (() => RequestHeaders) | undefined
  /** Anything; hooks get it. The Express adapter passes Express's own request. */
  readonly context?: unknown
}

/** A request as handlers see it. */
export interface TusRequest {
  readonly method: string
  readonly path: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: RequestBody | undefined
  readonly options: HandleOptions
}

/** An answer. */
export interface TusResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array | AsyncIterable<Uint8Array> | undefined
  /**
   * Whether the connection should be destroyed instead of answered: another request took the upload over, so the
   * client behind this one is gone or has to learn that it lost; or the body came too slowly.
   */
  readonly destroy?: boolean | undefined
  /** The unexpected error behind a bare 500, for adapters that pass it on to their framework. */
  readonly error?: unknown
}

/** A request as handlers see it, from what {@link TusServer.handleRequest} was called with. */
export function toRequest(
  method: string,
  path: string,
  headers: RequestHeaders,
  body: RequestBody | undefined,
  options: HandleOptions,
): TusRequest {
  const plain = headers as Readonly<Record<string, string | undefined>>
  const normal = options.plainHeaders ? plain : normalizeHeaders(headers)
  return {
    method: methodOf(method, normal['x-http-method-override']),
    path,
    headers: normal,
    body: bodyOf(body),
    options,
  }
}

/**
 * The body in the only forms that the core knows: bytes of another realm (that of a test runner, say) are seen through
 * a Uint8Array of this one, and `null`, as `fetch` has it, is none.
 * @throws TypeError if it is neither bytes nor chunks of them
 */
function bodyOf(body: RequestBody | null | undefined): RequestBody | undefined {
  if (body === undefined || body === null) return undefined
  if (body instanceof Uint8Array) return body
  if (isUint8Array(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength)
  if (typeof (body as AsyncIterable<Uint8Array>)[Symbol.asyncIterator] === 'function') return body
  throw new TypeError(`handleRequest: body must be a Uint8Array or an async iterable of them, not ${show(body)}`)
}

/**
 * The method that counts, in capitals.
 * @param override - `X-HTTP-Method-Override`; an empty one names no method
 *   (https://tus.io/protocols/resumable-upload#x-http-method-override)
 */
export function methodOf(method: string, override: string | readonly string[] | undefined): string {
  const wanted = typeof override === 'string' ? override.trim() : ''
  return (wanted === '' ? method : wanted).toUpperCase()
}

/** Headers with names in lower case and single values; a header that came several times is a list. */
export function normalizeHeaders(headers: RequestHeaders): Record<string, string | undefined> {
  const result: Record<string, string | undefined> = Object.create(null)
  for (const name in headers) {
    const value = headers[name]
    if (value !== undefined) result[name.toLowerCase()] = typeof value === 'string' ? value : value.join(', ')
  }
  return result
}

/** Whether the headers announce a body, or bytes are given. */
export function hasBody({ headers, body }: TusRequest): boolean {
  if (body === undefined) return false
  if (body instanceof Uint8Array) return body.length > 0
  return parseContentLength(headers['content-length']) !== 0
}
