// Tidies up what kills have left of a storage made of records and blobs, and removes what goes with a record.

import type { Blobs, Records, StoredUpload } from './parts.js'
import { blobOwner, fileOf, isFile, isReady, isSame } from './pieces.js'
import { publishLate } from './publish.js'

/** How long an upload is held while one of its blobs is removed: no longer than a client waits anyway. */
const VACUUM_LEASE_MS = 2_000
/** How many removals are remembered that can't be finished, so that they hide no others. */
const MAX_STUCK = 200
/** A file that can't get its name is left to those who look for such files, from then on. */
const RETRY_MS = 5_000

/**
 * Removes what belongs to a record that was buried, and forgets it.
 * @param own - what {@link unsharedBlobs} has said of it, before a sync if `durable`
 */
export async function finishRemoval(
  records: Records,
  blobs: Blobs,
  upload: StoredUpload,
  own: readonly string[],
  durable: boolean,
): Promise<void> {
  for (const blob of own) await blobs.remove(blob)
  // The record goes last: a file that came back after it would belong to nobody, and stay for ever.
  if (isFile(upload)) await blobs.removePlaced(fileOf(upload), durable)
  await records.forget(upload)
}

/**
 * The blobs of an upload that is gone or has others now, but for those that another one names. To be asked before the
 * sync that makes their removal safe: another one that stops naming a blob after it would name it again after a power
 * loss. That one removes the blob itself.
 */
export async function unsharedBlobs(
  records: Records,
  { id, concat, pieces }: Pick<StoredUpload, 'id' | 'concat' | 'pieces'>,
): Promise<readonly string[]> {
  const unshared: string[] = []
  for (const { blob } of pieces) {
    if (concat === undefined || !(await records.isShared(blob, id))) unshared.push(blob)
  }
  return unshared
}

/** Takes down what could not be done. */
type Note = (error: unknown) => void

/** Tidies up in bounded steps. */
export class Vacuum {
  readonly #records: Records
  readonly #blobs: Blobs
  readonly #now: () => number
  #listing: AsyncIterator<string> | undefined
  /** The ids of removals that could not be finished, the one that was tried last at the end. */
  readonly #stuck = new Set<string>()

  /**
   * @param records - the truth
   * @param blobs - what is tidied up
   * @param now - milliseconds since the epoch
   */
  constructor(records: Records, blobs: Blobs, now: () => number) {
    this.#records = records
    this.#blobs = blobs
    this.#now = now
  }

