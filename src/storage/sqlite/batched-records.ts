// Records in SQLite as many requests use them at the same time: what they ask for is put into common transactions.

import type { NewUpload, Tombstone } from '../../upload.js'
import type { Journal, Piece, RecordCommit, RecordCommitResult, Records, StoredPage, StoredUpload } from '../parts.js'
import type {
  Assembly,
  AssemblyResult,
  ClaimRequest,
  ClaimResult,
  CompletionOutcome,
  CompletionRequest,
  CreateResult,
  DueRequest,
  ExpiredRequest,
  ListRequest,
  RemoveOptions,
  RemoveResult,
} from '../storage.js'
import type { Batch } from './batch.js'
import type { SQLiteRecords } from './sqlite-records.js'

/** {@link SQLiteRecords}, with common transactions. */
export class BatchedRecords implements Records {
  readonly #records: SQLiteRecords
  readonly #batch: Batch
  readonly journal: Journal

  /** @param records - what does the work */
  constructor(records: SQLiteRecords) {
    this.#records = records
    this.#batch = records.batch
    this.journal = records.journal
  }

  create(upload: NewUpload): Promise<CreateResult> {
    return this.#batch.write(() => this.#records.create(upload))
  }

  get(id: string): Promise<StoredUpload | undefined> {
    return this.#batch.read(() => this.#records.get(id))
  }

  claim(id: string, request: ClaimRequest): Promise<ClaimResult> {
    return this.#batch.write(() => this.#records.claim(id, request))
  }

  renew(id: string, fence: number, ttlMs: number): Promise<boolean> {
    return this.#batch.write(() => this.#records.renew(id, fence, ttlMs))
  }

  release(id: string, fence: number, activeAtMs?: number): Promise<void> {
    return this.#batch.write(() => this.#records.release(id, fence, activeAtMs))
  }

  releasePublished(id: string, fence: number): Promise<void> {
    return this.#batch.write(() => this.#records.releasePublished(id, fence))
  }

  commit(id: string, fence: number, commit: RecordCommit): Promise<RecordCommitResult> {
    return this.#batch.write(() => this.#records.commit(id, fence, commit))
  }

  bury(id: string, fence: number, options: RemoveOptions): Promise<StoredUpload | Exclude<RemoveResult, 'removed'>> {
    return this.#batch.write(() => this.#records.bury(id, fence, options))
  }

  forget(upload: StoredUpload): Promise<void> {
    return this.#batch.write(() => this.#records.forget(upload))
  }

  buried(limit: number): Promise<readonly StoredUpload[]> {
    return this.#batch.read(() => this.#records.buried(limit))
  }

  tombstone(id: string): Promise<Tombstone | undefined> {
    return this.#batch.read(() => this.#records.tombstone(id))
  }

  dropTombstones(limit: number): Promise<boolean> {
    return this.#batch.write(() => this.#records.dropTombstones(limit))
  }

  expired(request: ExpiredRequest): Promise<readonly string[]> {
    return this.#batch.write(() => this.#records.expired(request))
  }

  lease(name: string, request: { readonly owner: string; readonly ttlMs: number }): Promise<boolean> {
    return this.#batch.write(() => this.#records.lease(name, request))
  }

  markSynced(upload: StoredUpload, synced: number): Promise<void> {
    return this.#batch.write(() => this.#records.markSynced(upload, synced))
  }

  fallBack(upload: StoredUpload, to: number, pieces: readonly Piece[]): Promise<boolean> {
    return this.#batch.write(() => this.#records.fallBack(upload, to, pieces))
  }

  isShared(blob: string, id: string): Promise<boolean> {
    return this.#batch.read(() => this.#records.isShared(blob, id))
  }

  assemble(id: string, assembly: Assembly): Promise<AssemblyResult> {
    return this.#batch.write(() => this.#records.assemble(id, assembly))
  }

  detach(id: string, attempt: number, pieces: readonly Piece[], identity: string | undefined): Promise<boolean> {
    return this.#batch.write(() => this.#records.detach(id, attempt, pieces, identity))
  }

  waitingFinals(partial: string): Promise<readonly string[]> {
    return this.#batch.read(() => this.#records.waitingFinals(partial))
  }

  readyFinals(limit: number, after: string): Promise<readonly string[]> {
    return this.#batch.read(() => this.#records.readyFinals(limit, after))
  }

  dueCompletions(request: DueRequest): Promise<readonly string[]> {
    return this.#batch.read(() => this.#records.dueCompletions(request))
  }

  takeCompletion(
    id: string,
    request: CompletionRequest,
  ): Promise<{ upload: StoredUpload; attempt: number } | undefined> {
    return this.#batch.write(() => this.#records.takeCompletion(id, request))
  }

  renewCompletion(id: string, attempt: number, ttlMs: number): Promise<boolean> {
    return this.#batch.write(() => this.#records.renewCompletion(id, attempt, ttlMs))
  }

  settleCompletion(id: string, attempt: number, outcome: CompletionOutcome): Promise<boolean> {
    return this.#batch.write(() => this.#records.settleCompletion(id, attempt, outcome))
  }

  unpublished(limit: number): Promise<readonly string[]> {
    return this.#batch.read(() => this.#records.unpublished(limit))
  }

  published(upload: StoredUpload): Promise<void> {
    return this.#batch.write(() => this.#records.published(upload))
  }

  publishLater(upload: StoredUpload, atMs: number): Promise<void> {
    return this.#batch.write(() => this.#records.publishLater(upload, atMs))
  }

  list(request: ListRequest): Promise<StoredPage> {
    return this.#batch.read(() => this.#records.list(request))
  }

  sync(): Promise<void> {
    return this.#records.sync()
  }

  async close(): Promise<void> {
    await this.#batch.close()
    await this.#records.close()
  }
}
