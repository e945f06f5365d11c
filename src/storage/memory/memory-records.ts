// Records in memory.

import { isSameHolder, type NewUpload, type Tombstone } from '../../upload.js'
import type { Piece, RecordCommit, RecordCommitResult, Records, StoredPage, StoredUpload } from '../parts.js'
import { assembledPieces, blobOwner, firstPieces, isFile, isReady, partialsOf, piecesAfterTakeover } from '../pieces.js'
import {
  type Assembly,
  type AssemblyResult,
  type ClaimRequest,
  type ClaimResult,
  type CompletionOutcome,
  type CompletionRequest,
  type CreateResult,
  type DueRequest,
  type ExpiredRequest,
  type ListRequest,
  MAX_WAITING_FINALS,
  type RemoveOptions,
  type RemoveResult,
} from '../storage.js'
import { expiredOf } from './expired.js'
import { type Entry, living, MemoryCompletions } from './memory-completions.js'
import { pageOf } from './memory-list.js'
import { MemoryNames } from './memory-names.js'
import { attributesOf, withOwnAttributes } from './own-attributes.js'
import { WaitingFinals } from './waiting-finals.js'

/** Keeps records in memory. */
export class MemoryRecords implements Records {
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()
  readonly #names = new MemoryNames()
  /** Which final uploads have pieces in blobs that were made for others. */
  readonly #sharing = new Set<string>()
  readonly #waiting = new WaitingFinals()
  readonly #tombstones = new Map<string, Tombstone>()
  readonly #leases = new Map<string, { owner: string; untilMs: number }>()

  readonly #completions: MemoryCompletions

  constructor(now: () => number) {
    this.#now = now
    this.#completions = new MemoryCompletions(this.#entries, now)
  }

