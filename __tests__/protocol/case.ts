// The form of a protocol test: data, so that the core and every adapter can be asked the same questions.

import type { TusServerOptions } from '../../src/index.js'

/** Headers of a request; `undefined` takes one out that a helper has put in, a list sends one several times. */
export type Headers = Readonly<Record<string, string | readonly string[] | undefined>>

/**
 * A request. `{name}` in path and headers (and in those of the answer) stands for the path of the upload that was created `as` that name, and
 * `{origin}` for scheme and host of the server.
 */
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
  /** What follows a chunked body. */
  readonly trailers?: Readonly<Record<string, string>>
  /** Sends `Expect: 100-continue`, and the body only when it is asked for. */
  readonly waits?: boolean
  /** The name under which later steps know the upload that this request creates. @default 'upload' */
  readonly as?: string
}

/** What must be in the answer. */
export interface Expect {
  readonly status: number
  /** Exact values, patterns, or `null` for headers that must not be there. */
  readonly headers?: Readonly<Record<string, string | RegExp | null>>
  readonly body?: string
  /** Whether a body that waits was asked for: by `100 Continue`, or by reading where there is no socket. */
  readonly asked?: boolean
  /** The request is none of the upload server's, so an adapter hands it to the application (which answers 404 here). */
  readonly passedOn?: boolean
}

/** One thing that is done, and what comes of it. */
export type Step =
  | { readonly request: Request; readonly expect: Expect }
  /** What is stored of an upload. */
  | { readonly stored: string; readonly of?: string }
  /** A request that stalls after what there is of its body. One at a time. */
  | { readonly begin: Request }
  /** The request that stalled sends this, and ends. */
  | { readonly goOn: string; readonly expect: Expect }
  /** The connection of the request that stalled is broken by the server. */
  | { readonly cutOff: true }
  /** Somebody on another host writes to an upload, and nobody can ask them to let go. */
  | { readonly heldElsewhere: string }
  /** Time goes by. */
  | { readonly passMs: number }
  /** Expired uploads are removed: so many. */
  | { readonly cleanUp: number }

/** One test. */
export interface Case {
  /** MUST, SHOULD or MAY, the number of the rule in docs/conformance.md (or a word for what is in none), and the behaviour. */
  readonly title: string
  /** What the title has in common with those of the same case with other values. */
  readonly variantOf?: string
  /** A case with options has a server of its own. */
  readonly options?: Omit<TusServerOptions, 'storage' | 'logger' | 'now'>
  /** When the case begins, in milliseconds since the epoch, on a clock that only `passMs` moves; else time is what it is. */
  readonly clock?: number
  readonly steps: readonly Step[]
}
