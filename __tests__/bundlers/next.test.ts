// The recipes of docs/next.md: both routers in one standalone build.
import { cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { codeBlocks } from '../support/docs.js'
import { scratchFolder } from '../support/example.js'
import { expectToResume } from './built-server.js'
import { BUILD_MS, laterNode, linkBetterSQLite, project, runCommand, writeFiles } from './project.js'

const LAYOUT = 'export default ({ children }) => <html><body>{children}</body></html>\n'

/** The files of the page: each begins with a comment that names it. */
function filesOfPage(): Record<string, string> {
  const named = codeBlocks('next.md').flatMap(({ code }): [string, string][] => {
    const name = /^\/\/ (\S+\.m?js)\n/.exec(code)?.[1]
    return name === undefined ? [] : [[name, code]]
  })
  return Object.fromEntries(named)
}

let application: string
let said: string

beforeAll(async () => {
  application = await project()
  const files = filesOfPage()
  expect(Object.keys(files)).toHaveLength(4)
  writeFiles(application, { ...files, 'app/layout.js': LAYOUT, 'app/page.js': 'export default () => <p>files</p>\n' })
  said = await runCommand('next build', application)
}, BUILD_MS)

/** A copy of the standalone server: what it needs lies in it, not in the folders above. */
function standalone(): { readonly folder: string; readonly program: string } {
  const folder = scratchFolder()
  cpSync(join(application, '.next/standalone'), folder, { recursive: true, verbatimSymlinks: true })
  return { folder, program: 'server.js' }
}

test('the build has nothing to warn of, and makes no folder of uploads', () => {
  expect(said).toContain('Compiled successfully')
  expect(said).not.toMatch(/warn|error/i)
  expect(existsSync(join(application, 'uploads'))).toBe(false)
})

test.each([
  ['Pages Router', '/api/files'],
  ['App Router', '/app-files'],
])(
  '%s: the standalone server resumes after a kill',
  async (_router, mount) => {
    await expectToResume({ node: laterNode(), ...standalone(), mount })
  },
  120_000,
)

test('with better-sqlite3 beside it the standalone server runs on every Node', async () => {
  const server = standalone()
  linkBetterSQLite(server.folder)
  await expectToResume({ ...server, mount: '/api/files' })
}, 120_000)
