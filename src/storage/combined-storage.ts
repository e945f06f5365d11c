// A storage made of records and blobs: what must happen in which order so that a kill at any moment is harmless.

import type { NewUpload, Tombstone, Upload } from '../upload.js'
import { CombinedStage } from './combined-stage.js'
import type { Blobs, Records, StoredUpload } from './parts.js'
import { blobOwner, readPieces } from './pieces.js'
import type { Awaitable, ClaimRequest, ClaimResult, Stage, Storage } from './storage.js'

/** How long an upload is held while one of its blobs is removed: no longer than a client waits anyway. */
const VACUUM_LEASE_MS = 2_000

/**
 * A storage made of a half that keeps records and a half that keeps bytes.
 *
 * Unfinished bytes lie in blobs; the finished file gets its name in one step, after the record says that it is
 * complete. So a writer that lost its claim without noticing can reach a finished file by no path.
 */
export class CombinedStorage implements Storage {
  readonly #records: Records
  readonly #blobs: Blobs
  #listing: AsyncIterator<string> | undefined

  /**
   * @param records - where records are kept
   * @param blobs - where bytes are kept
   */
  constructor(records: Records, blobs: Blobs) {
    this.#records = records
    this.#blobs = blobs
  }

  /** {@inheritDoc Storage.create} */
  create(upload: NewUpload): Awaitable<'created' | 'exists'> {
    return this.#records.create(upload)
  }

  /** {@inheritDoc Storage.get} */
  get(id: string): Awaitable<Upload | undefined> {
    return this.#records.get(id)
  }

  /** {@inheritDoc Storage.claim} */
  claim(id: string, request: ClaimRequest): Awaitable<ClaimResult> {
    return this.#records.claim(id, request)
  }

  /** {@inheritDoc Storage.renew} */
  renew(id: string, fence: number, ttlMs: number): Awaitable<boolean> {
    return this.#records.renew(id, fence, ttlMs)
  }

  /** {@inheritDoc Storage.release} */
  release(id: string, fence: number): Awaitable<void> {
    return this.#records.release(id, fence)
  }

  /** {@inheritDoc Storage.openStage} */
  async openStage(id: string, fence: number, from: number): Promise<Stage> {
    const upload = await this.#records.get(id)
    return new CombinedStage(this.#records, this.#blobs, { id, fence, from, upload })
  }

  /** {@inheritDoc Storage.remove} */
  async remove(id: string, fence: number, tombstone?: Tombstone): Promise<boolean> {
    const upload = await this.#records.bury(id, fence, tombstone)
    if (upload === undefined) return false
    await this.#finishRemoval(upload)
    return true
  }

  /** {@inheritDoc Storage.read} */
  async *read(id: string, start: number, end: number): AsyncGenerator<Uint8Array> {
    const upload = await this.#records.get(id)
    if (upload === undefined) return
    const last = Math.min(end, upload.offset)
    if (upload.complete) {
      await this.#place(upload)
      yield* this.#blobs.read({ name: upload.name }, start, last)
    } else {
      yield* readPieces(this.#blobs, upload.pieces, start, last)
    }
  }

  /** {@inheritDoc Storage.tombstone} */
  tombstone(id: string): Awaitable<Tombstone | undefined> {
    return this.#records.tombstone(id)
  }

  /** {@inheritDoc Storage.expired} */
  expired(beforeMs: number, limit: number): Awaitable<readonly string[]> {
    return this.#records.expired(beforeMs, limit)
  }

  /** {@inheritDoc Storage.lease} */
  lease(name: string, request: { readonly owner: string; readonly ttlMs: number }): Awaitable<boolean> {
    return this.#records.lease(name, request)
  }

  /** {@inheritDoc Storage.vacuum} */
  async vacuum(limit: number): Promise<{ more: boolean }> {
    for (const upload of await this.#records.buried(limit)) await this.#finishRemoval(upload)
    await this.#records.dropTombstones(limit)
    const listing = this.#listing ?? this.#blobs.list()[Symbol.asyncIterator]()
    // Out of the way while it is in use: a step that fails leaves none, and the next one begins anew.
    this.#listing = undefined
    for (let seen = 0; seen < limit; seen++) {
      const next = await listing.next()
      if (next.done) return { more: false }
      await this.#tidy(next.value)
    }
    this.#listing = listing
    return { more: true }
  }

  /** {@inheritDoc Storage.close} */
  async close(): Promise<void> {
    await this.#listing?.return?.()
    await this.#blobs.close()
    await this.#records.close()
  }

  async #finishRemoval(upload: StoredUpload): Promise<void> {
    for (const piece of upload.pieces) await this.#blobs.remove(piece.blob)
    if (upload.complete) await this.#blobs.removePlaced(upload.name)
    await this.#records.forget(upload.id)
  }

  async #place(upload: StoredUpload): Promise<void> {
    const piece = upload.pieces.at(-1)
    if (piece !== undefined) await this.#blobs.place(piece.blob, upload.name)
  }

  /** Deals with one blob that has no finished name: the record is read after the listing, so it is the newer truth. */
  async #tidy(blob: string): Promise<void> {
    const id = blobOwner(blob)
    const upload = await this.#records.get(id)
    if (upload === undefined) return this.#blobs.remove(blob)
    const named = upload.pieces.some((piece) => piece.blob === blob)
    if (upload.complete) return named ? this.#placeLate(upload) : this.#blobs.remove(blob)
    if (named) return
    // A holder may be about to name this blob, so it goes only under a claim of our own, which fences that one off.
    const claim = await this.#records.claim(id, { owner: 'vacuum', ttlMs: VACUUM_LEASE_MS })
    if (claim === undefined || !('fence' in claim)) return
    const now = await this.#records.get(id)
    if (now !== undefined && !now.pieces.some((piece) => piece.blob === blob)) await this.#blobs.remove(blob)
    await this.#records.release(id, claim.fence)
  }

  async #placeLate(upload: StoredUpload): Promise<void> {
    try {
      await this.#place(upload)
    } catch (error) {
      // Somebody has removed the upload meanwhile, and its blob with it.
      if ((await this.#records.get(upload.id)) !== undefined) throw error
    }
  }
}
