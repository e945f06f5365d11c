// All protocol tests. An extension that is new adds its file here, and runs everywhere.

import { bodyForm } from './body-form.js'
import type { Case } from './case.js'
import { checksum } from './checksum.js'
import { checksumTrailer } from './checksum-trailer.js'
import { concatenation } from './concatenation.js'
import { concatenationUnfinished } from './concatenation-unfinished.js'
import { versions } from './core-versions.js'
import { cors } from './cors.js'
import { creation } from './creation.js'
import { creationDeferLength } from './creation-defer-length.js'
import { creationWithUpload } from './creation-with-upload.js'
import { downloads } from './downloads.js'
import { expiration } from './expiration.js'
import { handOver } from './hand-over.js'
import { headMethod } from './head.js'
import { hundredContinue } from './hundred-continue.js'
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
  ['the form of bodies', bodyForm],
  ['one upload, two requests', handOver],
  ['100 Continue', hundredContinue],
  ['creation', creation],
  ['creation-with-upload', creationWithUpload],
  ['creation-defer-length', creationDeferLength],
  ['Upload-Metadata', metadata],
  ['termination', termination],
  ['checksum', checksum],
  ['checksum-trailer', checksumTrailer],
  ['expiration', expiration],
  ['concatenation', concatenation],
  ['concatenation-unfinished', concatenationUnfinished],
  ['GET', downloads],
  ['CORS', cors],
]
