// What the server asks of a place where uploads live: their records and their bytes.

import type { CompletionResult, CompletionStep, Holder, NewUpload, Tombstone, Upload } from '../upload.js'

/** A value, or a promise of it: a synchronous backend returns values, an asynchronous one promises. */
export type Awaitable<T> = T | Promise<T>

/** Who asks for a claim, and for how long. */
export interface ClaimRequest {
  /** Names the server instance that wants the claim. */
  readonly owner: string
  /** How long the claim lasts unless it is renewed, in milliseconds. */
  readonly ttlMs: number
  /** A holder that is known to be dead: its claim may be taken over although it has not run out. */
  readonly dead?: string | undefined
  /**
   * A holder whose claim has run out whatever the storage's clock says, if it still is this one with this end: the
   * clock was set back since, or the holder ran before the system was started the last time.
   */
  readonly lapsed?: Holder | undefined
  /** Whether a complete upload that nobody holds stays without a claim: the newcomer has nothing to write then. */
  readonly unfinished?: boolean | undefined
}

/**
 * What asking for a claim leads to: the claim, or its present holder, or the upload that is complete and stays
 * unclaimed; `undefined` if there is no such upload.
 */
export type ClaimResult =
  | { readonly upload: Upload; readonly fence: number }
  | { readonly heldBy: Holder }
  | { readonly complete: Upload }
  | undefined

/** What becomes of an upload by a commit. */
export interface Commit {
  /** The new offset in bytes: at most what is staged. What is staged beyond it is forgotten. */
  readonly to: number
  /** The length of the whole upload in bytes, when it became known with this chunk. */
  readonly length?: number | undefined
  /** The new {@link Upload.activeAtMs}; `undefined`: as before. */
  readonly activeAtMs?: number | undefined
  /** Whether the upload is complete with it. */
  readonly complete?: boolean | undefined
  /** Whether bytes and record must have reached the disk before the commit settles. */
  readonly durable: boolean
  /**
   * Whether the bytes should reach the disk some time soon, without anybody waiting for it: so that a power loss in the
   * middle of a long upload does not cost all of it.
   */
  readonly syncSoon?: boolean | undefined
  /** Whether the claim ends with it: nothing follows but `close`. */
  readonly release?: boolean | undefined
  /** Says that the `hook` is due once the upload is complete, in the same transaction. */
  readonly completion?: CompletionRequest | undefined
}

/** Who does what is left to be done for a complete upload, and when. */
export interface CompletionRequest {
  /** The server instance that does it at once; `undefined`: whoever comes first. */
  readonly owner: string | undefined
  /** For how long nobody else may try, in milliseconds, unless that is prolonged. */
  readonly ttlMs: number
  /** A server instance that is known to be dead: its try may be taken over although it has not run out. */
  readonly dead?: string | undefined
}

/** How a try ended: for good, or it is followed by another one that begins with `step`. */
export type CompletionOutcome =
  | { readonly result: CompletionResult | undefined; readonly activeAtMs?: number | undefined }
  | { readonly retryAfterMs: number; readonly step: CompletionStep }

/**
 * Which expired uploads are wanted. Times are compared with {@link Upload.activeAtMs}, in milliseconds since the epoch.
 */
export interface ExpiredRequest {
  /** Unfinished uploads and partial ones, active at this time for the last time or before it. `undefined`: none. */
  readonly unfinishedSinceMs: number | undefined
  /** Finished uploads, likewise. */
  readonly finishedSinceMs: number | undefined
  /** How many at most. */
  readonly limit: number
}

/** Which due completions are wanted. */
export interface DueRequest {
  /** What is done next for them. */
  readonly step: CompletionStep
  /** How large the uploads may be, in bytes. */
  readonly maxBytes: number
  /** How many at most. */
  readonly limit: number
}

export type { CompletionStep } from '../upload.js'

/** What becomes of a final upload by its assembly. */
export interface Assembly {
  /** The new {@link Upload.activeAtMs}. */
  readonly activeAtMs: number
  /** Whether the record must have reached the disk before it settles. */
  readonly durable: boolean
  /** Who does what is left to be done; if not given, whoever comes first. */
  readonly completion?: CompletionRequest | undefined
}

/**
 * `ok`: the upload is complete by this call; `already`: by an earlier one; `unfinished`: a partial upload is;
 * `too-large`: the sum is above what the upload may have; `gone`: the upload or one of its partial uploads was removed.
 */
export type AssemblyResult = 'ok' | 'already' | 'unfinished' | 'too-large' | 'gone'

/** Why an upload was not created, in words for the application's author. */
export interface RefusedName {
  /**
   * `bad-name`: no file may have this name; `in-the-way`: another upload's name lies above or below it, or differs only
   * in what the file system ignores.
   */
  readonly refused: 'bad-name' | 'in-the-way'
  readonly reason: string
}

/**
 * `exists`: the id or the name is taken, or a final upload still refers to bytes of an upload that had the id;
 * `no-partial`: a partial upload that it names is not there, or is none; `crowded`: {@link MAX_WAITING_FINALS} wait for
 * one already.
 */
