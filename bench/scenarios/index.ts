// All scenarios, in the order in which they run.

import { checksums } from './checksums.js'
import { concatenation } from './concatenation.js'
import { durability } from './durability.js'
import { growth } from './growth.js'
import { loopDelay } from './loop-delay.js'
import { memory } from './memory.js'
import type { Scenario } from './scenario.js'
import { slowUploads } from './slow-uploads.js'
import { sweep } from './sweep.js'
import { WORKLOADS } from './workloads.js'

/** What `npm run bench` runs. */
export const SCENARIOS: readonly Scenario[] = [
  ...WORKLOADS,
  concatenation,
  checksums,
  durability,
  growth,
  sweep,
  loopDelay,
  slowUploads,
  memory,
]