  /** One step; as {@link Storage.vacuum} has it. */
  async step(limit: number): Promise<{ more: boolean; failures?: readonly unknown[] }> {
    if (await this.#records.dropTombstones(limit)) return { more: true }
    const failures: unknown[] = []
    const note: Note = (error) => void failures.push(error)
    if (this.#listing === undefined) await this.#finishRemovals(limit, note).catch(note)
    const listing = this.#listing ?? this.#blobs.list()[Symbol.asyncIterator]()
    // Out of the way while it is in use: a step that fails leaves none, and the next one begins anew.
    this.#listing = undefined
    let more = true
    const found = new Map<string, string[]>()
    for (let count = 0; more && count < limit; count++) {
      const next = await listing.next()
      if (next.done) more = false
      else found.set(blobOwner(next.value), [...(found.get(blobOwner(next.value)) ?? []), next.value])
    }
    // Beside each other, so that their records are read at one go; but those of one upload under one claim.
    await Promise.all([...found].map(([id, blobs]) => this.#tidy(id, blobs, note).catch(note)))
    // Another step may have begun anew meanwhile; then this listing is not needed any more.
    if (more && this.#listing === undefined) this.#listing = listing
    else if (more) await listing.return?.()
    return failures.length > 0 ? { more, failures } : { more }
  }

  /** Closes the folder that it is in the middle of. */
  async close(): Promise<void> {
    await this.#listing?.return?.()
  }

  async #finishRemovals(limit: number, note: Note): Promise<void> {
    const buried = this.#inTurn(await this.#records.buried(limit + this.#stuck.size)).slice(0, limit)
    if (buried.length === 0) return
    const own = new Map<StoredUpload, readonly string[]>()
    for (const upload of buried) own.set(upload, await unsharedBlobs(this.#records, upload))
    // A record that came back without its bytes would be worse than one that was never removed.
    await this.#records.sync()
    for (const [upload, unshared] of own) {
      try {
        // Somebody else may have done it meanwhile, and a new upload may have the name or the id.
        const left = await this.#records.buried(limit + this.#stuck.size)
        if (!left.some((other) => isSame(upload, other))) continue
        await finishRemoval(this.#records, this.#blobs, upload, unshared, true)
        this.#stuck.delete(upload.id)
      } catch (error) {
        this.#noteStuck(upload.id, () => note(error))
      }
    }
  }

  /** Those first that were not tried yet, then those that could not be finished, each in its turn. */
  #inTurn(buried: readonly StoredUpload[]): readonly StoredUpload[] {
    const byId = new Map(buried.map((upload) => [upload.id, upload]))
    for (const id of this.#stuck) if (!byId.has(id)) this.#stuck.delete(id)
    const stuck = [...this.#stuck].flatMap((id) => byId.get(id) ?? [])
    return [...buried.filter(({ id }) => !this.#stuck.has(id)), ...stuck]
  }

  /** The same thing is in the way as before: it is said once. */
  #noteStuck(id: string, note: () => void): void {
    if (!this.#stuck.delete(id)) note()
    if (this.#stuck.size >= MAX_STUCK) this.#stuck.clear()
    this.#stuck.add(id)
  }

  /** Deals with blobs that have no finished name: the record is read after the listing, so it is the newer truth. */
  async #tidy(id: string, blobs: readonly string[], note: Note): Promise<void> {
    const upload = await this.#records.get(id)
    if (upload === undefined) return this.#removeUnnamed(id, blobs, note)
    const unnamed = blobs.filter((blob) => !isNamed(upload, blob))
    if (upload.complete) {
      // Whoever completed it just now needs all of them if the disk fails; a later pass finds what is left.
      if (!isReady(upload, this.#now())) return
      // What keeps one from being published is said by those who look for such uploads.
      const failed: Note = upload.published === false ? () => {} : note
      if (unnamed.length < blobs.length && isFile(upload)) await this.#publish(id).catch(failed)
      // One of them may be what a try under way copies to.
      if (upload.completion?.settled !== false) await this.#removeUnnamed(id, unnamed, note)
      return
    }
    if (unnamed.length === 0) return
    // A holder may be about to name one, so they go only under a claim of our own, which fences that one off.
    const claim = await this.#records.claim(id, { owner: 'vacuum', ttlMs: VACUUM_LEASE_MS })
    if (claim === undefined || !('fence' in claim)) return
    try {
      await this.#removeUnnamed(id, unnamed, note)
    } finally {
      await this.#records.release(id, claim.fence)
    }
  }

  /** Removes the blobs that no record names; after a power loss one would again, if that were not on the disk. */
  async #removeUnnamed(id: string, blobs: readonly string[], note: Note): Promise<void> {
    const unnamed = await this.#unnamed(id, blobs)
    if (unnamed.length === 0) return
    await this.#records.sync()
    // Once more: the id may be another upload's by now, and its blob with it.
    for (const blob of await this.#unnamed(id, unnamed)) {
      try {
        await this.#blobs.remove(blob)
      } catch (error) {
        note(error)
      }
    }
  }

  async #unnamed(id: string, blobs: readonly string[]): Promise<readonly string[]> {
    if (blobs.length === 0) return []
    const upload = await this.#records.get(id)
    if (upload !== undefined) return blobs.filter((blob) => !isNamed(upload, blob))
    const unnamed: string[] = []
    for (const blob of blobs) if (!(await this.#records.isShared(blob, id))) unnamed.push(blob)
    return unnamed
  }

  async #publish(id: string): Promise<void> {
    const request = { durable: true, retryAfterMs: RETRY_MS, now: this.#now }
    await publishLate(this.#records, this.#blobs, id, request)
  }
}

function isNamed({ pieces }: StoredUpload, blob: string): boolean {
  return pieces.some((piece) => piece.blob === blob)
}
