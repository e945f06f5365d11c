// The callbacks of an upload's life: what they get, and what they may change.

import { validateHeaderName, validateHeaderValue } from 'node:http'
import { anything, boolean, type Checks, checkOptions, show } from './check-options.js'
import type { Core } from './core.js'
import type { TusError } from './errors.js'
import { expiresAt } from './handlers/expiry.js'
import { parseUploadMetadata } from './headers/upload-metadata.js'
import { jsonCopy } from './json-copy.js'
import type { TusRequest } from './request.js'
import type { CompletionResult, Upload } from './upload.js'

/** The request that a hook runs for. */
export interface HookRequest<Context = unknown> {
  readonly method: string
  /** The path below the server's base path. */
  readonly path: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** What the adapter passed: behind the middleware Express's own request, so `new TusServer<express.Request>(…)`. */
  readonly context: Context
}

/** An upload as hooks see it. */
export interface HookUpload extends Omit<Upload, 'metadata' | 'holder' | 'completion' | 'published' | 'activeAtMs'> {
  /** When it expires, in milliseconds since the epoch; `undefined` if it doesn't, by the options of this server. */
  readonly expiresAtMs: number | undefined
  /** `Upload-Metadata`, decoded. An object without prototype; a key without a value has `''`. */
  readonly metadata: Readonly<Record<string, string>>
}

/** What {@link Hooks.onUploadCreate} may decide. */
export interface CreateDecision {
  /** The id, and so the last segment of the URL: letters, digits, `-` and `_`. Must be new. */
  readonly id?: string | undefined
  /**
   * The name of the finished file, below the storage's directory; `/` separates folders. Must be new unless `overwrite`
   * says otherwise. Names that no file system could keep, or one of them would take for another, are refused.
   */
  readonly name?: string | undefined
  /**
   * Whether the finished file takes the place of the file that has its name, in one step and only once it is whole. An
   * upload that had the name stays finished, but has no file any more; of several that are on their way at the same
   * time the last to finish counts.
   * @default false: an upload whose name is taken is refused by 409
   */
  readonly overwrite?: boolean | undefined
  /** Takes the place of the client's metadata. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
  /**
   * Values of the application's own, kept with the upload and never sent to clients, as JSON holds them: a date comes
   * back as a string, and what JSON can't hold (BigInt, Map, NaN) is an error.
   */
  readonly attributes?: Readonly<Record<string, unknown>> | undefined
}

/** A callback: it may be asynchronous, and is awaited. */
export type Hook<Event, Result = void> = (event: Event) => Result | Promise<Result>

/** A client's request, and the upload that it is about. */
export interface UploadEvent<Context = unknown> {
  readonly request: HookRequest<Context>
  readonly upload: HookUpload
}

/** A client's request, and the upload that it names; `undefined` if it names none that exists. */
export interface RequestEvent<Context = unknown> {
  readonly request: HookRequest<Context>
  readonly upload: HookUpload | undefined
}

/** A finished upload. */
export interface CompleteEvent<Context = unknown> {
  readonly upload: HookUpload
  /** The absolute path of the finished file, where the storage has files. */
  readonly path: string | undefined
  /** 1 at the first try. */
  readonly attempt: number
  /** The request that completed the upload; `undefined` if it is tried again, or in the background. */
  readonly request: HookRequest<Context> | undefined
  /** Aborted when the call has taken longer than `hookTimeoutMs`: its result counts no more. */
  readonly signal: AbortSignal
}

/** An upload that was removed. */
export interface TerminateEvent<Context = unknown> {
  /** `undefined` if no request caused it. */
  readonly request: HookRequest<Context> | undefined
  readonly upload: HookUpload
}

/**
 * The callbacks. All may be asynchronous and are awaited. Throwing a {@link TusError} refuses the request with its
 * status; throwing anything else is an unexpected error, answered by a bare 500.
 */
