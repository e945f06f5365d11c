// Jest's global setup: the tests that use the package or start its workers find a fresh `dist/`.
import { execFileSync } from 'node:child_process'
import { resolve } from 'node:path'

export default function build(): void {
  execFileSync(process.execPath, [resolve(__dirname, '../../scripts/build.mjs')], { stdio: 'inherit' })
}
