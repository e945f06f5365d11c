// Stands in for `src/here.cts`, so that code under test starts its workers from the build.
import { resolve } from 'node:path'

export const here = resolve(__dirname, '../../dist/cjs')
