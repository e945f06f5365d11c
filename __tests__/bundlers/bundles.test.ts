// The recipes of docs/bundlers.md: what they build runs in a folder that has nothing else.
import { cpSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { codeUnder } from '../support/docs.js'
import { scratchFolder } from '../support/example.js'
import { expectToResume } from './built-server.js'
import { BUILD_MS, laterNode, linkBetterSQLite, project, runCommand, writeFiles } from './project.js'

const APPLICATION = `
const app = express()
const storage = new SQLiteStorage({ directory: process.env.UPLOADS })
const tus = new TusServer({ storage, expiration: { unfinishedAfterMs: 60_000 } })
app.use('/files', tusMiddleware(tus))
prepareServer(app.listen(Number(process.env.PORT)), tus)
`
const names = '{ prepareServer, SQLiteStorage, TusServer, tusMiddleware }'
const SOURCES = {
  'server.mjs': `import express from 'express'\nimport ${names} from 'resumable-upload'\n${APPLICATION}`,
  'server.cjs': `const express = require('express')\nconst ${names} = require('resumable-upload')\n${APPLICATION}`,
}

const [esbuildESM = '', esbuildCommonJS = ''] = codeUnder('bundlers.md', 'esbuild', 'sh').trim().split(/\n+/)
const webpack = codeUnder('bundlers.md', 'webpack', 'js')

const BUNDLES = [
  { name: 'esbuild, as an ES module', files: {}, command: esbuildESM, output: 'dist/server.mjs' },
  { name: 'esbuild, minified', files: {}, command: `${esbuildESM} --minify`, output: 'dist/server.mjs' },
  { name: 'esbuild, as CommonJS', files: {}, command: esbuildCommonJS, output: 'dist/server.cjs' },
  {
    name: 'webpack, from an ES module',
    files: { 'webpack.config.cjs': webpack },
    command: 'node build.cjs',
    output: 'dist/server.cjs',
  },
  {
    name: 'webpack, from CommonJS',
    files: { 'webpack.config.cjs': webpack.replace('server.mjs', 'server.cjs') },
    command: 'node build.cjs',
    output: 'dist/server.cjs',
  },
  {
    name: 'Vite',
    files: { 'vite.config.mjs': codeUnder('bundlers.md', 'Vite', 'js') },
    command: 'vite build',
    output: 'dist/server.mjs',
  },
]

/** The command line of webpack is a package of its own. */
const RUN_WEBPACK = `
require('webpack')(require('./webpack.config.cjs'), (error, stats) => {
  console.log(error ?? stats.toString({ all: false, errors: true, warnings: true }))
  process.exitCode = error || stats.hasErrors() ? 1 : 0
})`

let application: string

beforeAll(async () => {
  application = await project()
  writeFiles(application, { ...SOURCES, 'build.cjs': RUN_WEBPACK })
}, BUILD_MS)

/** Builds, and puts what came of it alone into an empty folder. */
async function bundle({ files, command, output }: (typeof BUNDLES)[number]) {
  writeFiles(application, files)
  const said = await runCommand(command, application)
  const folder = scratchFolder()
  cpSync(join(application, dirname(output)), folder, { recursive: true })
  return { said, folder, program: basename(output) }
}

test.each(BUNDLES)(
  '$name: a server that resumes after a kill, with no file but the bundle',
  async (recipe) => {
    const { said, folder, program } = await bundle(recipe)
    // Express has one of its own.
    expect(said.replace(/WARNING in \S*express\/lib\/view\.js.*\n.*/, '')).not.toMatch(/warning|error/i)
    // Its lines of code name it; a path of the machine would.
    expect(readFileSync(join(folder, program), 'utf8')).not.toContain(application)
    await expectToResume({ node: laterNode(), folder, program, mount: '/files' })
  },
  BUILD_MS,
)

test(
  'with better-sqlite3 beside the bundle it runs on every Node, from any working directory',
  async () => {
    const [recipe] = BUNDLES
    const { folder, program } = await bundle(recipe as (typeof BUNDLES)[number])
    linkBetterSQLite(folder)
    await expectToResume({ folder, program, mount: '/files' })
  },
  BUILD_MS,
)
