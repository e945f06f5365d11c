// A storage made of records and blobs: what must happen in which order so that a kill at any moment is harmless.

import type { NewUpload, Tombstone, Upload } from '../upload.js'
import { CombinedStage } from './combined-stage.js'
import { JournalSettler } from './journal-settler.js'
import type { Blobs, Records, StoredUpload } from './parts.js'
import { blobOwner, isFile, keptBytes, piecesUpTo, readPieces } from './pieces.js'
import type {
  Assembly,
  AssemblyResult,
  Awaitable,
  ClaimRequest,
  ClaimResult,
  CompletionOutcome,
  CompletionRequest,
  CreateResult,
  Stage,
  Storage,
} from './storage.js'

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
  /** The records that claims have read and no stage was opened for yet. */
  readonly #claimed = new Map<string, StoredUpload>()
  readonly #settler: JournalSettler | undefined
  #listing: AsyncIterator<string> | undefined
  #background: Promise<void> = Promise.resolve()

  /**
   * @param records - where records are kept
   * @param blobs - where bytes are kept
   * @param now - milliseconds since the epoch
   */
  constructor(records: Records, blobs: Blobs, now: () => number = Date.now) {
    this.#records = records
    this.#blobs = blobs
    const { journal } = records
    if (journal !== undefined) this.#settler = new JournalSettler({ journal, blobs, now })
  }

  /** {@inheritDoc Storage.create} */
  create(upload: NewUpload): Awaitable<CreateResult> {
    return this.#records.create(upload)
  }

  /** {@inheritDoc Storage.get} */
  get(id: string): Awaitable<Upload | undefined> {
    const upload = this.#records.get(id)
    if (upload instanceof Promise) return upload.then((found) => this.#withoutLost(found))
    return upload?.doubtful ? this.#withoutLost(upload) : upload
  }

  /** {@inheritDoc Storage.claim} */
  claim(id: string, request: ClaimRequest): Awaitable<ClaimResult> {
    const result = this.#records.claim(id, request)
    if (result instanceof Promise) return result.then((claimed) => this.#recovered(claimed))
    return isDoubtful(result) ? this.#recovered(result) : this.#remembered(result)
  }

  /** {@inheritDoc Storage.renew} */
  renew(id: string, fence: number, ttlMs: number): Awaitable<boolean> {
    return this.#records.renew(id, fence, ttlMs)
  }

  /** {@inheritDoc Storage.release} */
  release(id: string, fence: number): Awaitable<void> {
    this.#claimed.delete(id)
    return this.#records.release(id, fence)
  }

  /** {@inheritDoc Storage.openStage} */
  async openStage(id: string, fence: number, from: number): Promise<Stage> {
    const claimed = this.#claimed.get(id)
    this.#claimed.delete(id)
    // The claim has read the record already; if that claim was lost since, the commit will tell.
    const upload = claimed?.fence === fence ? claimed : await this.#records.get(id)
    return new CombinedStage(this.#records, this.#blobs, {
      id,
      fence,
      from,
      upload,
      inBackground: (work) => this.#runInBackground(work),
      takesJournaled: (bytes) => this.#settler?.take(bytes) ?? false,
    })
  }

  /** {@inheritDoc Storage.remove} */
  async remove(id: string, fence: number, tombstone?: Tombstone, durable = false): Promise<boolean> {
    this.#claimed.delete(id)
    const upload = await this.#records.bury(id, fence, tombstone)
    if (upload === undefined) return false
    // A record that came back without its bytes would be worse than one that was never removed.
    if (durable) await this.#records.sync()
    await this.#finishRemoval(upload, durable)
    return true
  }

  /** {@inheritDoc Storage.read} */
  async *read(id: string, start: number, end: number): AsyncGenerator<Uint8Array> {
    let upload = await this.#withoutLost(await this.#records.get(id))
    let position = start
    while (upload !== undefined) {
      try {
        for await (const chunk of this.#readNow(upload, position, Math.min(end, upload.offset))) {
          position += chunk.length
          yield chunk
        }
        return
      } catch (error) {
        // The bytes may have moved to another place meanwhile: then from there.
        const before: StoredUpload = upload
        upload = await this.#records.get(id)
        if (upload === undefined || isSamePlace(before, upload)) throw error
      }
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

  /** {@inheritDoc Storage.assemble} */
  async assemble(id: string, { expiresAtMs, durable }: Assembly): Promise<AssemblyResult> {
    const result = await this.#records.assemble(id, expiresAtMs)
    if (durable && result === 'ok') await this.#records.sync()
    return result
  }

  /** {@inheritDoc Storage.flatten} */
  async flatten(id: string, attempt: number, durable: boolean): Promise<boolean> {
    const upload = await this.#records.get(id)
    if (upload === undefined) return false
    // A try before this one has made the file; the application may have moved it since.
    if (isFile(upload)) return this.#placeAgain(upload)
    if (!(await this.#detach(upload, attempt, durable))) return false
    const now = await this.#records.get(id)
    if (now === undefined || !isFile(now)) return false
    await this.#place(now)
    if (durable) await Promise.all([this.#blobs.syncPlaced(now.name), this.#records.sync()])
    // What the partial uploads left here when they were removed.
    await this.#removeBlobs(upload)
    return true
  }

  /** {@inheritDoc Storage.waitingFinals} */
  waitingFinals(partial: string): Awaitable<readonly string[]> {
    return this.#records.waitingFinals(partial)
  }

  /** {@inheritDoc Storage.readyFinals} */
  readyFinals(limit: number): Awaitable<readonly string[]> {
    return this.#records.readyFinals(limit)
  }

  /** {@inheritDoc Storage.dueCompletions} */
  dueCompletions(limit: number): Awaitable<readonly string[]> {
    return this.#records.dueCompletions(limit)
  }

  /** {@inheritDoc Storage.takeCompletion} */
  async takeCompletion(
    id: string,
    request: CompletionRequest,
  ): Promise<{ upload: Upload; attempt: number } | undefined> {
    const taken = await this.#records.takeCompletion(id, request)
    // Whoever completed it may have died before the file had its name, which the application is told now.
    if (taken !== undefined && isFile(taken.upload)) await this.#placeAgain(taken.upload)
    return taken
  }

  /** {@inheritDoc Storage.renewCompletion} */
  renewCompletion(id: string, attempt: number, ttlMs: number): Awaitable<boolean> {
    return this.#records.renewCompletion(id, attempt, ttlMs)
  }

  /** {@inheritDoc Storage.settleCompletion} */
  settleCompletion(id: string, attempt: number, outcome: CompletionOutcome): Awaitable<boolean> {
    return this.#records.settleCompletion(id, attempt, outcome)
  }

  /** {@inheritDoc Storage.vacuum} */
  async vacuum(limit: number): Promise<{ more: boolean; failures?: readonly unknown[] }> {
    if (await this.#records.dropTombstones(limit)) return { more: true }
    const failures: unknown[] = []
    const note = (error: unknown): void => void failures.push(error)
    if (this.#listing === undefined) {
      for (const upload of await this.#records.buried(limit)) await this.#finishRemoval(upload, true).catch(note)
    }
    const listing = this.#listing ?? this.#blobs.list()[Symbol.asyncIterator]()
    // Out of the way while it is in use: a step that fails leaves none, and the next one begins anew.
    this.#listing = undefined
    let more = true
    for (let seen = 0; more && seen < limit; seen++) {
      const next = await listing.next()
      if (next.done) more = false
      else await this.#tidy(next.value).catch(note)
    }
    // Another step may have begun anew meanwhile; then this listing is not needed any more.
    if (more && this.#listing === undefined) this.#listing = listing
    else if (more) await listing.return?.()
    return failures.length > 0 ? { more, failures } : { more }
  }

  /** {@inheritDoc Storage.close} */
  async close(): Promise<void> {
    await this.#listing?.return?.()
    await this.#background
    await this.#settler?.close()
    await this.#blobs.close()
    await this.#records.close()
  }

  #remembered(result: ClaimResult): ClaimResult {
    if (result !== undefined && 'fence' in result) this.#claimed.set(result.upload.id, result.upload as StoredUpload)
    return result
  }

  /** One thing after the other, so that the threads that requests need are never all taken. */
  #runInBackground(work: () => Promise<void>): void {
    // What fails here fails again, where somebody waits for it: the stage is of no more use.
    this.#background = this.#background.then(work).catch(() => {})
  }

  /** An upload that may have lost bytes by a power loss, as it is without them. */
  async #withoutLost(upload: StoredUpload | undefined): Promise<StoredUpload | undefined> {
    if (!upload?.doubtful) return upload
    const offset = await keptBytes(this.#blobs, upload)
    return { ...upload, offset, pieces: piecesUpTo(upload.pieces, offset) }
  }

  /** Writes that down, under the claim that was just taken. */
  async #recovered(result: ClaimResult): Promise<ClaimResult> {
    if (!isDoubtful(result)) return this.#remembered(result)
    const upload = await this.#withoutLost(result.upload)
    if (upload === undefined) return undefined
    await this.#records.fallBack(result.upload, upload.offset, upload.pieces)
    const now = await this.#records.get(upload.id)
    return now && { upload: now, fence: result.fence }
  }

  async #finishRemoval(upload: StoredUpload, durable: boolean): Promise<void> {
    await this.#removeBlobs(upload)
    // The record goes last: a file that came back after it would belong to nobody, and stay for ever.
    if (isFile(upload)) await this.#blobs.removePlaced(upload.name, durable)
    await this.#records.forget(upload)
  }

  /** Removes the blobs of an upload that is gone or has others now, but for those that another one names. */
  async #removeBlobs({ id, concat, pieces }: StoredUpload): Promise<void> {
    for (const { blob } of pieces) {
      if (concat === undefined || !(await this.#records.isShared(blob, id))) await this.#blobs.remove(blob)
    }
  }

  async *#readNow(upload: StoredUpload, start: number, end: number): AsyncGenerator<Uint8Array> {
    if (isFile(upload)) {
      await this.#place(upload)
      yield* this.#blobs.read({ name: upload.name }, start, end)
    } else {
      yield* readPieces(this.#blobs, upload.pieces, start, end)
    }
  }

  /** Copies the pieces of a final upload into one blob of its own, named after the try, so that no late one meets it. */
  async #detach({ id, pieces, offset }: StoredUpload, attempt: number, durable: boolean): Promise<boolean> {
    const blob = `${id}.${attempt}.flat`
    const writer = await this.#blobs.open(blob, 0)
    let done = false
    try {
      try {
        for await (const chunk of readPieces(this.#blobs, pieces, 0, offset, true)) await writer.write([chunk])
        if (durable) await writer.sync()
      } finally {
        await writer.close()
      }
      done = await this.#records.detach(id, attempt, [{ start: 0, blob }])
      return done
    } catch (error) {
      // Removed while it was copied.
      if ((await this.#records.get(id)) === undefined) return false
      throw error
    } finally {
      if (!done) await this.#blobs.remove(blob)
    }
  }

  async #place(upload: StoredUpload): Promise<void> {
    const piece = upload.pieces.at(-1)
    if (piece !== undefined) await this.#blobs.place(piece.blob, upload.name)
  }

  /** Deals with one blob that has no finished name: the record is read after the listing, so it is the newer truth. */
  async #tidy(blob: string): Promise<void> {
    const id = blobOwner(blob)
    const upload = await this.#records.get(id)
    if (upload === undefined) return (await this.#records.isShared(blob, id)) ? undefined : this.#blobs.remove(blob)
    const named = upload.pieces.some((piece) => piece.blob === blob)
    if (upload.complete) return this.#tidyComplete(upload, blob, named)
    if (named) return
    // A holder may be about to name this blob, so it goes only under a claim of our own, which fences that one off.
    const claim = await this.#records.claim(id, { owner: 'vacuum', ttlMs: VACUUM_LEASE_MS })
    if (claim === undefined || !('fence' in claim)) return
    const now = await this.#records.get(id)
    if (now !== undefined && !now.pieces.some((piece) => piece.blob === blob)) await this.#removeUnnamed(blob)
    await this.#records.release(id, claim.fence)
  }

  /** Removes a blob that no record names any more; after a power loss one would again, if that were not on the disk. */
  async #removeUnnamed(blob: string): Promise<void> {
    await this.#records.sync()
    await this.#blobs.remove(blob)
  }

  async #placeAgain(upload: StoredUpload): Promise<boolean> {
    await this.#place(upload).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    return true
  }

  async #tidyComplete(upload: StoredUpload, blob: string, named: boolean): Promise<void> {
    if (named) return isFile(upload) ? this.#placeLate(upload) : undefined
    // It may be the one that a try under way copies to.
    if (upload.completion?.settled !== false) await this.#removeUnnamed(blob)
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

function isDoubtful(result: ClaimResult): result is { upload: StoredUpload; fence: number } {
  return result !== undefined && 'fence' in result && (result.upload as StoredUpload).doubtful
}

function isSamePlace(one: StoredUpload, other: StoredUpload): boolean {
  return isFile(one) === isFile(other) && JSON.stringify(one.pieces) === JSON.stringify(other.pieces)
}
