// Gives finished files their names: right after the commit that completed the upload, or later where a kill came
// between or something was in the way.

import { wasNotTried } from './lost-bytes.js'
import type { Blobs, FinishedFile, Records, StoredUpload } from './parts.js'
import { fileOf, isFile, isReady, isSame } from './pieces.js'
import type { PublishRequest } from './storage.js'

/**
 * Gives the finished file its name right after the commit that completed its upload, under the claim.
 * @param trusting - runs the sync of the name, and answers for one that fails; `undefined` if the name need not be
 *   synced
 * @returns whether it has its name now: whoever publishes it later says what was in the way
 */
export async function publishCommitted(
  blobs: Blobs,
  blob: string,
  file: FinishedFile,
  trusting: ((sync: () => Promise<void>) => Promise<void>) | undefined,
): Promise<boolean> {
  try {
    if (!(await blobs.place(blob, file))) return false
  } catch {
    return false
  }
  await trusting?.(async () => {
    try {
      await blobs.syncPlaced(file.name)
    } catch (error) {
      if (!wasNotTried(error)) await blobs.takeBack(file, blob)
      throw error
    }
  })
  await blobs.settlePlaced(blob)
  return true
}

/**
 * Gives the finished file of a complete upload its name, as {@link Storage.publish} has it. As long as somebody holds
 * the upload, the completion may be taken back, and then the blob is needed.
 * @param now - the present, in milliseconds since the epoch
 * @returns whether the upload is published by now
 */
export async function publishLate(
  records: Records,
  blobs: Blobs,
  id: string,
  { durable, retryAfterMs, dead, now }: PublishRequest & { readonly now: () => number },
): Promise<boolean> {
  const isFree = (upload: StoredUpload): boolean =>
    isReady(upload, now()) || (dead !== undefined && upload.holder?.owner === dead)
  const before = await records.get(id)
  const blob = before?.pieces.at(-1)?.blob
  if (before === undefined || blob === undefined || !isFile(before) || !isFree(before)) return false
  // After a power loss the record must not be one of before, which looks for the bytes in the blob.
  if ((await blobs.size(blob)) > 0) await records.sync()
  // That may have taken long: another upload may have the id by now.
  const upload = await records.get(id)
  if (upload === undefined || !isSame(before, upload) || !isFile(upload) || !isFree(upload)) return false
  try {
    // If neither the blob nor the file is there, an earlier try has got this far, and the file was moved away since.
    await blobs.place(blob, fileOf(upload))
    if (durable) await syncName(blobs, upload.name)
    await blobs.settlePlaced(blob)
  } catch (error) {
    await records.publishLater(upload, now() + retryAfterMs)
    throw error
  }
  await records.published(upload)
  return true
}

async function syncName(blobs: Blobs, name: string): Promise<void> {
  try {
    await blobs.syncPlaced(name)
  } catch (error) {
    // The application may have moved the file away, and removed its folder.
    const code = (error as NodeJS.ErrnoException | undefined)?.code
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
  }
}
