// What `npm publish` would send: checked by publint and are-the-types-wrong, file by file.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { pack, root, unpack } from '../support/pack.js'

let folder: string
let tarball: string
let unpacked: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'resumable-upload-tarball-'))
  tarball = pack(folder)
  unpacked = join(folder, 'package')
  unpack(tarball, unpacked)
})

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
}

function runTool(script: string, ...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'node_modules', script), ...args], {
    cwd: folder,
    encoding: 'utf8',
  })
  return { status, output: stdout + stderr }
}

test('publint has nothing to say', () => {
  const result = runTool('publint/src/cli.js', 'run', tarball, '--strict')
  expect(result).toEqual({ status: 0, output: expect.stringContaining('All good!') })
})

test('are-the-types-wrong finds every entry point right from ESM, CommonJS and bundlers', () => {
  // The profile leaves out the resolution of Node 10, which knows no exports map and so no `resumable-upload/testing`.
  const result = runTool('@arethetypeswrong/cli/dist/index.js', tarball, '--profile', 'node16')
  expect(result).toEqual({ status: 0, output: expect.stringContaining('"resumable-upload/testing"') })
})

test('the tarball holds what each source compiles to, the documents, and nothing else', () => {
  const compiled = filesUnder(join(root, 'src')).flatMap((source) => [
    source.replace(/ts$/, 'js'),
    source.replace(/([cm]?)ts$/, 'd.$1ts'),
  ])
  const expected = [
    'package.json',
    'README.md',
    'CHANGELOG.md',
    'LICENSE',
    'dist/cjs/package.json',
    ...compiled.flatMap((file) => [join('dist/cjs', file), join('dist/esm', file)]),
  ]
  expect(filesUnder(unpacked).sort()).toEqual(expected.sort())
})

test('no file names a path of the machine that built it', () => {
  const leaks = filesUnder(unpacked).filter((file) => {
    const content = readFileSync(join(unpacked, file), 'utf8')
    return [root, `${homedir()}/`, 'file:///'].some((path) => content.includes(path))
  })
  expect(leaks).toEqual([])
})

test.each(['cjs', 'esm'])('the workers of dist/%s are text in it, which needs nothing but Node', (build) => {
  const sources = readFileSync(join(unpacked, 'dist', build, 'worker-sources.js'), 'utf8')
  const required = [...sources.matchAll(/\brequire\((?:\\?"([^"\\]*)\\?")?\)/g)].map(([, name = '']) => name)
  expect(required).toContain('node:worker_threads')
  expect(required.filter((name) => name !== '' && !name.startsWith('node:'))).toEqual([])
  expect(sources).not.toMatch(/import\(\\?["']|file:/)
})
