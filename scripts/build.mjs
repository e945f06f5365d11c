// Compiles src/ twice, to dist/esm and dist/cjs, unless nothing has changed since it last did.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'))

const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
const stamp = 'node_modules/.cache/resumable-upload/built'

const builds = [
  { outDir: 'dist/esm', flags: [] },
  // "type": "module" makes every source an ES module to NodeNext, hence the older pair of options.
  { outDir: 'dist/cjs', flags: ['--module', 'CommonJS', '--moduleResolution', 'node10'] },
]

function filesUnder(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

function outputsOf(source) {
  return [source.replace(/ts$/, 'js'), source.replace(/([cm]?)ts$/, 'd.$1ts')]
}

function run(args) {
  return new Promise((resolve, reject) => {
    spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] })
      .on('error', reject)
      .on('exit', (code) => resolve(code ?? 1))
  })
}

const sources = filesUnder('src')
const hash = createHash('sha256')
for (const file of [
  ...sources.map((source) => join('src', source)),
  'tsconfig.json',
  'tsconfig.build.json',
  'package-lock.json',
  'scripts/build.mjs',
]) {
  hash.update(`${file}\0`).update(readFileSync(file)).update('\0')
}
const state = hash.digest('hex')

const outputs = new Set(
  builds.flatMap(({ outDir }) => sources.flatMap(outputsOf).map((output) => join(outDir, output))),
).add('dist/cjs/package.json')
const present = new Set(filesUnder('dist').map((file) => join('dist', file)))
for (const file of present) {
  if (!outputs.has(file)) rmSync(file)
}

const upToDate =
  existsSync(stamp) && readFileSync(stamp, 'utf8') === state && [...outputs].every((file) => present.has(file))
if (!upToDate) {
  rmSync(stamp, { force: true })
  mkdirSync('dist/cjs', { recursive: true })
  writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n')
  const codes = await Promise.all(
    builds.map(({ outDir, flags }) => run([tsc, '-p', 'tsconfig.build.json', '--outDir', outDir, ...flags])),
  )
  process.exitCode = Math.max(...codes)
  if (process.exitCode === 0) {
    mkdirSync(dirname(stamp), { recursive: true })
    writeFileSync(stamp, state)
  }
}
