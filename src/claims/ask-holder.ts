// Asks a holder in another process to let go, and says what is known of it afterwards.

import { TusError } from '../errors.js'
import type { ClaimRequest } from '../storage/storage.js'
import type { Holder } from '../upload.js'
import type { Peers } from './peers.js'

/** What is known of the holder of a claim that has not run out by the storage's clock, if it is gone. */
export type Gone = Pick<ClaimRequest, 'dead' | 'lapsed'>

/** Who asks for what, and for how long. */
export interface HolderQuestion {
  readonly id: string
  /** As {@link AskOptions.offset}. */
  readonly offset: number | undefined
  /** The client's. */
  readonly signal: AbortSignal | undefined
  /** How long the request may still wait, in milliseconds. */
  readonly leftMs: number
  /** How long a claim lasts unless it is renewed, in milliseconds. */
  readonly leaseMs: number
  /** Milliseconds since the epoch. */
  readonly now: number
}

/**
 * Asks a holder in another process; settles when it let go, died, its lease ran out, or the wait is over.
 * A lease that has more left than any can have is by a clock that was set back since: it lasts as long as others, by a
 * clock that nobody sets.
 * @throws TusError `ERR_LOCKED` if the request may not wait any more; `ERR_OFFSET_MISMATCH`
 */
export async function askHolder(peers: Peers, holder: Holder, question: HolderQuestion): Promise<Gone> {
  const { id, offset, signal, leftMs, leaseMs, now } = question
  if (leftMs <= 0 || signal?.aborted) throw locked()
  const leaseLeftMs = Math.max(holder.leaseUntilMs - now, 1)
  const timeoutMs = Math.min(leftMs, leaseLeftMs, leaseMs)
  const answer = await peers.ask(holder.owner, id, { offset, timeoutMs, signal })
  if (answer === 'other') throw new TusError('ERR_OFFSET_MISMATCH')
  if (answer === 'dead') return { dead: holder.owner }
  const isOver = answer === 'lapsed' || (answer === 'silent' && leaseLeftMs > leaseMs && !signal?.aborted)
  return isOver ? { lapsed: holder } : {}
}

/** The error of a request that could not get an upload in time. */
export function locked(): TusError {
  return new TusError('ERR_LOCKED', { headers: { 'Retry-After': '1' } })
}
