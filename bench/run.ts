// npm run bench: everything that is measured.

import { measureMemory } from './memory.js'

await measureMemory()
