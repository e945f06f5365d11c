// The form of a protocol test: data, so that the core and every adapter can be asked the same questions.

import type { TusServerOptions } from '../../src/index.js'

/** Headers of a request; `undefined` takes one out that a helper has put in, a list sends one several times. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

/** A request. `{name}` in path and headers stands for the path of the upload that was created `as` that name. */
export interface Request {
  readonly method: string
  /** @default '/files' */
  readonly path?: string
  readonly headers?: Headers
  readonly body?: string
  /** Sends the body with `Transfer-Encoding: chunked`, so that nobody knows its length beforehand. */
  readonly chunked?: boolean
  /** The `Content-Length`, where it is not that of the body. */
  readonly contentLength?: string
  /** Breaks the connection after the body. */
  readonly cut?: boolean
  /** The name under which later steps know the upload that this request creates. @default 'upload' */
  readonly as?: string
}

/** What must be in the answer. */
export interface Expect {
  readonly status: number
  /** Exact values, patterns, or `null` for headers that must not be there. */
  readonly headers?: Readonly<Record<string, string | RegExp | null>>
  /** The request is none of the upload server's, so an adapter hands it to the application (which answers 404 here). */
  readonly passedOn?: boolean
}

/** A request and its answer, or a look at what is stored. */
export type Step =
  | { readonly request: Request; readonly expect: Expect }
  | { readonly stored: string; readonly of?: string }

/** One test. */
export interface Case {
  /** MUST, SHOULD or MAY, the number of the rule in PROTOCOL.md, and the behaviour. */
  readonly title: string
  readonly options?: Pick<TusServerOptions, 'maxSize' | 'checksumAlgorithms' | 'cors'>
  readonly steps: readonly Step[]
}