  create(upload: NewUpload): CreateResult {
    if (this.#partials(upload) === undefined) return 'no-partial'
    const partials = upload.concat?.partials ?? []
    if (partials.some((partial) => this.#waiting.count(partial) >= MAX_WAITING_FINALS)) return 'crowded'
    if (this.#entries.has(upload.id)) return 'exists'
    const taken = this.#names.whyTaken(upload, (id) => {
      const other = this.#entries.get(id)?.upload
      return other === undefined || other.complete || other.overwrite === true
    })
    if (taken !== undefined) return taken
    // A blob of the id may be what a removed partial upload has left to a final one.
    if (this.#hasLeftBytes(upload.id)) return 'exists'
    // Time goes on, so an id that is used again begins with a fence beyond all that its former upload had.
    const fence = this.#now()
    const { isFresh: _, ...kept } = upload
    const record: StoredUpload = {
      ...kept,
      attributes: attributesOf(upload),
      concat: upload.concat,
      activeAtMs: upload.createdAtMs,
      offset: 0,
      complete: false,
      completion: undefined,
      holder: undefined,
      fence,
      pieces: firstPieces(upload.id),
      synced: 0,
      doubtful: false,
      identity: undefined,
    }
    this.#entries.set(upload.id, { upload: record, buried: false })
    this.#names.add(upload)
    this.#waiting.add(upload.id, partials)
    this.#count([upload.id])
    return 'created'
  }

  get(id: string): StoredUpload | undefined {
    const entry = this.#living(id)
    return entry && withOwnAttributes(entry.upload)
  }

  claim(id: string, { owner, ttlMs, dead, lapsed, unfinished }: ClaimRequest): ClaimResult {
    const entry = this.#living(id)
    if (entry === undefined) return undefined
    const { holder } = entry.upload
    if (unfinished && entry.upload.complete && holder === undefined)
      return { complete: withOwnAttributes(entry.upload) }
    const now = this.#now()
    const takenOver = holder !== undefined && holder.owner !== dead
    if (takenOver && holder.leaseUntilMs > now && !isSameHolder(holder, lapsed)) return { heldBy: holder }
    const fence = entry.upload.fence + 1
    const pieces = takenOver ? piecesAfterTakeover(entry.upload, fence) : entry.upload.pieces
    entry.upload = { ...entry.upload, fence, pieces, holder: { owner, leaseUntilMs: now + ttlMs } }
    return { upload: withOwnAttributes(entry.upload), fence }
  }

  renew(id: string, fence: number, ttlMs: number): boolean {
    // Whoever has buried it holds it until it is forgotten.
    const entry = this.#entries.get(id)
    if (entry?.upload.fence !== fence || entry.upload.holder === undefined) return false
    const holder = { ...entry.upload.holder, leaseUntilMs: this.#now() + ttlMs }
    entry.upload = { ...entry.upload, holder }
    return true
  }

  release(id: string, fence: number, activeAtMs?: number): void {
    const entry = this.#held(id, fence)
    if (entry === undefined) return
    entry.upload = { ...entry.upload, holder: undefined, activeAtMs: activeAtMs ?? entry.upload.activeAtMs }
  }

  releasePublished(id: string, fence: number): void {
    const entry = this.#held(id, fence)
    if (entry !== undefined) entry.upload = { ...entry.upload, holder: undefined, published: true }
  }

  unpublished(limit: number): readonly string[] {
    const ids: string[] = []
    for (const [id, { upload, buried }] of this.#entries) {
      // Nothing can be in the way here, so none waits for its next time.
      if (!buried && isFile(upload) && upload.published === false && isReady(upload, this.#now())) ids.push(id)
      if (ids.length === limit) break
    }
    return ids
  }

  published({ id, createdAtMs }: StoredUpload): void {
    const entry = this.#living(id)
    if (entry?.upload.createdAtMs === createdAtMs) entry.upload = { ...entry.upload, published: true }
  }

  publishLater(): void {}

  commit(id: string, fence: number, commit: RecordCommit): RecordCommitResult {
    if (this.#living(id) === undefined) return 'gone'
    const entry = this.#held(id, fence)
    if (entry === undefined) return 'fenced'
    const { upload } = entry
    if (upload.offset !== commit.from || upload.complete) return 'moved'
    entry.upload = {
      ...upload,
      offset: commit.to,
      length: commit.length ?? upload.length,
      activeAtMs: commit.activeAtMs ?? upload.activeAtMs,
      complete: commit.complete,
      published: commit.complete ? !commit.isToBePublished : undefined,
      identity: commit.identity ?? upload.identity,
      completion: commit.completion && this.#completions.begun('hook', commit.completion),
      holder: commit.release ? undefined : upload.holder,
      pieces: commit.pieces ?? upload.pieces,
    }
    if (commit.complete) this.#count(this.#waiting.of(id))
    return 'ok'
  }

  bury(
    id: string,
    fence: number,
    { tombstone, evenIfNeeded = false }: RemoveOptions,
  ): StoredUpload | Exclude<RemoveResult, 'removed'> {
    if (this.#living(id) === undefined) return 'gone'
    const entry = this.#held(id, fence)
    if (entry === undefined) return 'fenced'
    if (!evenIfNeeded && this.#waiting.count(id) > 0) return 'needed'
    if (tombstone !== undefined) this.#tombstones.set(id, tombstone)
    entry.buried = true
    this.#waiting.delete(id, entry.upload.concat?.partials ?? [])
    this.#count(this.#waiting.of(id))
    return entry.upload
  }

  forget(upload: StoredUpload): void {
    const { id } = upload
    this.#names.remove(upload)
    this.#entries.delete(id)
    this.#sharing.delete(id)
  }

  buried(): readonly StoredUpload[] {
    // Nothing comes between burying and forgetting here but an error of this class itself.
    return []
  }

  tombstone(id: string): Tombstone | undefined {
    const tombstone = this.#tombstones.get(id)
    return tombstone !== undefined && tombstone.untilMs > this.#now() ? tombstone : undefined
  }

  dropTombstones(): boolean {
    for (const [id, { untilMs }] of this.#tombstones) if (untilMs <= this.#now()) this.#tombstones.delete(id)
    return false
  }

  expired(request: ExpiredRequest): readonly string[] {
    const living = [...this.#entries.values()].filter(({ buried }) => !buried).map(({ upload }) => upload)
    const neighbours = {
      isWaitedFor: (id: string) => this.#waiting.count(id) > 0,
      get: (id: string) => this.get(id),
    }
    return expiredOf(living, request, neighbours, this.#now())
  }

  lease(name: string, { owner, ttlMs }: { readonly owner: string; readonly ttlMs: number }): boolean {
    const lease = this.#leases.get(name)
    const untilMs = this.#now() + ttlMs
    const isTaken = lease !== undefined && lease.untilMs > this.#now() && lease.untilMs <= untilMs
    if (isTaken && lease.owner !== owner) return false
    this.#leases.set(name, { owner, untilMs })
    return true
  }

  // Nothing survives the process, let alone a power loss.
  markSynced(): void {}

  fallBack({ id, offset }: StoredUpload, to: number, pieces: readonly Piece[]): boolean {
    const entry = this.#living(id)
    if (entry === undefined || entry.upload.offset !== offset) return false
    entry.upload = {
      ...entry.upload,
      offset: to,
      pieces,
      complete: false,
      published: undefined,
      completion: undefined,
      identity: undefined,
    }
    this.#count(this.#waiting.of(id))
    return true
  }

  isShared(blob: string, id: string): boolean {
    const owner = blobOwner(blob)
    if (owner !== id && this.#living(owner) !== undefined) return true
    return [...this.#sharing].some(
      (final) => final !== id && this.#living(final)?.upload.pieces.some((piece) => piece.blob === blob),
    )
  }

  assemble(id: string, { activeAtMs, completion }: Assembly): AssemblyResult {
    const entry = this.#living(id)
    if (entry === undefined) return 'gone'
    if (entry.upload.complete) return 'already'
    const partials = this.#partials(entry.upload)
    if (partials === undefined) return 'gone'
    const sum = partials.reduce((bytes, { offset }) => bytes + offset, 0)
    if (sum > (entry.upload.concat?.maxSize ?? Number.MAX_SAFE_INTEGER)) return 'too-large'
    if (!partials.every((partial) => isReady(partial, this.#now()))) return 'unfinished'
    entry.upload = {
      ...entry.upload,
      offset: sum,
      length: sum,
      complete: true,
      activeAtMs,
      published: false,
      completion: this.#completions.begun('copy', completion ?? { owner: undefined, ttlMs: 0 }),
      pieces: assembledPieces(partials),
    }
    this.#sharing.add(id)
    this.#waiting.delete(id, entry.upload.concat?.partials ?? [])
    return 'ok'
  }

  detach(id: string, attempt: number, pieces: readonly Piece[], identity: string | undefined): boolean {
    const entry = this.#completions.tried(id, attempt)
    if (entry === undefined) return false
    entry.upload = { ...entry.upload, pieces, identity }
    this.#sharing.delete(id)
    return true
  }

  waitingFinals(partial: string): readonly string[] {
    return this.#waiting.of(partial)
  }

  readyFinals(limit: number, after: string): readonly string[] {
    return this.#waiting.ready(after, limit)
  }

  dueCompletions(request: DueRequest): readonly string[] {
    return this.#completions.due(request)
  }

  takeCompletion(id: string, request: CompletionRequest): { upload: StoredUpload; attempt: number } | undefined {
    const taken = this.#completions.take(id, request)
    return taken && { ...taken, upload: withOwnAttributes(taken.upload) }
  }

  renewCompletion(id: string, attempt: number, ttlMs: number): boolean {
    return this.#completions.renew(id, attempt, ttlMs)
  }

  settleCompletion(id: string, attempt: number, outcome: CompletionOutcome): boolean {
    return this.#completions.settle(id, attempt, outcome)
  }

  list(request: ListRequest): StoredPage {
    return pageOf((id) => this.#living(id)?.upload, this.#entries.keys(), request)
  }

  async sync(): Promise<void> {}

  close(): void {
    this.#entries.clear()
    this.#names.clear()
  }

  #hasLeftBytes(id: string): boolean {
    return [...this.#sharing].some((final) =>
      this.#living(final)?.upload.pieces.some(({ blob }) => blobOwner(blob) === id),
    )
  }

  #partials({ concat }: Pick<StoredUpload, 'concat'>): readonly StoredUpload[] | undefined {
    return partialsOf(concat, (id) => this.#living(id)?.upload)
  }

  /** Looks at which final uploads have nothing left to wait for. */
  #count(finals: readonly string[]): void {
    for (const id of finals) {
      const upload = this.#living(id)?.upload
      if (upload?.concat?.partials === undefined) continue
      // With one that is gone it waits for nothing any more.
      this.#waiting.setReady(id, this.#partials(upload)?.every(({ complete }) => complete) ?? true)
    }
  }

  #living(id: string): Entry | undefined {
    return living(this.#entries, id)
  }

  #held(id: string, fence: number): Entry | undefined {
    const entry = this.#living(id)
    return entry?.upload.fence === fence && entry.upload.holder !== undefined ? entry : undefined
  }
}
