// The requests and answers that most cases consist of.

import type { Case, Expect, Headers, Request, Step } from './case.js'

export const CHUNK_TYPE = 'application/offset+octet-stream'
const VERSION = { 'Tus-Resumable': '1.0.0' }

/** Creates an upload. */
export function post(headers: Headers, rest: Partial<Request> = {}): Request {
  return { method: 'POST', headers: { ...VERSION, ...headers }, ...rest }
}

/** Creates an upload of a length. */
export function create(length: number, headers: Headers = {}, rest: Partial<Request> = {}): Request {
  return post({ 'Upload-Length': String(length), ...headers }, rest)
}

/** Creates an upload whose length comes later. */
export function createDeferred(headers: Headers = {}, rest: Partial<Request> = {}): Request {
  return post({ 'Upload-Defer-Length': '1', ...headers }, rest)
}

/** Creates an upload and sends its first bytes with it. */
export function createWith(body: string, headers: Headers, rest: Partial<Request> = {}): Request {
  return post({ 'Content-Type': CHUNK_TYPE, ...headers }, { body, ...rest })
}

/** Appends a chunk. */
export function patch(
  offset: number | string,
  body?: string,
  headers: Headers = {},
  rest: Partial<Request> = {},
): Request {
  return {
    method: 'PATCH',
    path: '{upload}',
    headers: { ...VERSION, 'Content-Type': CHUNK_TYPE, 'Upload-Offset': String(offset), ...headers },
    ...(body !== undefined && { body }),
    ...rest,
  }
}

/** Asks for the offset. */
export function head(path = '{upload}', headers: Headers = {}): Request {
  return { method: 'HEAD', path, headers: { ...VERSION, ...headers } }
}

/** Terminates an upload. */
export function terminate(path = '{upload}', headers: Headers = {}): Request {
  return { method: 'DELETE', path, headers: { ...VERSION, ...headers } }
}

/** Asks what the server can do. */
export function options(path = '/files', headers: Headers = {}): Request {
  return { method: 'OPTIONS', path, headers }
}

/** The answer to a creation. */
export const created: Expect = { status: 201, headers: { Location: /^\/files\/[A-Za-z0-9_-]+$/ } }

/** The answer to a chunk that was stored. */
export function storedUpTo(offset: number): Expect {
  return { status: 204, headers: { 'Upload-Offset': String(offset), 'Content-Type': null } }
}

/** A refusal. */
export function refused(status: number): Expect {
  return { status, headers: { 'Content-Type': 'text/plain; charset=utf-8' } }
}

/** A step: `request` is answered by `expect`. */
export function step(request: Request, expect: Expect): Step {
  return { request, expect }
}

/** A step: the upload stands at this offset. */
export function standsAt(offset: number, length?: number): Step {
  return step(head(), {
    status: 200,
    headers: {
      'Upload-Offset': String(offset),
      ...(length === undefined
        ? { 'Upload-Length': null, 'Upload-Defer-Length': '1' }
        : { 'Upload-Length': String(length), 'Upload-Defer-Length': null }),
    },
  })
}

/** Makes one case of each value; its title ends with the value. */
export function forEach<T>(values: readonly T[], title: string, steps: (value: T) => readonly Step[]): readonly Case[] {
  return values.map((value) => ({
    title: `${title}: ${JSON.stringify(value)}`,
    variantOf: title,
    steps: steps(value),
  }))
}
