// All protocol tests. An extension that is new adds its file here, and runs everywhere.

import type { Case } from './case.js'
import { checksum } from './checksum.js'
import { versions } from './core-versions.js'
import { cors } from './cors.js'
import { creation } from './creation.js'
import { creationDeferLength } from './creation-defer-length.js'
import { creationWithUpload } from './creation-with-upload.js'
import { headMethod } from './head.js'
import { integers } from './integers.js'
import { metadata } from './metadata.js'
import { methodOverride } from './method-override.js'
import { optionsMethod } from './options.js'
import { patchMethod } from './patch.js'
import { termination } from './termination.js'
import { urls } from './urls.js'

export const SUITES: ReadonlyArray<readonly [name: string, cases: readonly Case[]]> = [
  ['versions', versions],
  ['integers', integers],
  ['urls', urls],
  ['X-HTTP-Method-Override', methodOverride],
  ['OPTIONS', optionsMethod],
  ['HEAD', headMethod],
  ['PATCH', patchMethod],
  ['creation', creation],
  ['creation-with-upload', creationWithUpload],
  ['creation-defer-length', creationDeferLength],
  ['Upload-Metadata', metadata],
  ['termination', termination],
  ['checksum', checksum],
  ['CORS', cors],
]
