// What follows when an upload is complete: the application is told, and final uploads that waited for it are assembled.

import { assembleFinalsOf } from '../assembly.js'
import { processing } from '../completions/processing.js'
import type { Core } from '../core.js'
import { TusError, toTusError } from '../errors.js'
import { hookRequest } from '../hooks.js'
import type { TusRequest, TusResponse } from '../request.js'
import { type CompletionResult, isPartial, isUnpublished, type Upload } from '../upload.js'
import { expiresAt } from './expiry.js'

/**
 * Does what follows after the commit that completed an upload.
 * @returns what the application answers, if that is awaited
 * @throws TusError the application's verdict, or whatever else went wrong
 */
export async function finish(core: Core, request: TusRequest, upload: Upload): Promise<CompletionResult | undefined> {
  if (isUnpublished(upload)) await publish(core, upload.id)
  if (isPartial(upload)) await assembleFinalsOf(core, upload.id)
  else if (core.completions.areAwaited) return core.completions.finish(upload, hookRequest(request))
  else if (core.options.hooks.onUploadComplete !== undefined) core.completions.wake('hook')
  return undefined
}

/**
 * When an upload expires that {@link finish} has finished; `undefined` as well while its hook runs in the background.
 */
export function expiryOfFinished(core: Core, upload: Upload): number | undefined {
  const isSettled = core.completions.requestFor(upload) === undefined || core.completions.areAwaited
  return isSettled ? expiresAt(core, { ...upload, activeAtMs: core.options.now() }) : undefined
}

async function publish({ completions, options, publications }: Core, id: string): Promise<void> {
  try {
    if (!(await publications.publish(id))) throw processing()
  } catch (error) {
    // The commit has given this request the right to run the hook, which comes after the file.
    if (completions.areAwaited) await options.storage.settleCompletion?.(id, 1, { retryAfterMs: 0, step: 'hook' })
    throw error
  }
}

/**
 * The answer to a POST that has completed an upload. A failure that is no verdict tells the URL, too:
 * the upload is there.
 */
export async function created(
  headers: Record<string, string>,
  finishing: () => Promise<CompletionResult | undefined>,
): Promise<TusResponse> {
  try {
    const result = resultParts(await finishing())
    return { status: 201, headers: { ...result.headers, ...headers }, body: result.body }
  } catch (thrown) {
    const { code, message, status, headers: own, cause } = toTusError(thrown)
    const location = status >= 500 || status === 423 ? headers : {}
    throw new TusError(code, { message, status, headers: { ...location, ...own }, cause })
  }
}

/** What a hook's body is that says no type. It is a string, and sent as UTF-8. */
const BODY_TYPE = 'text/plain; charset=utf-8'

/** The part of an answer that the application has made. */
export function resultParts(result: CompletionResult | undefined): {
  headers: Readonly<Record<string, string>> | undefined
  body: Uint8Array | undefined
} {
  if (result?.body === undefined) return { headers: result?.headers, body: undefined }
  const typed = Object.keys(result.headers ?? {}).some((name) => name.toLowerCase() === 'content-type')
  return {
    headers: typed ? result.headers : { ...result.headers, 'Content-Type': BODY_TYPE },
    body: Buffer.from(result.body),
  }
}
