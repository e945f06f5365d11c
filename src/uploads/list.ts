// The list of all uploads, page by page.

import { type Checks, checkOptions, integer, oneOf, text } from '../check-options.js'
import type { Core } from '../core.js'
import { describe, type InspectedUpload } from './inspect.js'
import { isComplete, stateOf, UPLOAD_STATES, type UploadState } from './state.js'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 1000

/** Which uploads {@link TusServer.list} returns. */
export interface ListOptions {
  /** What the page before said; none for the first page. */
  readonly cursor?: string | undefined
  /** @default all */
  readonly state?: UploadState | undefined
  /**
   * How many at most: 1 to 1000.
   * @default 100
   */
  readonly limit?: number | undefined
}

/** One page of {@link TusServer.list}. */
export interface UploadPage {
  readonly uploads: readonly InspectedUpload[]
  /** Where the next page begins; `undefined` after the last one. */
  readonly cursor: string | undefined
}

const CHECKS: Checks<ListOptions> = { cursor: text, state: oneOf(...UPLOAD_STATES), limit: integer(1, MAX_LIMIT) }

/**
 * Reads one page.
 * @throws TypeError if an option can't be what it says
 * @throws Error if the storage has no `list`
 */
export async function listUploads(core: Core, options: ListOptions): Promise<UploadPage> {
  const { cursor, state, limit = DEFAULT_LIMIT } = checkOptions('list', options, CHECKS)
  const { storage, now } = core.options
  if (storage.list === undefined) throw new Error('list: the storage has no list()')
  const page = await storage.list({ cursor, limit, complete: state && isComplete(state) })
  const nowMs = now()
  const wanted = state === undefined ? page.uploads : page.uploads.filter((one) => stateOf(one, nowMs) === state)
  return { uploads: await Promise.all(wanted.map((upload) => describe(core, upload))), cursor: page.cursor }
}

/** Reads all pages, one after the other. */
export async function* listAllUploads(
  list: (options: ListOptions) => Promise<UploadPage>,
  options: Omit<ListOptions, 'cursor'>,
): AsyncGenerator<InspectedUpload> {
  let cursor: string | undefined
  do {
    const page = await list({ ...options, cursor })
    yield* page.uploads
    cursor = page.cursor
  } while (cursor !== undefined)
}
