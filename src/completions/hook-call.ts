// Calls `onUploadComplete`: with a limit of its time, and a warning where it takes long.

import type { Core } from '../core.js'
import { isTusError, type TusError } from '../errors.js'
import { checkResult, type HookRequest, hookUpload } from '../hooks.js'
import type { CompletionResult, Upload } from '../upload.js'

/** A hook that still runs after this many milliseconds is worth a warning. */
const LONG_HOOK_MS = 5 * 60_000
/** Node fires longer timers at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** What a hook is called for. */
export interface HookCall {
  readonly upload: Upload
  readonly attempt: number
  readonly request?: HookRequest | undefined
}

/** The application's refusal of an upload, as opposed to a failure on the way to it. */
export class Rejection extends Error {
  /** What the hook threw. */
  readonly verdict: TusError

  constructor(verdict: TusError) {
    super(verdict.message)
    this.verdict = verdict
  }
}

/** The hook has not returned in time. Its call still runs: nothing can end it. */
export class HookTimeout extends Error {}

/**
 * Calls the hook, if there is one.
 * @returns what it answers
 * @throws Rejection if it refuses the upload; HookTimeout; whatever else it throws
 */
export async function callHook(core: Core, call: HookCall): Promise<CompletionResult | undefined> {
  const { hooks, storage } = core.options
  if (hooks.onUploadComplete === undefined) return undefined
  const { upload, attempt, request } = call
  const path = await storage.pathOf?.(upload)
  const abort = new AbortController()
  try {
    const event = { upload: hookUpload(core, upload), path, attempt, request, signal: abort.signal }
    const answer = hooks.onUploadComplete(event)
    // Most of those that return at once need no timers.
    return checkResult(isThenable(answer) ? await inTime(core, call, Promise.resolve(answer), abort) : answer)
  } catch (error) {
    throw isTusError(error) ? new Rejection(error) : error
  }
}

/** Not by `instanceof`: queries of databases, and promises of other libraries and realms, are none of ours. */
function isThenable<T>(answer: T | PromiseLike<T>): answer is PromiseLike<T> {
  return typeof (answer as PromiseLike<T> | undefined | null)?.then === 'function'
}

async function inTime<T>(core: Core, call: HookCall, answer: Promise<T>, abort: AbortController): Promise<T> {
  const { hookTimeoutMs } = core.options
  const which = `onUploadComplete for the upload ${call.upload.id} (attempt ${call.attempt})`
  const warning = setTimeout(() => {
    core.warn(`${which} has been running for ${LONG_HOOK_MS / 60_000} minutes`)
  }, LONG_HOOK_MS).unref()
  if (hookTimeoutMs === 0) return answer.finally(() => clearTimeout(warning))
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => {
        const timeout = new HookTimeout(`${which} has not returned within ${hookTimeoutMs} ms; it will be tried again`)
        reject(timeout)
        abort.abort(timeout)
      },
      Math.min(hookTimeoutMs, MAX_TIMER_MS),
    ).unref()
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(warning)
    clearTimeout(timer)
  }
}
