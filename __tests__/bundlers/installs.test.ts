// Installations by npm, pnpm and Yarn, beside other versions of better-sqlite3 and without any.
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { scratchFolder } from '../support/example.js'
import { BUILD_MS, laterNode, npmInstall, project, tarball, writeFiles } from './project.js'

/** Creates uploads until the worker has moved the log into the database, and says so. */
const USE = `
const { statSync } = require('node:fs')
const { SQLiteStorage, TusServer } = require('resumable-upload')

async function use() {
  const tus = new TusServer({ storage: new SQLiteStorage({ directory: 'uploads' }) })
  const size = () => statSync('uploads/.resumable-upload/uploads.sqlite').size
  const before = size()
  for (let write = 0; write < 1100; write++) {
    const { status } = await tus.handleRequest('POST', '/files', { 'tus-resumable': '1.0.0', 'upload-length': '1' })
    if (status !== 201) throw new Error(String(status))
  }
  for (const end = Date.now() + 15_000; size() === before && Date.now() < end; ) await new Promise(setImmediate)
  console.log(size() > before ? 'checkpointed' : 'no checkpoint')
  await tus.close()
}
use().catch((error) => console.log(error.message))
`

let packed: string

beforeAll(async () => {
  await project()
  packed = tarball()
}, BUILD_MS)

/** An application with the package and others, not installed yet. */
function application(dependencies: Readonly<Record<string, string>> = {}): string {
  const folder = scratchFolder()
  const all = { 'resumable-upload': `file:${packed}`, ...dependencies }
  writeFiles(folder, {
    'package.json': JSON.stringify({ name: 'app', private: true, dependencies: all }),
    'use.js': USE,
  })
  return folder
}

/** What the application says on a Node. */
function use(node: string, folder: string): string {
  const { stdout, stderr, signal } = spawnSync(node, ['use.js'], { cwd: folder, encoding: 'utf8' })
  return signal ?? stdout + stderr
}

/** Yarn asks one of its own unless it is told. */
function registry(): string {
  return execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim()
}

describe('npm', () => {
  test.each(['11.10.0', '13.2.0'])(
    'installs beside better-sqlite3 %s, which Node 22 does not need',
    (version) => {
      const folder = application({ 'better-sqlite3': version })
      npmInstall(folder)
      expect(use(laterNode(), folder)).toBe('checkpointed\n')
      // On Node 20 it is loaded, or else refused: this one is not compiled, and that one would end the process.
      const here = use(process.execPath, folder)
      if (process.getBuiltinModule('node:sqlite')) expect(here).toBe('checkpointed\n')
      else if (version.startsWith('11.')) expect(here).toContain('npm rebuild better-sqlite3')
      else expect(here).toContain(`better-sqlite3 ${version} needs Node 22 or later`)
    },
    BUILD_MS,
  )
})

test('pnpm installs it, and its worker runs', async () => {
  const folder = application()
  const bin = join(await project(), 'node_modules/pnpm/bin/pnpm.cjs')
  execFileSync(process.execPath, [bin, 'install', '--ignore-scripts'], { cwd: folder, stdio: 'pipe' })
  expect(use(laterNode(), folder)).toBe('checkpointed\n')
}, 120_000)

describe("Yarn Plug'n'Play", () => {
  const YARNRC = `
enableGlobalCache: false
enableImmutableInstalls: false
enableScripts: false
enableTelemetry: false
nodeLinker: pnp
`

  test.each([
    ['without a driver, on a Node that has one', {}],
    ['beside a better-sqlite3 that is not compiled', { 'better-sqlite3': '12.11.1' }],
  ])(
    'installs it, and its worker runs from the archive, %s',
    async (_case, dependencies) => {
      const folder = application(dependencies)
      writeFiles(folder, { '.yarnrc.yml': YARNRC, 'yarn.lock': '' })
      const bin = join(await project(), 'node_modules/@yarnpkg/cli-dist/bin/yarn.js')
      const env = { ...process.env, YARN_NPM_REGISTRY_SERVER: registry() }
      const yarn = (node: string, ...args: string[]): string =>
        execFileSync(node, [bin, ...args], { cwd: folder, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
      yarn(process.execPath, 'install')
      expect(yarn(laterNode(), 'node', 'use.js')).toBe('checkpointed\n')
      const here = yarn(process.execPath, 'node', 'use.js')
      if (process.getBuiltinModule('node:sqlite')) expect(here).toBe('checkpointed\n')
      else expect(here).toContain('better-sqlite3' in dependencies ? 'does not load' : 'npm install better-sqlite3@12')
    },
    BUILD_MS,
  )
})
