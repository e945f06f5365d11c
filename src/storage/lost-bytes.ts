// What becomes of an upload whose committed bytes may be lost, or are: it goes back to those that are there for sure.

import type { Blobs, Records, StoredUpload } from './parts.js'
import { isSame, keptBytes, piecesAfterDistrust, piecesUpTo } from './pieces.js'
import type { CommitResult } from './storage.js'

/** Why nothing can be committed any more. */
export type Loss = Exclude<CommitResult, 'ok' | 'unpublished'>

/** What keeps a claim from committing at an offset, going by the record. */
export function lossOf(upload: StoredUpload | undefined, fence: number, from: number): Loss | undefined {
  if (upload === undefined) return 'gone'
  if (upload.fence !== fence || upload.holder === undefined) return 'fenced'
  return upload.offset !== from || upload.complete ? 'moved' : undefined
}

/** The blob that an upload goes on in where the one that it had is not trusted any more. */
function nextBlob(id: string, fence: number): string {
  return `${id}.${fence}.again`
}

/**
 * Takes an upload back to what was synced, after a sync under this claim failed: the system may have dropped the rest,
 * and say at the next sync that all is well. It goes on from there in another blob.
 * @param stage - the claim, what it knows to be on the disk, and the pieces that it has made one of with the last
 *   commit
 */
export async function fallBackToSynced(
  records: Records,
  {
    upload: own,
    fence,
    synced,
    scattered,
  }: {
    readonly upload: StoredUpload | undefined
    readonly fence: number
    readonly synced: number
    readonly scattered: StoredUpload['pieces'] | undefined
  },
): Promise<void> {
  if (own === undefined) return
  for (;;) {
    const upload = await records.get(own.id)
    // Another upload may have the id by now.
    if (upload === undefined || !isSame(upload, own)) return
    if (upload.offset < synced) return
    // Whoever goes on from there has its pieces already, and writes again all that may be lost.
    if (upload.offset === synced && upload.fence !== fence) return
    // What is complete was synced by whoever completed it. That may be this stage, whose claim holds until it has been.
    if (upload.complete && (upload.fence !== fence || upload.holder === undefined)) return
    const trusted = upload.fence === fence ? scattered : undefined
    const pieces = piecesAfterDistrust(trusted ?? upload.pieces, synced, nextBlob(own.id, fence))
    if (await records.fallBack(upload, synced, pieces)) return
  }
}

/**
 * Takes an upload back to the committed bytes that are there, under a claim that holds: something other than this
 * package has removed or replaced one of its blobs.
 * @param replaced - whether the blob that is written to is another file than it was: nothing of it is used
 */
export async function fallBackToKept(
  records: Records,
  blobs: Blobs,
  { id, fence, from, replaced }: { id: string; fence: number; from: number; replaced: boolean },
): Promise<Loss> {
  const upload = await records.get(id)
  const loss = lossOf(upload, fence, from)
  if (loss !== undefined || upload === undefined) return loss ?? 'gone'
  const to = await keptBytes(blobs, { ...upload, synced: upload.offset }, replaced)
  const pieces = replaced ? piecesAfterDistrust(upload.pieces, to, nextBlob(id, fence)) : piecesUpTo(upload.pieces, to)
  return (await records.fallBack(upload, to, pieces)) ? 'lost' : 'moved'
}

/** Whether it never came to a sync, for want of a descriptor, say: then nothing is lost by it. */
export function wasNotTried(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.syscall === 'open'
}
