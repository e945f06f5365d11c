// Lists records in memory, in the order of their ids.

import type { StoredPage, StoredUpload } from '../parts.js'
import type { ListRequest } from '../storage.js'

/**
 * One page. The cursor is the last id of it.
 * @param get - reads one that was not removed
 * @param ids - all ids, in any order
 */
export function pageOf(
  get: (id: string) => StoredUpload | undefined,
  ids: Iterable<string>,
  { cursor = '', complete, limit }: ListRequest,
): StoredPage {
  const uploads: StoredUpload[] = []
  for (const id of [...ids].filter((one) => one > cursor).sort()) {
    const upload = get(id)
    if (upload === undefined || upload.complete !== (complete ?? upload.complete)) continue
    uploads.push(upload)
    if (uploads.length === limit) return { uploads, cursor: id }
  }
  return { uploads, cursor: undefined }
}
