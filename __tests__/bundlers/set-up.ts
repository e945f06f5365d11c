// Jest's global setup of `npm run test:bundlers`: the build, and a folder for the one installation that all its tests share.
import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

export default function setUp(): void {
  execFileSync(process.execPath, [resolve(__dirname, '../../scripts/build.mjs')], { stdio: 'inherit' })
  process.env.BUNDLERS_FOLDER = mkdtempSync(join(tmpdir(), 'resumable-upload-bundlers-'))
}
