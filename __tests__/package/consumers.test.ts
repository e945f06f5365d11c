// Tiny projects that use the packed package, as ES modules and CommonJS, in JavaScript and TypeScript.
// Nothing is downloaded: dependencies are linked from this repository, and only those that a consumer would have.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pack, root, unpack } from '../support/pack.js'

let folder: string
let tarball: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'resumable-upload-consumers-'))
  tarball = pack(folder)
})

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { dependencies: object }

/** Creates a project that has the package, its dependencies, and the other packages named. */
function createProject(name: string, files: Record<string, string>, packages: readonly string[] = []): string {
  const project = join(folder, name)
  unpack(tarball, join(project, 'node_modules/resumable-upload'))
  for (const dependency of [...Object.keys(dependencies), ...packages]) {
    const link = join(project, 'node_modules', dependency)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(root, 'node_modules', dependency), link)
  }
  for (const [file, content] of Object.entries(files)) writeFileSync(join(project, file), content)
  return project
}

function runNode(project: string, ...args: string[]): string {
  // Only the last line is ours: a warning about the experimental node:sqlite goes to stderr.
  return execFileSync(process.execPath, args, { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

const names = '{ MemoryStorage, SQLiteStorage, TusError, TusServer, tusMiddleware }'
const imports = {
  module: `import ${names} from 'resumable-upload'\nimport * as testing from 'resumable-upload/testing'\n`,
  commonjs: `const ${names} = require('resumable-upload')\nconst testing = require('resumable-upload/testing')\n`,
}

/** Creates an upload in `storage` and prints the status, and whether there is a Location. */
const createUpload = (storage: string) => `
const tus = new TusServer({ storage: ${storage} })
const request = { 'tus-resumable': '1.0.0', 'upload-length': '5' }
tus.handleRequest('POST', '/files', request).then(async ({ status, headers }) => {
  const location = Object.keys(headers).some((name) => name.toLowerCase() === 'location')
  await tus.close()
  console.log(status, location ? 'with a Location' : 'without a Location')
})
`
const created = '201 with a Location\n'

const useEverything = `
if (!(new TusError('ERR_NOT_FOUND') instanceof Error)) throw new TypeError('TusError is no Error')
if (typeof SQLiteStorage !== 'function') throw new TypeError('SQLiteStorage is no class')
if (Object.keys(testing).length === 0) throw new TypeError('resumable-upload/testing is empty')
if (typeof tusMiddleware(new TusServer({ storage: new MemoryStorage() })) !== 'function') throw new TypeError('no middleware')
`

describe.each(['module', 'commonjs'] as const)('a consumer of "type": "%s"', (type) => {
  test('in JavaScript creates an upload', () => {
    const project = createProject(`${type}-js`, {
      'package.json': JSON.stringify({ type }),
      'index.js': imports[type] + useEverything + createUpload('new MemoryStorage()'),
    })
    expect(runNode(project, 'index.js')).toBe(created)
  })

  test('in TypeScript compiles with every library checked and creates an upload', () => {
    const compilerOptions = {
      target: 'ES2022',
      module: 'NodeNext',
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      types: ['node'],
    }
    // Neither Express nor its types are installed: the middleware must fit `node:http`.
    const useTypes = `
import { createServer } from 'node:http'
const middleware = tusMiddleware(new TusServer({ storage: new MemoryStorage() }))
createServer((req, res) => middleware(req, res, () => res.writeHead(404).end()))
`
    const project = createProject(
      `${type}-ts`,
      {
        'package.json': JSON.stringify({ type }),
        'tsconfig.json': JSON.stringify({ compilerOptions }),
        'index.ts': imports.module + useTypes + useEverything + createUpload('new MemoryStorage()'),
      },
      ['@types/node'],
    )
    runNode(project, join(root, 'node_modules/typescript/bin/tsc'))
    expect(runNode(project, 'index.js')).toBe(created)
  }, 60_000)

  const tryDriver = `
try {
${createUpload("new SQLiteStorage({ directory: 'uploads' })")}
} catch (error) {
  console.log(error.message)
}
`

  test('without better-sqlite3 uses the SQLite of Node, or learns the command that mends it', () => {
    const project = createProject(`${type}-bare`, {
      'package.json': JSON.stringify({ type }),
      'index.js': imports[type] + tryDriver,
    })
    const expected = process.getBuiltinModule('node:sqlite') ? created : 'npm install better-sqlite3'
    expect(runNode(project, 'index.js')).toContain(expected)
  })

  test('with better-sqlite3 creates an upload on every Node', () => {
    const files = { 'package.json': JSON.stringify({ type }), 'index.js': imports[type] + tryDriver }
    const project = createProject(`${type}-driver`, files, ['better-sqlite3'])
    expect(runNode(project, 'index.js')).toBe(created)
  })
})
