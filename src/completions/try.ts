// One try to complete an upload: its file is made, the application is told, and how it ended is recorded.

import type { Core } from '../core.js'
import type { TusError } from '../errors.js'
import { isUnneeded, tombstoneOf } from '../handlers/missing.js'
import { isKept, removeUpload } from '../handlers/remove-upload.js'
import type { HookRequest } from '../hooks.js'
import type { CompletionOutcome, CompletionStep } from '../storage/storage.js'
import type { CompletionResult, Upload } from '../upload.js'
import { backoffMs } from './backoff.js'
import { callHook, HookTimeout, Rejection } from './hook-call.js'
import type { Lanes, Slot } from './lanes.js'
import { processing } from './processing.js'

/** One try. */
export interface Try {
  readonly upload: Upload
  readonly attempt: number
  /** The request that waits for it, if one does. */
  readonly request?: HookRequest | undefined
  /** Whether its file is there already: the commit that completed it has come before, in this process. */
  readonly hasFile?: boolean
  /** The slot that it runs in; `undefined` for the first try of a request, which needs none. */
  readonly slot?: Slot | undefined
}

/** What a try needs of the loop around it. */
export interface TryContext {
  readonly core: Core
  readonly lanes: Lanes
  /** Called when a try has failed and is due again so many milliseconds later. */
  readonly retryIn: (ms: number) => void
  /** Whether the storage may be closed by now. */
  readonly isClosed: () => boolean
}

/**
 * Does what is to be done, renewing the right to it, and records how it ended.
 * @returns what the application answers; `undefined` also where the rest was left to another try
 * @throws TusError the application's refusal, after the upload was removed; whatever else went wrong, to be tried again
 */
export async function runTry(context: TryContext, job: Try): Promise<CompletionResult | undefined> {
  const { core } = context
  const { storage, leaseMs } = core.options
  const { upload, attempt } = job
  const renew = async (): Promise<unknown> => storage.renewCompletion?.(upload.id, attempt, leaseMs)
  const renewal = setInterval(() => renew().catch(core.report), leaseMs / 3).unref()
  let step: CompletionStep = upload.completion?.step ?? 'hook'
  let slot = job.slot
  try {
    // Another instance has the right to it by now.
    if (!(await makeFile(core, job))) throw processing()
    const hasHook = core.options.hooks.onUploadComplete !== undefined
    if (hasHook || isForHook(upload)) {
      step = 'hook'
      slot = toHooks(context, slot, upload)
      // The rest is for a server that has the hook, or for when a slot is free.
      if (!hasHook || (job.slot !== undefined && slot === undefined)) {
        await settle(context, job, { retryAfterMs: 0, step })
        return undefined
      }
    }
    const result = await callHook(core, job)
    await settle(context, job, { result, activeAtMs: core.options.now() })
    return result
  } catch (error) {
    throw await failed(context, job, step, error)
  } finally {
    clearInterval(renewal)
    slot?.release()
  }
}

/** A slot for the hook, in place of the one for the copy that comes before it. */
function toHooks({ lanes }: TryContext, slot: Slot | undefined, { offset }: Upload): Slot | undefined {
  if (slot === undefined || slot.step === 'hook') return slot
  slot.release()
  return lanes.acquire('hook', offset)
}

/** Removes what the application refuses, and puts off what failed. @returns the error for whoever waits */
async function failed(context: TryContext, job: Try, step: CompletionStep, error: unknown): Promise<unknown> {
  let cause = error
  if (error instanceof Rejection) {
    try {
      await reject(context.core, job, error.verdict)
      return error.verdict
    } catch (failure) {
      // Another request may hold the upload. The application is asked once more, later.
      cause = failure
    }
  }
  const retryAfterMs = backoffMs(job.attempt)
  await settle(context, job, { retryAfterMs, step })
  context.retryIn(retryAfterMs)
  if (!(cause instanceof HookTimeout) || job.request === undefined) return cause
  // Its client may come again for the answer of the next try.
  context.core.report(cause)
  return processing(retryAfterMs)
}

async function settle(context: TryContext, { upload, attempt }: Try, outcome: CompletionOutcome): Promise<void> {
  // The storage may be closed by now; then the try runs out, and another instance makes the next one.
  try {
    await context.core.options.storage.settleCompletion?.(upload.id, attempt, outcome)
  } catch (error) {
    if (!context.isClosed()) throw error
  }
}

/**
 * Makes the finished file: one file of a final upload, under its name.
 * @returns `false` if another instance has the right to by now, or the upload is gone
 */
async function makeFile(core: Core, { upload, attempt, hasFile = false }: Try): Promise<boolean> {
  const { storage, durability, keepPartials } = core.options
  if (hasFile) return true
  const durable = durability !== 'none'
  // A copy that was made before takes no more space.
  const giveBack = upload.completion?.step === 'copy' ? await core.space.reserve(upload.offset) : undefined
  try {
    if (storage.flatten !== undefined && !(await storage.flatten(upload.id, attempt, durable))) return false
  } finally {
    giveBack?.()
  }
  if (!keepPartials) for (const partial of new Set(upload.concat?.partials)) await removePartial(core, partial)
  return true
}

async function removePartial(core: Core, id: string): Promise<void> {
  // Another final upload may need it still.
  if (!(await isUnneeded(core.options.storage, id))) return
  try {
    await removeUpload(core, id, { request: undefined })
  } catch (error) {
    // Another request is removing it, or another final upload needs it by now. This one, which is whole, need not wait.
    if (!isKept(error)) throw error
  }
}

/** Removes an upload that the application refuses. @throws TusError if it could not be removed */
async function reject(core: Core, { upload, attempt }: Try, { status }: TusError): Promise<void> {
  await removeUpload(core, upload.id, {
    request: undefined,
    // Another try may have begun since this one ran out, and may have ended otherwise.
    before: ({ completion }) => {
      if (completion?.settled !== false || completion.attempt !== attempt) throw processing()
    },
    tombstone: tombstoneOf(core, status),
    promised: true,
  })
}

/** Whether the application wants to be told, so that no server without the hook may say that it is done. */
function isForHook({ concat }: Upload): boolean {
  return concat?.partials === undefined || concat.awaitsHook === true
}
