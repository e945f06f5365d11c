// What all handlers share.

import { MemoryBudget, Turns } from './admission.js'
import { Claims } from './claims/claims.js'
import { Completions } from './completions/completions.js'
import { type Cors, createCors } from './cors.js'
import type { Intake } from './handlers/receive-body.js'
import type { ResolvedOptions } from './options.js'
import { Pace } from './pace.js'
import { Publications } from './publications.js'
import { Space } from './space.js'

/** The version of the protocol. */
export const TUS_VERSION = '1.0.0'

/** The parts of a server that handlers work with. */
export interface Core {
  readonly options: ResolvedOptions
  readonly claims: Claims
  readonly intake: Intake
  readonly completions: Completions
  readonly publications: Publications
  readonly space: Space
  /** `undefined` if the application sees to it. */
  readonly cors: Cors | undefined
  /** Says what went wrong where nobody waits for it. */
  readonly report: (error: unknown) => void
  /** Says something that the operator of the server should know. */
  readonly warn: (message: string) => void
}

/** Puts the parts of a server together. */
export function createCore(
  options: ResolvedOptions,
  { onError, warn }: { onError: (error: unknown) => void; warn: (message: string) => void },
): Core {
  const { storage, leaseMs, claimWaitMs, maxActiveBodies, memoryBudget, segmentBytes, segmentMs, now } = options
  const leastSegment = storage.segments?.minBytes ?? 0
  const core: Core = {
    options,
    completions: new Completions(() => core, { concurrency: options.completionConcurrency, onError }),
    publications: new Publications(() => core, onError),
    cors: options.cors ? createCors(options.cors, options) : undefined,
    space: new Space({ ...options, warn }),
    report: onError,
    warn,
    claims: new Claims({
      storage,
      leaseMs,
      waitMs: claimWaitMs,
      now,
      isWorking: () => core.completions.isWorking,
      onError,
    }),
    intake: {
      turns: new Turns(maxActiveBodies),
      budget: new MemoryBudget(memoryBudget),
      pace: new Pace(options),
      segmentBytes: Math.max(segmentBytes, leastSegment),
      commitBytes: Math.max(segmentBytes / 2, leastSegment),
      // A storage with a least size of segments can't commit whenever time has gone by.
      segmentMs: storage.segments === undefined ? segmentMs : Number.POSITIVE_INFINITY,
      now,
    },
  }
  return core
}
