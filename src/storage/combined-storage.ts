// A storage made of records and blobs: what must happen in which order so that a kill at any moment is harmless.

import type { NewUpload, Tombstone, Upload } from '../upload.js'
import { CombinedStage } from './combined-stage.js'
import { whyBadName } from './file-names.js'
import { JournalSettler } from './journal-settler.js'
import type { Blobs, Piece, Records, StoredUpload } from './parts.js'
import { fileOf, isFile, keptBytes, piecesUpTo, readPieces } from './pieces.js'
import { publishLate } from './publish.js'
import type {
  Assembly,
  AssemblyResult,
  Awaitable,
  ClaimRequest,
  ClaimResult,
  CompletionOutcome,
  CompletionRequest,
  CreateResult,
  DueRequest,
  ExpiredRequest,
  ListRequest,
  ListResult,
  PublishRequest,
  RemoveOptions,
  RemoveResult,
  Stage,
  Storage,
} from './storage.js'
import { finishRemoval, unsharedBlobs, Vacuum } from './vacuum.js'

/** For so long more the vacuum leaves a removal that takes long to whoever does it. */
const REMOVAL_LEASE_MS = 60_000

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
  readonly #vacuum: Vacuum
  readonly #now: () => number
  #background: Promise<void> = Promise.resolve()

  /**
   * @param records - where records are kept
   * @param blobs - where bytes are kept
   * @param now - milliseconds since the epoch
   */
  constructor(records: Records, blobs: Blobs, now: () => number = Date.now) {
    this.#records = records
    this.#blobs = blobs
    this.#now = now
    this.#vacuum = new Vacuum(records, blobs, now)
    const { journal } = records
    if (journal !== undefined) this.#settler = new JournalSettler({ journal, blobs, now })
  }

  /** {@inheritDoc Storage.create} */
  create(upload: NewUpload): Awaitable<CreateResult> {
    // The id is the name of the unfinished file.
    const reason = whyBadName(upload.name) ?? (upload.id === upload.name ? undefined : whyBadName(upload.id))
    return reason === undefined ? this.#records.create(upload) : { refused: 'bad-name', reason }
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
    if (request.dead !== undefined) return this.#ofDead(result)
    if (result instanceof Promise) return result.then((claimed) => this.#recovered(claimed))
    return isDoubtful(result) ? this.#recovered(result) : this.#remembered(result)
  }

  /** {@inheritDoc Storage.renew} */
  renew(id: string, fence: number, ttlMs: number): Awaitable<boolean> {
    return this.#records.renew(id, fence, ttlMs)
  }

  /** {@inheritDoc Storage.release} */
  release(id: string, fence: number, activeAtMs?: number): Awaitable<void> {
    this.#claimed.delete(id)
    return this.#records.release(id, fence, activeAtMs)
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
  async remove(id: string, fence: number, options: RemoveOptions = {}): Promise<RemoveResult> {
    const { durable = false } = options
    this.#claimed.delete(id)
    const upload = await this.#records.bury(id, fence, options)
    if (typeof upload === 'string') return upload
    const own = await unsharedBlobs(this.#records, upload)
    // A record that came back without its bytes would be worse than one that was never removed.
    if (durable) {
      await this.#records.sync()
      // If that took longer than the claim lasts, the vacuum may have done the rest, and the name be another upload's.
      const isOver = (upload.holder?.leaseUntilMs ?? 0) <= this.#now()
      if (isOver && !(await this.#records.renew(id, fence, REMOVAL_LEASE_MS))) return 'removed'
    }
    await finishRemoval(this.#records, this.#blobs, upload, own, durable)
    return 'removed'
  }

  /** {@inheritDoc Storage.read} */
  async *read(id: string, start: number, end: number): AsyncGenerator<Uint8Array> {
    let upload = await this.#withoutLost(await this.#records.get(id))
    let position = start
    while (upload !== undefined) {
      const inBlobs = await this.#isInBlobs(upload)
      const upTo = Math.min(end, upload.offset)
      try {
        const chunks = inBlobs
          ? readPieces(this.#blobs, upload.pieces, position, upTo)
          : this.#blobs.read(fileOf(upload), position, upTo)
        for await (const chunk of chunks) {
          position += chunk.length
          yield chunk
        }
        return
      } catch (error) {
        // The bytes may have moved to another place meanwhile: then from there.
        const before: StoredUpload = upload
        upload = await this.#records.get(id)
        if (upload === undefined) throw error
        if (isSamePlace(before, upload) && (await this.#isInBlobs(upload)) === inBlobs) throw error
      }
    }
  }

  /** {@inheritDoc Storage.tombstone} */
  tombstone(id: string): Awaitable<Tombstone | undefined> {
    return this.#records.tombstone(id)
  }

  /** {@inheritDoc Storage.expired} */
  expired(request: ExpiredRequest): Awaitable<readonly string[]> {
    return this.#records.expired(request)
  }

  /** {@inheritDoc Storage.lease} */
  lease(name: string, request: { readonly owner: string; readonly ttlMs: number }): Awaitable<boolean> {
    return this.#records.lease(name, request)
  }

  /** {@inheritDoc Storage.assemble} */
  async assemble(id: string, assembly: Assembly): Promise<AssemblyResult> {
    const result = await this.#records.assemble(id, assembly)
    if (assembly.durable && (result === 'ok' || result === 'already')) await this.#records.sync()
    return result
  }

  /** {@inheritDoc Storage.flatten} */
  async flatten(id: string, attempt: number, durable: boolean): Promise<boolean> {
    const upload = await this.#records.get(id)
    if (upload === undefined) return false
    // A try before this one has made the file; the application may have moved it since.
    if (isFile(upload)) return this.publish(id, { durable, retryAfterMs: 0 })
    if (!(await this.#detach(upload, attempt, durable))) return false
    // What the partial uploads left here when they were removed.
    const left = await unsharedBlobs(this.#records, upload)
    if (!(await this.publish(id, { durable, retryAfterMs: 0 }))) return false
    for (const blob of left) await this.#blobs.remove(blob)
    return true
  }

  /** {@inheritDoc Storage.waitingFinals} */
  waitingFinals(partial: string): Awaitable<readonly string[]> {
    return this.#records.waitingFinals(partial)
  }

  /** {@inheritDoc Storage.readyFinals} */
  readyFinals(limit: number, after = ''): Awaitable<readonly string[]> {
    return this.#records.readyFinals(limit, after)
  }

  /** {@inheritDoc Storage.dueCompletions} */
  dueCompletions(request: DueRequest): Awaitable<readonly string[]> {
    return this.#records.dueCompletions(request)
  }

  /** {@inheritDoc Storage.takeCompletion} */
  takeCompletion(id: string, request: CompletionRequest): Awaitable<{ upload: Upload; attempt: number } | undefined> {
    return this.#records.takeCompletion(id, request)
  }

  /** {@inheritDoc Storage.renewCompletion} */
  renewCompletion(id: string, attempt: number, ttlMs: number): Awaitable<boolean> {
    return this.#records.renewCompletion(id, attempt, ttlMs)
  }

  /** {@inheritDoc Storage.settleCompletion} */
  settleCompletion(id: string, attempt: number, outcome: CompletionOutcome): Awaitable<boolean> {
    return this.#records.settleCompletion(id, attempt, outcome)
  }

  /** {@inheritDoc Storage.unpublished} */
  unpublished(limit: number): Awaitable<readonly string[]> {
    return this.#records.unpublished(limit)
  }

  /** {@inheritDoc Storage.publish} */
  publish(id: string, request: PublishRequest): Promise<boolean> {
    return publishLate(this.#records, this.#blobs, id, { ...request, now: this.#now })
  }

  /** {@inheritDoc Storage.list} */
  async list(request: ListRequest): Promise<ListResult> {
    const { uploads, cursor } = await this.#records.list(request)
    if (!uploads.some(({ doubtful }) => doubtful)) return { uploads, cursor }
    const whole: Upload[] = []
    for (const upload of uploads) whole.push((await this.#withoutLost(upload)) ?? upload)
    return { uploads: whole, cursor }
  }

  /** {@inheritDoc Storage.vacuum} */
  vacuum(limit: number): Promise<{ more: boolean; failures?: readonly unknown[] }> {
    return this.#vacuum.step(limit)
  }

  /** {@inheritDoc Storage.close} */
  async close(): Promise<void> {
    await this.#vacuum.close()
    await this.#background
    await this.#settler?.close()
    await this.#blobs.close()
    await this.#records.close()
  }

  /**
   * Whoever has died may have completed the upload, and not have lived to see that on the disk. Nobody else looks after
   * it.
   */
  async #ofDead(claiming: Awaitable<ClaimResult>): Promise<ClaimResult> {
    const result = await this.#recovered(await claiming)
    if (result !== undefined && 'fence' in result && result.upload.complete) await this.#records.sync()
    return result
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

  /**
   * Whether the bytes of an upload are still in its blobs: what keeps it from getting its name does not keep it from
   * being read.
   */
  async #isInBlobs(upload: StoredUpload): Promise<boolean> {
    return !isFile(upload) || (await this.#blobs.size((upload.pieces.at(-1) as Piece).blob)) > 0
  }

  /**
   * Copies the pieces of a final upload into one blob of its own, named after the try, so that no late one meets it.
   */
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
      done = await this.#records.detach(id, attempt, [{ start: 0, blob }], writer.identity)
      return done
    } catch (error) {
      // Removed while it was copied.
      if ((await this.#records.get(id)) === undefined) return false
      throw error
    } finally {
      if (!done) await this.#blobs.remove(blob)
    }
  }
}

function isDoubtful(result: ClaimResult): result is { upload: StoredUpload; fence: number } {
  return result !== undefined && 'fence' in result && (result.upload as StoredUpload).doubtful
}

function isSamePlace(one: StoredUpload, other: StoredUpload): boolean {
  return isFile(one) === isFile(other) && JSON.stringify(one.pieces) === JSON.stringify(other.pieces)
}