export type CreateResult = 'created' | 'exists' | 'no-partial' | 'crowded' | RefusedName

/**
 * How many final uploads may wait for one partial upload: each of its chunks keeps all of them from expiring, and its
 * last one assembles them.
 */
export const MAX_WAITING_FINALS = 16

/**
 * `ok`; `fenced`: the claim is lost, or was given back; `moved`: the offset is not the one that this stage began at or
 * left, or the upload is complete; `gone`: the upload was removed; `lost`: bytes that were committed are not there any
 * more, and the upload has gone back to those that are; `unpublished`: the upload is complete, and its file has no name
 * yet: {@link Storage.publish} says why, or gives it the name.
 */
export type CommitResult = 'ok' | 'fenced' | 'moved' | 'gone' | 'lost' | 'unpublished'

/** How a finished file gets its name after the commit that completed its upload. */
export interface PublishRequest {
  /** Whether the name must have reached the disk before the call settles. */
  readonly durable: boolean
  /** When it is tried again if it fails, in milliseconds from now. */
  readonly retryAfterMs: number
  /** A holder that is known to be dead: its claim keeps nothing from being published. */
  readonly dead?: string | undefined
}

/** What goes with the removal of an upload. */
export interface RemoveOptions {
  /** What is to be kept of it, where the storage can. */
  readonly tombstone?: Tombstone | undefined
  /** Whether it must stay removed after a power loss. */
  readonly durable?: boolean | undefined
  /** Whether a partial upload is removed although final uploads wait for it: their assembly is `gone` from then on. */
  readonly evenIfNeeded?: boolean | undefined
}

/**
 * `removed`; `needed`: a final upload waits for it, which keeps it; `fenced`: the claim is not, or no longer, this one;
 * `gone`: there is no such upload.
 */
export type RemoveResult = 'removed' | 'needed' | 'fenced' | 'gone'

/** Which uploads are listed. */
export interface ListRequest {
  /** What the page before returned; `undefined` for the first page. */
  readonly cursor?: string | undefined
  /** Only complete uploads (`true`), or only those that are not (`false`). */
  readonly complete?: boolean | undefined
  /** How many at most. */
  readonly limit: number
}

/** One page of a list. */
export interface ListResult {
  readonly uploads: readonly Upload[]
  /** Where the next page begins; `undefined` after the last one. */
  readonly cursor: string | undefined
}

/** The way bytes get into an upload. Sequential, with one owner: each call comes after the one before has settled. */
export interface Stage {
  /**
   * Stores bytes after those staged before. They count for nothing until a commit. If it fails, nothing of this call
   * is staged. A stage whose claim is lost need not store anything: its commit says so.
   * The bytes belong to the callee until the call settles, and to the caller again then, who may free them: copy what
   * is kept.
   */
  write(chunks: readonly Uint8Array[]): Awaitable<void>
  /**
   * Moves the offset over staged bytes: one transaction, only if the fence and the offset still are what this stage
   * knows. May be repeated, once per segment of a long body.
   */
  commit(commit: Commit): Awaitable<CommitResult>
  /** Back to the last commit: what was staged since is forgotten. */
  discard(): Awaitable<void>
  /** Frees what the stage holds (descriptors), after every write in flight has settled. May be called twice. */
  close(): Awaitable<void>
}

/** Restrictions of a storage on where a long body may be committed in the middle. */
export interface Segments {
  /** A commit that is not the upload's last covers at least so many bytes. */
  readonly minBytes: number
  /** An upload may consist of so many segments. */
  readonly maxPieces: number
}

/**
 * Where uploads live. Every method may return a value or a promise. The optional methods are capabilities: present
 * means supported.
 *
 * `resumable-upload/testing` exports the contract suite that a storage of your own should pass.
 */
export interface Storage {
  /**
   * Reserves the id and the file name. Nothing is overwritten unless the upload says so. Ids consist of `A-Z`, `a-z`,
   * `0-9`, `-` and `_`. From here on until a final upload is assembled, no partial upload of it can be removed. What is
   * done to `upload.attributes` later, or to those of a record that was read, changes nothing that is kept.
   */
  create(upload: NewUpload): Awaitable<CreateResult>
  /** Reads one upload. */
  get(id: string): Awaitable<Upload | undefined>
  /**
   * Opens the way for bytes.
   * @param fence - the number of the claim; a storage without claims gets numbers that only this process knows
   * @param from - the offset at which the bytes begin; equal to the committed one, or the commit will say `moved`
   */
  openStage(id: string, fence: number, from: number): Awaitable<Stage>
  /** Removes an upload, bytes and record, or says what keeps it. Nobody sees any of it once this has settled. */
  remove(id: string, fence: number, options?: RemoveOptions): Awaitable<RemoveResult>
  /** Frees everything. Nothing is called afterwards. */
  close(): Awaitable<void>

