// A storage to copy for a database and an object store of your own: every call awaits, nothing is a file.
//
// Records are documents that are updated only if nobody else has changed them in between (compare-and-swap: `UPDATE …
// WHERE version = ?`, `If-Match`, a conditional put, WATCH/MULTI …). Bytes are parts, objects that never change. What
// makes it safe:
//
// - The keys of parts contain the fence, so a holder that lost its claim without noticing writes beside everything.
// - A part counts from the moment that the record lists it, and it gets there only under the fence it was written with.
//
// The tests of `resumable-upload/testing` check that; run them on your own storage, too.

import { setImmediate as clientLatency } from 'node:timers/promises'
import express from 'express'
import {
  type ClaimRequest,
  type ClaimResult,
  type Commit,
  type CommitResult,
  type ListRequest,
  type ListResult,
  type NewUpload,
  prepareServer,
  type RemoveResult,
  type Stage,
  type Storage,
  TusServer,
  tusMiddleware,
  type Upload,
} from 'resumable-upload'

// ---- The clients of the two services; replace them by yours ---------------------------------------------------------

interface Document<T> {
  readonly value: T
  readonly version: number
}

/** A database of documents. */
export class DocumentStore<T> {
  readonly #documents = new Map<string, Document<T>>()

  async get(key: string): Promise<Document<T> | undefined> {
    await clientLatency()
    return structuredClone(this.#documents.get(key))
  }

  /** One page of the keys behind `after`, in order. */
  async list(after: string, limit: number): Promise<readonly string[]> {
    await clientLatency()
    const keys = [...this.#documents.keys()].sort()
    return keys.filter((key) => key > after).slice(0, limit)
  }

  /** Returns whether it was inserted: not if there is one. */
  async insert(key: string, value: T): Promise<boolean> {
    await clientLatency()
    if (this.#documents.has(key)) return false
    this.#documents.set(key, { value: structuredClone(value), version: 1 })
    return true
  }

  /** Returns whether it was updated: not if there is another version by now, or none. */
  async update(key: string, value: T, version: number): Promise<boolean> {
    await clientLatency()
    if (this.#documents.get(key)?.version !== version) return false
    this.#documents.set(key, { value: structuredClone(value), version: version + 1 })
    return true
  }

  /** Returns whether it was deleted: not if there is another version by now, or none. */
  async delete(key: string, version: number): Promise<boolean> {
    await clientLatency()
    return this.#documents.get(key)?.version === version && this.#documents.delete(key)
  }
}

/** A store of objects. What `put` has settled for is durable. */
export class ObjectStore {
  readonly #objects = new Map<string, Uint8Array>()

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await clientLatency()
    this.#objects.set(key, bytes)
  }

  async get(key: string, start: number, end: number): Promise<Uint8Array> {
    await clientLatency()
    const bytes = this.#objects.get(key)
    if (bytes === undefined) throw new Error(`there is no object ${key}`)
    return bytes.subarray(start, end)
  }

  async delete(key: string): Promise<void> {
    await clientLatency()
    this.#objects.delete(key)
  }

  /** One page of the keys behind `after`, in order. */
  async list(after: string, limit: number): Promise<readonly string[]> {
    await clientLatency()
    const keys = [...this.#objects.keys()].sort()
    return keys.filter((key) => key > after).slice(0, limit)
  }
}

// ---- The storage ----------------------------------------------------------------------------------------------------

/** A part of an upload, in the order of its bytes. */
interface Part {
  readonly key: string
  readonly size: number
}

/** What the database keeps of an upload. */
export interface UploadDocument extends Omit<Upload, 'offset'> {
  /** The number of the latest claim. */
  readonly fence: number
  readonly parts: readonly Part[]
}

/** What the database keeps: uploads, and which upload has a file name. */
export type StoredDocument = UploadDocument | { readonly takenBy: string }

/** What {@link AsyncStorage} is made of. */
export interface AsyncStorageOptions {
  readonly documents: DocumentStore<StoredDocument>
  readonly objects: ObjectStore
  /** Milliseconds since the epoch, from one clock for all servers: the database's own, say. */
  readonly now?: () => number
}

type Change = (upload: UploadDocument) => UploadDocument

/** Uploads in a database and an object store. */
export class AsyncStorage implements Storage {
  readonly #documents: DocumentStore<StoredDocument>
  readonly #objects: ObjectStore
  readonly #now: () => number
  #listedUpTo = ''

  constructor({ documents, objects, now = Date.now }: AsyncStorageOptions) {
    this.#documents = documents
    this.#objects = objects
    this.#now = now
  }

  async create(upload: NewUpload): Promise<'created' | 'exists'> {
    // A kill between the two leaves a name that nobody uses: harmless, since names are random unless you choose them.
    const name = nameKey(upload.name)
    if (!(await this.#documents.insert(name, { takenBy: upload.id }))) return 'exists'
    // Time goes on, so an id that is used again begins with a fence beyond all that its former upload had.
    const untouched = { activeAtMs: upload.createdAtMs, complete: false, holder: undefined, parts: [] }
    const document = { ...upload, ...untouched, fence: this.#now() }
    if (await this.#documents.insert(uploadKey(upload.id), document)) return 'created'
    await this.#documents.delete(name, 1)
    return 'exists'
  }

  async get(id: string): Promise<Upload | undefined> {
    const found = await this.#find(id)
    return found && uploadOf(found.value)
  }

  async claim(id: string, { owner, ttlMs, unfinished, dead }: ClaimRequest): Promise<ClaimResult> {
    for (;;) {
      const found = await this.#find(id)
      if (found === undefined) return undefined
      const { holder } = found.value
      if (unfinished && found.value.complete && holder === undefined) return { complete: uploadOf(found.value) }
      const now = this.#now()
      if (holder !== undefined && holder.leaseUntilMs > now && holder.owner !== dead) return { heldBy: holder }
      const fence = found.value.fence + 1
      const claimed = { ...found.value, fence, holder: { owner, leaseUntilMs: now + ttlMs } }
      if (await this.#documents.update(uploadKey(id), claimed, found.version)) {
        return { upload: uploadOf(claimed), fence }
      }
      // Somebody was faster. Look who.
    }
  }

  async renew(id: string, fence: number, ttlMs: number): Promise<boolean> {
    const leaseUntilMs = this.#now() + ttlMs
    return this.#change(id, fence, (upload) => ({
      ...upload,
      holder: upload.holder && { ...upload.holder, leaseUntilMs },
    }))
  }

  async release(id: string, fence: number, activeAtMs?: number): Promise<void> {
    await this.#change(id, fence, (upload) => ({
      ...upload,
      activeAtMs: activeAtMs ?? upload.activeAtMs,
      holder: undefined,
    }))
  }

  async openStage(id: string, fence: number, from: number): Promise<Stage> {
    return new PartStage(this, this.#objects, { id, fence, from })
  }

  async remove(id: string, fence: number): Promise<RemoveResult> {
    for (;;) {
      const found = await this.#find(id)
      if (found === undefined) return 'gone'
      if (!isHeld(found.value, fence)) return 'fenced'
      // The record goes first: parts without one are found by vacuum(), a record without parts is a broken upload.
      if (!(await this.#documents.delete(uploadKey(id), found.version))) continue
      await this.#documents.delete(nameKey(found.value.name), 1)
      for (const { key } of found.value.parts) await this.#objects.delete(key)
      return 'removed'
    }
  }

  async *read(id: string, start: number, end: number): AsyncGenerator<Uint8Array> {
    const found = await this.#find(id)
    let position = 0
    for (const { key, size } of found?.value.parts ?? []) {
      const [from, to] = [Math.max(start - position, 0), Math.min(end - position, size)]
      if (from < to) yield await this.#objects.get(key, from, to)
      position += size
    }
  }

  async list({ cursor = '', complete, limit }: ListRequest): Promise<ListResult> {
    const keys = await this.#documents.list(uploadKey(cursor), limit)
    const found = await Promise.all(
      keys.filter((key) => key.startsWith(uploadKey(''))).map((key) => this.#documents.get(key)),
    )
    const uploads = found.flatMap((document) => (document ? [uploadOf(document.value as UploadDocument)] : []))
    const last = keys.at(-1)
    return {
      uploads: uploads.filter((upload) => upload.complete === (complete ?? upload.complete)),
      cursor: last !== undefined && keys.length === limit ? last.slice(uploadKey('').length) : undefined,
    }
  }

  /** Deletes parts that no record lists, and that none can list any more. */
  async vacuum(limit: number): Promise<{ more: boolean }> {
    const keys = await this.#objects.list(this.#listedUpTo, limit)
    for (const key of keys) {
      const { id, fence } = ownerOf(key)
      const upload = (await this.#find(id))?.value
      const listed = upload?.parts.some((part) => part.key === key)
      const comingUp = upload !== undefined && isHeld(upload, fence)
      if (!listed && !comingUp) await this.#objects.delete(key)
    }
    this.#listedUpTo = keys.length < limit ? '' : (keys.at(-1) ?? '')
    return { more: keys.length === limit }
  }

  async close(): Promise<void> {
    // Here the connections of the clients are closed.
  }

  /** Adds parts to an upload: one compare-and-swap on fence and offset. */
  async commit(id: string, fence: number, from: number, parts: readonly Part[], commit: Commit): Promise<CommitResult> {
    for (;;) {
      const found = await this.#find(id)
      if (found === undefined) return 'gone'
      const { value: upload, version } = found
      if (!isHeld(upload, fence)) return 'fenced'
      if (sizeOf(upload.parts) !== from || upload.complete) return 'moved'
      const changed: UploadDocument = {
        ...upload,
        parts: [...upload.parts, ...parts],
        length: commit.length ?? upload.length,
        activeAtMs: commit.activeAtMs ?? upload.activeAtMs,
        complete: commit.complete ?? false,
        holder: commit.release ? undefined : upload.holder,
      }
      if (await this.#documents.update(uploadKey(id), changed, version)) return 'ok'
      // The claim was renewed meanwhile, or lost. Look which.
    }
  }

  async #change(id: string, fence: number, change: Change): Promise<boolean> {
    for (;;) {
      const found = await this.#find(id)
      if (found === undefined || !isHeld(found.value, fence)) return false
      if (await this.#documents.update(uploadKey(id), change(found.value), found.version)) return true
    }
  }

  async #find(id: string): Promise<Document<UploadDocument> | undefined> {
    return (await this.#documents.get(uploadKey(id))) as Document<UploadDocument> | undefined
  }
}

interface StageOptions {
  readonly id: string
  readonly fence: number
  readonly from: number
}

/** Puts each write into a part of its own. The server gathers a body into writes of about 1 MiB. */
class PartStage implements Stage {
  readonly #storage: AsyncStorage
  readonly #objects: ObjectStore
  readonly #id: string
  readonly #fence: number
  #committed: number
  #parts: readonly Part[] = []
  /** A commit whose answer was lost may have been done: its parts must be neither deleted nor overwritten. */
  #inDoubt = false

  constructor(storage: AsyncStorage, objects: ObjectStore, { id, fence, from }: StageOptions) {
    this.#storage = storage
    this.#objects = objects
    this.#id = id
    this.#fence = fence
    this.#committed = from
  }

  async write(chunks: readonly Uint8Array[]): Promise<void> {
    // A copy: the caller may use its buffers again when this has settled.
    const bytes = Buffer.concat(chunks)
    if (bytes.length === 0) return
    if (this.#inDoubt) throw new Error('what became of the last commit is unknown')
    const position = this.#committed + sizeOf(this.#parts)
    const key = `${this.#id}/${this.#fence}/${String(position).padStart(16, '0')}`
    await this.#objects.put(key, bytes)
    this.#parts = [...this.#parts, { key, size: bytes.length }]
  }

  async commit(commit: Commit): Promise<CommitResult> {
    const parts = cutTo(this.#parts, commit.to - this.#committed)
    this.#inDoubt = true
    const result = await this.#storage.commit(this.#id, this.#fence, this.#committed, parts, commit)
    this.#inDoubt = false
    if (result === 'ok') {
      await this.#drop(this.#parts.slice(parts.length))
      this.#committed = commit.to
      this.#parts = []
    }
    return result
  }

  async discard(): Promise<void> {
    if (this.#inDoubt) return
    await this.#drop(this.#parts)
    this.#parts = []
  }

  async close(): Promise<void> {
    // Nothing is open. Parts that were not committed are left to vacuum().
  }

  async #drop(parts: readonly Part[]): Promise<void> {
    for (const { key } of parts) await this.#objects.delete(key)
  }
}

function uploadKey(id: string): string {
  return `upload/${id}`
}

function nameKey(name: string): string {
  return `name/${name}`
}

function ownerOf(partKey: string): { readonly id: string; readonly fence: number } {
  const [id = '', fence] = partKey.split('/')
  return { id, fence: Number(fence) }
}

function isHeld(upload: UploadDocument, fence: number): boolean {
  return upload.fence === fence && upload.holder !== undefined
}

function uploadOf({ fence: _fence, parts, ...upload }: UploadDocument): Upload {
  return { ...upload, offset: sizeOf(parts) }
}

function sizeOf(parts: readonly Part[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0)
}

/** The parts of the first `size` bytes; the last one may count for less than it has. */
function cutTo(parts: readonly Part[], size: number): readonly Part[] {
  const cut: Part[] = []
  let left = size
  for (const part of parts) {
    if (left <= 0) break
    cut.push({ key: part.key, size: Math.min(part.size, left) })
    left -= part.size
  }
  return cut
}

// ---- The server -----------------------------------------------------------------------------------------------------

function serve(): void {
  const port = Number(process.env.PORT ?? 3000)
  const storage = new AsyncStorage({ documents: new DocumentStore(), objects: new ObjectStore() })
  const tus = new TusServer({ storage })
  const app = express()
  app.use('/files', tusMiddleware(tus))
  const server = app.listen(port, () => console.log(`Uploads go to http://localhost:${port}/files`))
  prepareServer(server, tus)
  process.once('SIGTERM', () => {
    server.close()
    void tus.close()
  })
}

// When it is what Node was started with, and not when a test imports it.
if (/async-storage\.[cm]?[jt]s$/.test(process.argv[1] ?? '')) serve()
