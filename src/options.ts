// The options of a server, and the form in which the rest of the code sees them.

import type { ChecksumAlgorithm } from './checksum.js'
import type { CorsOptions } from './cors.js'
import type { HookRequest, Hooks, UploadEvent } from './hooks.js'
import type { PaceOptions } from './pace.js'
import type { Storage } from './storage/storage.js'

/** Where warnings and errors go. `console` and pino have this shape. */
export interface Logger {
  warn(message: unknown, ...rest: unknown[]): void
  error(message: unknown, ...rest: unknown[]): void
}

/** Which request an error came from. */
export interface ErrorContext {
  readonly method: string
  readonly path: string
  /** What the adapter passed as `context`: Express's request, say. */
  readonly context: unknown
}

/**
 * What must have reached the disk before an answer: `completed`: a whole upload, before the answer that says so;
 * `committed`: every chunk, before its answer; `none`: nothing, the operating system decides.
 */
export type Durability = 'completed' | 'committed' | 'none'

/**
 * Options of {@link TusServer}.
 * @typeParam Context - what the adapter passes to hooks: Express's `Request`, say
 */
export interface TusServerOptions<Context = unknown> extends Hooks<Context>, PaceOptions {
  /** Where uploads live. */
  readonly storage: Storage
  /**
   * The path below which the server itself routes. A mount replaces it: behind `app.use('/api/files', …)` it does not
   * matter.
   * @default '/files'
   */
  readonly basePath?: string | undefined
  /**
   * The largest upload, in bytes, or a function that says it for a request (`undefined`: no limit). Larger ones are
   * refused with 413 before their body is read.
   * @default no limit
   */
  readonly maxSize?: MaxSize<Context> | undefined
  /**
   * The largest body of one request, in bytes. Larger ones are refused with 413, before they are read where they state
   * their length.
   * @default no limit
   */
  readonly maxChunkSize?: number | undefined
  /**
   * The longest `Upload-Metadata`, in bytes. Node itself refuses requests whose headers have more than 16 KiB in all.
   * @default 8192
   */
  readonly maxMetadataSize?: number | undefined
  /**
   * How many bytes must stay free where uploads are stored: creation is refused with 507 if the length that is declared
   * would not leave so much, or, where no length is known yet, if less is free now. What other unfinished uploads still
   * miss is not counted, so leave room for them. A final upload of a concatenation counts with the sum of its lengths,
   * and is copied into its file only while that leaves so much. The storage must know how much is free (`SQLiteStorage`
   * does).
   * @default 0: nothing is refused before the disk is full
   */
  readonly minFreeBytes?: number | undefined
  /**
   * The algorithms of the checksum extension. `[]` switches it off.
   * @default sha1, sha256, sha512, md5, crc32
   */
  readonly checksumAlgorithms?: readonly ChecksumAlgorithm[] | undefined
  /**
   * Answers pages of other origins. Leave it off where the application sees to it, with the package `cors` for
   * instance.
   * @default false
   */
  readonly cors?: CorsOptions | false | undefined
  /**
   * Whether GET on a finished upload's URL sends its bytes, with ranges.
   * @default false
   */
  readonly downloads?: boolean | undefined
  /**
   * Whether clients may remove uploads by DELETE, the termination extension. With `downloads`, whoever has a link to a
   * file may delete it otherwise, unless a hook keeps them from it.
   * @default true
   */
  readonly termination?: boolean | undefined
  /**
   * When uploads expire. `false` says that they are meant to stay, which silences the warning of a server in production
   * that has neither this nor a hook that says who may create uploads. The storage must be able to find expired uploads
   * (all of this package are).
   * @default never
   */
  readonly expiration?: ExpirationOptions | false | undefined
  /**
   * Uploads made of others (parallel uploads): `false` switches them off.
   * @default on, if the storage can
   */
  readonly concatenation?: ConcatenationOptions | false | undefined
  /**
   * Whether the answer that completes an upload waits for `onUploadComplete`: `'await'`, or `'background'` for work
   * that takes longer than a client waits. While it is awaited and not done, HEAD is answered by 423.
   * @default 'await'
   */
  readonly completion?: 'await' | 'background' | undefined
  /**
   * How many calls of `onUploadComplete` run at the same time where no request has begun them: in the background, and
   * when they are tried again.
   * @default 16
   */
  readonly completionConcurrency?: number | undefined
  /**
   * How long one call of `onUploadComplete` may take, in milliseconds; `0` for ever. After that the try counts as
   * failed and is made again later. The call itself cannot be ended: its `signal` is aborted, and its result counts no
   * more.
   * @default 3600000 (1 hour)
   */
  readonly hookTimeoutMs?: number | undefined
  /**
   * Makes the ids of uploads: letters, digits, `-` and `_`, up to 200 of them. Ids must never come again.
   * @default 40 hexadecimal digits: the time in seconds, and 128 random bits
   */
  readonly generateId?: ((request: HookRequest<Context>) => string | Promise<string>) | undefined
  /**
   * Whether `Location` has scheme and host, as the adapter sees them: in Express `req.protocol` and `req.host`, so the
   * setting `trust proxy` decides. Otherwise it is a path, right behind every proxy that keeps the path.
   * @default false
   */
  readonly absoluteLocation?: boolean | undefined
  /**
   * What upload URLs begin with, where a proxy changes the path: `'https://cdn.example/up'`. Takes the place of the
   * mount in `Location`. A function says it for a request; `undefined` is the mount.
   * @default the mount that the client used
   */
  readonly publicUrl?: PublicUrl<Context> | undefined
  /**
   * Makes the `Location` of a new upload, from the one that it would have: to add a token to its query, say. Returns an
   * http or https URL, or a path. That of a partial upload ends with its id, before the query, since clients name it in
   * `Upload-Concat`. Throwing a TusError refuses the creation.
   * @default what `publicUrl` and `absoluteLocation` make of it
   */
  readonly location?: ((event: LocationEvent<Context>) => string | Promise<string>) | undefined
  /**
   * What must have reached the disk before an answer.
   * @default 'completed'
   */
  readonly durability?: Durability | undefined
  /**
   * How long a request waits for an upload that another one is writing to and does not let go of, in milliseconds.
   * Then it is answered by 423.
   * @default 15000
   */
  readonly claimWaitMs?: number | undefined
  /**
   * How long the right to write to an upload lasts unless it is renewed, in milliseconds: after so long an upload is
   * free again whose process hangs. (One whose process died is free at once.) The same for all processes that share a
   * storage.
   * @default 10000
   */
  readonly leaseMs?: number | undefined
  /**
   * How many bodies are read at the same time. The others wait, with TCP's own backpressure. With more of them than
   * processors the event loop waits for its turn among the threads that write.
   * @default as many as there are processors, but at least 2 and at most 4
   */
  readonly maxActiveBodies?: number | undefined
  /**
   * How many bytes of bodies may be held in memory at the same time.
   * @default 67108864 (64 MiB)
   */
  readonly memoryBudget?: number | undefined
  /**
   * A long body is committed before it has brought more bytes than this: what a crash in the middle of it loses at
   * most.
   * @default 16777216 (16 MiB)
   */
  readonly segmentBytes?: number | undefined
  /**
   * A slow body is committed each time so many milliseconds have gone by, where that comes before `segmentBytes`. One
   * that brings less than 16 KiB in that time is committed less and less often, after 64 times as long at the latest,
   * so that a body of a byte per second does not cost a commit for each of them. That is what a crash loses; where the
   * connection breaks, all that arrived is committed.
   * @default 1000
   */
  readonly segmentMs?: number | undefined
  /**
   * Where warnings and errors go.
   * @default console
   */
  readonly logger?: Logger | undefined
  /**
   * Called with every error that a client got a bare 5xx for, with what kept a finished file from being sent, and with
   * what went wrong in the background.
   */
  readonly onError?: ((error: unknown, context: ErrorContext | undefined) => void) | undefined
  /**
   * The clock, in milliseconds since the epoch; for tests.
   * @default Date.now
   */
  readonly now?: (() => number) | undefined
}