  /**
   * Takes the exclusive right to write, reading the upload in the same step. Each claim of an upload has a larger
   * number (the fence) than all before. A holder whose claim ran out may still write, without knowing it: none of its
   * bytes may ever take the place of a committed one.
   */
  claim?(id: string, request: ClaimRequest): Awaitable<ClaimResult>
  /** Prolongs a claim. `false` if it is lost. */
  renew?(id: string, fence: number, ttlMs: number): Awaitable<boolean>
  /**
   * Gives a claim back. Does nothing if it is lost.
   * @param activeAtMs - the new {@link Upload.activeAtMs}; if not given, as before
   */
  release?(id: string, fence: number, activeAtMs?: number): Awaitable<void>
  /** Where a long body may be committed in the middle. Anywhere, if absent. */
  readonly segments?: Segments | undefined
  /** A folder that all processes that share this storage on one host see: they tell each other there to let go. */
  readonly meetingPoint?: string | undefined
  /**
   * Reads committed bytes, `end` not included.
   * @throws an error with code `ERR_BYTES_GONE` if whatever they were in is not there any more. Its message goes to the
   *   log alone, so let it say where that was.
   */
  read?(id: string, start: number, end: number): AsyncIterable<Uint8Array>
  /** What is left of an upload that was removed. */
  tombstone?(id: string): Awaitable<Tombstone | undefined>
  /**
   * Uploads whose time is over, of each kind those first that were created first. None that is claimed: what moves does
   * not expire. No partial upload that a final one waits for, no final upload that waits for a partial one which is
   * claimed or was active since, and no finished upload that is not settled.
   */
  expired?(request: ExpiredRequest): Awaitable<readonly string[]>
  /**
   * Takes or prolongs a right that one server instance at a time has, by a name. `false` if another one has it. All ask
   * for the same time, so one that has more left than that is by a clock that was set back since, and over.
   */
  lease?(name: string, request: { readonly owner: string; readonly ttlMs: number }): Awaitable<boolean>
  /**
   * A bounded step of tidying up what a kill has left behind. What can't be removed keeps nothing else from being:
   * `failures` are the reasons.
   */
  vacuum?(limit: number): Awaitable<{ readonly more: boolean; readonly failures?: readonly unknown[] }>

  /**
   * Makes a final upload of its partial uploads, as soon as they are complete and nobody has a claim of one: it refers
   * to their bytes, nothing is copied. One transaction, and once done, doing it again changes nothing. It also says
   * that a `copy` is due.
   */
  assemble?(id: string, assembly: Assembly): Awaitable<AssemblyResult>
  /**
   * Makes the finished file of a complete upload, where there are files: one file of its own for an assembled one, and
   * its name if it lacks that. Once done, doing it again changes nothing.
   * @param attempt - the one that {@link Storage.takeCompletion} gave
   * @returns `false` if that try has run out, or the upload is gone
   */
  flatten?(id: string, attempt: number, durable: boolean): Awaitable<boolean>
  /** The final uploads that wait for a partial upload. */
  waitingFinals?(partial: string): Awaitable<readonly string[]>
  /**
   * Final uploads that wait for assembly although their partial uploads are complete or gone, in the order of their
   * ids: a kill came in between, or somebody has a claim of a partial one. To be found without a look at those that
   * have to wait.
   * @param after - only those whose ids come after this one
   */
  readyFinals?(limit: number, after?: string): Awaitable<readonly string[]>

  /**
   * Complete uploads for which a step is due now, the earliest first. None that is claimed: the commit that completed
   * it is not on the disk yet, or it is being removed.
   */
  dueCompletions?(request: DueRequest): Awaitable<readonly string[]>
  /**
   * Takes the right to do what is due. `undefined` if nothing is, the upload is claimed, or it is not published.
   */
  takeCompletion?(id: string, request: CompletionRequest): Awaitable<{ upload: Upload; attempt: number } | undefined>
  /** Prolongs that right. `false` if it is lost. */
  renewCompletion?(id: string, attempt: number, ttlMs: number): Awaitable<boolean>
  /** Says how it ended. `false` if the right was lost: then nothing is changed. */
  settleCompletion?(id: string, attempt: number, outcome: CompletionOutcome): Awaitable<boolean>
  /** Complete uploads whose finished files have no names yet and that nobody holds, those to be tried now. */
  unpublished?(limit: number): Awaitable<readonly string[]>
  /**
   * Gives the finished file of a complete upload its name, unless somebody holds the upload. May be repeated, and be
   * called by several at the same time.
   * @returns whether the upload is published by now
   * @throws what keeps the file from its name; the upload is kept, and due again
   */
  publish?(id: string, request: PublishRequest): Awaitable<boolean>
  /**
   * Uploads, page by page, in an order that never changes: one that is there all the time comes once, whatever is
   * created and removed meanwhile. A page costs no more than its limit: it may have fewer, even none, before the last
   * one.
   */
  list?(request: ListRequest): Awaitable<ListResult>
  /** How many bytes can be stored still, where the storage knows. */
  freeBytes?(): Awaitable<number>
  /** The absolute path of an upload's finished file, where there are files. */
  pathOf?(upload: Pick<Upload, 'name'>): Awaitable<string>
}
