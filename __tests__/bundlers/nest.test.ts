// The module of docs/nest.md in applications of Nest 11.
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import * as ts from 'typescript'
import { codeUnder, substitute } from '../support/docs.js'
import { scratchFolder } from '../support/example.js'
import { ask, createUpload, offsetOf, sendChunk } from '../support/requests.js'
import { expectToResume, startBuilt } from './built-server.js'
import { BUILD_MS, laterNode, project, writeFiles } from './project.js'

const MODULE = codeUnder('nest.md', 'A module', 'ts')

const MAIN = `
require('reflect-metadata')
const { Module } = require('@nestjs/common')
const { NestFactory } = require('@nestjs/core')
const { UploadModule } = require('./upload.module.js')

class AppModule {}
Module({ imports: [UploadModule] })(AppModule)

NestFactory.create(AppModule, { logger: false }).then(async (app) => {
  app.setGlobalPrefix(PREFIX)
  app.enableShutdownHooks()
  await app.listen(Number(process.env.PORT))
})`

/** Compiled as `nest build` does it. */
function compiled(code: string): string {
  const compilerOptions: ts.CompilerOptions = {
    module: ts.ModuleKind.CommonJS,
    target: ts.ScriptTarget.ES2022,
    experimentalDecorators: true,
    emitDecoratorMetadata: true,
    useDefineForClassFields: false,
  }
  return ts.transpileModule(code, { compilerOptions }).outputText
}

let application: string

beforeAll(async () => {
  application = await project()
}, BUILD_MS)

/** A folder with an application whose module mounts by a pattern. */
function applicationWith(pattern: string, prefix = '', options = ''): string {
  const folder = scratchFolder()
  const module = substitute(MODULE, {
    "forRoutes('files{/*path}')": `forRoutes(${pattern})`,
    "'./uploads'": 'process.env.UPLOADS',
    'storage: ': `${options}storage: `,
  })
  writeFiles(folder, {
    'main.js': MAIN.replace('PREFIX', JSON.stringify(prefix)),
    'upload.module.js': compiled(module),
  })
  symlinkSync(join(application, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

test('the module has at most 30 lines', () => {
  expect(MODULE.trim().split('\n').length).toBeLessThanOrEqual(30)
})

test('an upload resumes after a kill', async () => {
  const folder = applicationWith("'files{/*path}'")
  await expectToResume({ node: laterNode(), folder, program: 'main.js', mount: '/files' })
}, 60_000)

test.each(["'files{/*path}'", "'files'", "'files', 'files/*path'"])(
  'mounted by forRoutes(%s), below a global prefix as well',
  async (pattern) => {
    for (const prefix of ['', 'api']) {
      const folder = applicationWith(pattern, prefix)
      const uploads = join(scratchFolder(), 'uploads')
      const mount = prefix === '' ? '/files' : `/${prefix}/files`
      const server = await startBuilt({ node: laterNode(), folder, program: 'main.js', mount }, uploads)
      const created = await createUpload(server.endpoint, 10)
      expect(new URL(created).pathname).toMatch(new RegExp(`^${mount}/[0-9a-f]{40}$`))
      const content = randomBytes(10)
      expect((await sendChunk(created, 0, content.subarray(0, 4))).status).toBe(204)
      expect(await offsetOf(created)).toBe(4)
      expect((await sendChunk(created, 4, content.subarray(4))).status).toBe(204)
      expect(readFileSync(join(uploads, created.slice(created.lastIndexOf('/') + 1))).equals(content)).toBe(true)
      expect((await ask('DELETE', created)).status).toBe(204)
      expect(await offsetOf(created)).toBeUndefined()
      expect(server.output()).toBe('')
      await server.end('SIGKILL')
    }
  },
  60_000,
)

test('as a route for all methods it is below basePath, which has the prefix then', async () => {
  const folder = applicationWith("{ path: 'files{/*path}', method: 5 }", 'api', "basePath: '/api/files', ")
  await expectToResume({ node: laterNode(), folder, program: 'main.js', mount: '/api/files' })
}, 60_000)

test('SIGTERM ends the application, and closes the storage', async () => {
  const folder = applicationWith("'files{/*path}'")
  const uploads = join(scratchFolder(), 'uploads')
  const server = await startBuilt({ node: laterNode(), folder, program: 'main.js', mount: '/files' }, uploads)
  await createUpload(server.endpoint, 10)
  const log = join(uploads, '.resumable-upload/uploads.sqlite-wal')
  expect(existsSync(log)).toBe(true)
  await server.end('SIGTERM')
  expect(existsSync(log)).toBe(false)
}, 60_000)
