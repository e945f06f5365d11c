// Asks a holder in another process to let go, and says what is known of it afterwards.

import { TusError } from '../errors.js'
import type { ClaimRequest } from '../storage/storage.js'
import { type Holder, isSameHolder } from '../upload.js'
import type { Peers } from './peers.js'

/** What is known of the holder of a claim that has not run out by the storage's clock, if it is gone. */
export type Gone = Pick<ClaimRequest, 'dead' | 'lapsed'>

/** Who asks, and for what. */
export interface AskOptions {
  /**
   * The offset at which the newcomer wants to go on. A holder that has come to any other is not disturbed, since the
   * newcomer could not match. `undefined`: whatever the offset.
   */
  readonly offset?: number | undefined
  /**
   * When the upload that the newcomer means was created. Another one that has its id by now is as good as none, and
   * whoever writes to that is not disturbed. `undefined`: whichever has the id.
   */
  readonly createdAtMs?: number | undefined
  /** Whether a complete upload is not to be claimed: what is handed back for it is a claim that is over. */
  readonly unfinished?: boolean
  /** Aborted when the newcomer's client is gone. */
  readonly signal?: (() => AbortSignal | undefined) | undefined
}

/** How many holders are remembered whose lease can't be believed. */
const MAX_DOUBTFUL = 1000

/** Since when holders were seen whose lease has more left than any can have: the clock was set back since. */
export class DoubtfulLeases {
  readonly #seen = new Map<string, { readonly holder: Holder; readonly sinceMs: number }>()

  /** For how long a holder has not prolonged its claim, in milliseconds by a clock that nobody sets. */
  unmovedMs(id: string, holder: Holder): number {
    const now = performance.now()
    const before = this.#seen.get(id)
    if (before !== undefined && isSameHolder(before.holder, holder)) return now - before.sinceMs
    this.#seen.delete(id)
    this.#seen.set(id, { holder, sinceMs: now })
    for (const oldest of this.#seen.keys()) {
      if (this.#seen.size <= MAX_DOUBTFUL) break
      this.#seen.delete(oldest)
    }
    return 0
  }
}

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
  /** What is remembered of leases that can't be believed. */
  readonly doubtful: DoubtfulLeases
}

/**
 * Asks a holder in another process; settles when it let go, died, its lease ran out, or the wait is over.
 * A lease that has more left than any can have lasts as long as others from when it was seen first, by a clock that
 * nobody sets.
 * @throws TusError `ERR_LOCKED` if the request may not wait any more; `ERR_OFFSET_MISMATCH`
 */
export async function askHolder(peers: Peers, holder: Holder, question: HolderQuestion): Promise<Gone> {
  const { id, offset, signal, leftMs, leaseMs, now, doubtful } = question
  if (leftMs <= 0 || signal?.aborted) throw locked()
  const leaseLeftMs = Math.max(holder.leaseUntilMs - now, 1)
  const isDoubtful = leaseLeftMs > leaseMs
  const restMs = isDoubtful ? Math.max(leaseMs - doubtful.unmovedMs(id, holder), 1) : leaseLeftMs
  const timeoutMs = Math.min(leftMs, restMs)
  const answer = await peers.ask(holder.owner, id, { offset, timeoutMs, signal })
  if (answer === 'other') throw new TusError('ERR_OFFSET_MISMATCH')
  if (answer === 'dead') return { dead: holder.owner }
  if (answer === 'lapsed') return { lapsed: holder }
  const isSilent = answer === 'silent' && !signal?.aborted
  return isSilent && isDoubtful && doubtful.unmovedMs(id, holder) >= leaseMs ? { lapsed: holder } : {}
}

/** The error of a request that could not get an upload in time. */
export function locked(): TusError {
  return new TusError('ERR_LOCKED', { headers: { 'Retry-After': '1' } })
}