export interface Hooks<Context = unknown> {
  /**
   * Before anything else is done for a request, preflights aside: for authorisation. `upload` is the record where the
   * request names one that exists: the request acts on that one or is answered by 404. For a final upload it runs once
   * more with each of its partial uploads.
   */
  readonly onIncomingRequest?: Hook<RequestEvent<Context>> | undefined
  /** Before an upload is created. `upload.id` is the id that it will have unless the hook names another. */
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook that decides nothing returns nothing
  readonly onUploadCreate?: Hook<UploadEvent<Context>, CreateDecision | undefined | void> | undefined
  /**
   * After bytes were committed: the chunk, or a segment in the middle of a long one. Throwing a {@link TusError} stops
   * the upload and removes it, and final uploads that wait for it.
   */
  readonly onChunkReceived?: Hook<UploadEvent<Context>> | undefined
  /**
   * After all bytes of an upload are committed, at least once for each: if it fails, or the process dies before it has
   * returned, it runs again, until it succeeds. Not for partial uploads of a concatenation. What it returns becomes
   * part of the finishing answer. Throwing a {@link TusError} is a verdict: the upload is removed, and requests for it
   * are answered by that status from then on. Throwing anything else is a failure: it is tried again, later each time.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: a hook that answers nothing returns nothing
  readonly onUploadComplete?: Hook<CompleteEvent<Context>, CompletionResult | undefined | void> | undefined
  /**
   * Before an upload is removed by a client's request, and before anybody who writes to it is disturbed; once more if
   * it is another by the time that nobody writes any more (its offset, its length, that it is complete).
   */
  readonly onBeforeTerminate?: Hook<UploadEvent<Context>> | undefined
  /**
   * After an upload was removed: by a client's request, by {@link Hooks.onChunkReceived}, or because it expired. There
   * is nothing left to refuse: what it throws goes to the log, and changes no answer.
   */
  readonly onUploadTerminate?: Hook<TerminateEvent<Context>> | undefined
}

/** A request as hooks see it. */
export function hookRequest({ method, path, headers, options }: TusRequest): HookRequest {
  return { method, path, headers, context: options.context }
}

/** A record as hooks see it. */
export function hookUpload(core: Pick<Core, 'options'>, upload: Upload): HookUpload {
  // By name: a record may have more, which is its storage's own.
  const { id, name, length, offset, metadata, attributes, createdAtMs, complete, concat } = upload
  return {
    ...{ id, name, length, offset, attributes, createdAtMs, complete, concat },
    expiresAtMs: expiresAt(core, upload),
    metadata: (metadata && parseUploadMetadata(metadata)) || Object.create(null),
  }
}

const DECISION_CHECKS: Checks<CreateDecision> = {
  id: anything,
  name: (value) => (typeof value === 'string' ? undefined : 'a file name'),
  overwrite: boolean,
  metadata: (value) => (typeof value === 'object' && value !== null ? undefined : 'an object of strings'),
  attributes: (value) => (typeof value === 'object' && !Array.isArray(value) ? undefined : 'an object'),
}

/**
 * Checks what {@link Hooks.onUploadCreate} returned.
 * @throws TypeError for a property that there is not: what it is about would be forgotten without a word
 */
export function checkDecision(decision: CreateDecision): CreateDecision {
  return checkOptions('onUploadCreate', decision, DECISION_CHECKS, { isResult: true })
}

/**
 * The attributes as every storage keeps them: a copy, so that what the hook does to its object later changes no record.
 * @throws TypeError for what JSON can't hold
 */
export function copyAttributes(attributes: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const copy = jsonCopy('onUploadCreate: attributes', attributes)
  if (typeof copy === 'object' && copy !== null && !Array.isArray(copy)) return copy as Record<string, unknown>
  throw new TypeError(`onUploadCreate: attributes must be an object, not ${show(copy)}`)
}

/** Headers that clients go by, or that belong to the connection. */
const RESERVED_HEADER = /^(tus-.*|upload-.*|location|content-length|transfer-encoding|connection)$/i

/**
 * Checks what {@link Hooks.onUploadComplete} returned.
 * @throws TypeError if it can't be part of an answer that says that the upload is complete
 */
export function checkResult(result: unknown): CompletionResult | undefined {
  if (result === undefined || result === null) return undefined
  const { status, headers: given = {}, body } = result as CompletionResult
  const headers: Record<string, string> = {}
  if (status !== undefined && !(Number.isInteger(status) && status >= 200 && status <= 299)) {
    throw new TypeError(`onUploadComplete: status must be 200 to 299, not ${status}: throw to refuse an upload`)
  }
  if (body !== undefined && typeof body !== 'string') throw new TypeError('onUploadComplete: body must be a string')
  for (const [name, value] of Object.entries<unknown>(given)) {
    if (value === undefined) continue
    if (RESERVED_HEADER.test(name)) throw new TypeError(`onUploadComplete: the header ${name} is not its own to set`)
    headers[name] = headerValue(name, value)
  }
  return { status, headers, body }
}

/** A value as a storage keeps it: numbers, which `node:http` takes as well, become strings. */
function headerValue(name: string, given: unknown): string {
  const value = typeof given === 'number' ? String(given) : given
  try {
    validateHeaderName(name)
    if (typeof value !== 'string') throw new TypeError(`it must be a string, not ${show(given)}`)
    validateHeaderValue(name, value)
    return value
  } catch (cause) {
    throw new TypeError(`onUploadComplete: not a header: ${JSON.stringify(name)}`, { cause })
  }
}