/** When uploads expire. */
export interface ExpirationOptions {
  /** An unfinished upload expires so many milliseconds after its creation or its last chunk. */
  readonly unfinishedAfterMs: number
  /**
   * A finished upload expires so many milliseconds after its last chunk.
   * @default never
   */
  readonly finishedAfterMs?: number | undefined
  /**
   * How often expired uploads are looked for, in milliseconds. Several processes share the work: one of them does it.
   * @default 60000
   */
  readonly sweepEveryMs?: number | undefined
  /**
   * For how long a request for an expired upload is answered by 410 instead of 404, in milliseconds.
   * @default 604800000 (7 days)
   */
  readonly rememberMs?: number | undefined
}

/** What becomes of partial uploads. */
export interface ConcatenationOptions {
  /**
   * Whether partial uploads are kept after a final upload was made of them, so that they can be used again; they take
   * up their space once more. Otherwise they are removed as soon as the final upload has a file of its own.
   * @default false
   */
  readonly keepPartials?: boolean | undefined
  /**
   * How many partial uploads a final one may be made of; one that comes several times counts as often. More are refused
   * with 413.
   * @default 64
   */
  readonly maxPartials?: number | undefined
}

/** What upload URLs begin with, or a function that says it for a request. */
export type PublicUrl<Context = unknown> =
  | string
  | ((request: HookRequest<Context>) => string | undefined | Promise<string | undefined>)

/** An upload that is about to be created, and its URL. */
export interface LocationEvent<Context = unknown> extends UploadEvent<Context> {
  /**
   * The `Location` that it would have: a path, or an absolute URL where `publicUrl` or `absoluteLocation` make it one.
   */
  readonly url: string
}

/** The largest upload in bytes, or a function that says it for a request. */
export type MaxSize<Context = unknown> =
  | number
  | ((request: HookRequest<Context>) => number | undefined | Promise<number | undefined>)

/** Options with all defaults filled in, so that none is `undefined`. */
type Resolved<T> = { readonly [Key in keyof T]-?: Exclude<T[Key], undefined> }

/** {@link ExpirationOptions} with all defaults filled in. */
export interface ResolvedExpiration extends Resolved<Omit<ExpirationOptions, 'finishedAfterMs'>> {
  readonly finishedAfterMs: number | undefined
}

type Unset =
  | 'expiration'
  | 'concatenation'
  | 'maxSize'
  | 'maxChunkSize'
  | 'onError'
  | 'generateId'
  | 'publicUrl'
  | 'location'
  | keyof Hooks

/** Options with all defaults filled in. */
export interface ResolvedOptions extends Resolved<Omit<TusServerOptions, Unset>> {
  readonly maxSize: MaxSize | undefined
  readonly maxChunkSize: number
  readonly generateId: ((request: HookRequest) => string | Promise<string>) | undefined
  readonly publicUrl: PublicUrl | undefined
  readonly location: ((event: LocationEvent) => string | Promise<string>) | undefined
  readonly expiration: ResolvedExpiration | undefined
  /** Whether uploads can be made of others. */
  readonly concatenation: boolean
  readonly keepPartials: boolean
  readonly maxPartials: number
  readonly hooks: Hooks
  /** Whether nothing says who may create uploads, nor that unfinished ones end, and nothing says that this is meant. */
  readonly isOpen: boolean
  readonly onError: (error: unknown, context: ErrorContext | undefined) => void
}
