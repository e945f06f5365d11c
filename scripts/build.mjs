// Compiles src/ twice, to dist/esm and dist/cjs, unless nothing has changed since it last did. The workers become part of it as
// text, so that whoever bundles the package, or keeps it in an archive, has no file to find.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

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

const WORKERS = ['storage/sqlite/checkpoint-worker', 'storage/offload-worker']

/** Puts the bundled sources of the workers in the place of the module that has them read from files. */
async function inlineWorkers() {
  const { outputFiles } = await build({
    entryPoints: WORKERS.map((worker) => `dist/esm/${worker}.js`),
    outdir: 'dist',
    write: false,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    logLevel: 'warning',
  })
  // In an ES module, which flags of Node may make of it, there is no `require`; and they need nothing but Node's own modules.
  const texts = outputFiles.map(({ text }) => `(function (require) {\n${text}})(process.getBuiltinModule)\n`)
  const entries = WORKERS.map((worker, index) => [basename(worker), texts[index]])
  const code = `const sources = ${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`
  writeFileSync('dist/esm/worker-sources.js', `${code}export const workerSource = (name) => sources[name]\n`)
  writeFileSync('dist/cjs/worker-sources.js', `${code}exports.workerSource = (name) => sources[name]\n`)
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
  if (process.exitCode === 0) await inlineWorkers()
  if (process.exitCode === 0) {
    mkdirSync(dirname(stamp), { recursive: true })
    writeFileSync(stamp, state)
  }
}
