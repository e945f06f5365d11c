// Jest's global teardown of `npm run test:bundlers`.
import { rmSync } from 'node:fs'

export default function tearDown(): void {
  const { BUNDLERS_FOLDER: folder } = process.env
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
}
