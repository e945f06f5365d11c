// What the pages around the app show as TypeScript is accepted by its compiler.
import { resolve } from 'node:path'
import * as ts from 'typescript'
import { codeBlocks } from '../support/docs.js'

const PAGES = [
  'authentication.md',
  'cdn.md',
  'clients.md',
  'downloads.md',
  'moving-files.md',
  'processes.md',
  'proxies.md',
  'rate-limits.md',
  'security.md',
]

/** What the pages take for granted. */
const PRELUDE = `
import express from 'express'
import session from 'express-session'
import jwt from 'jsonwebtoken'
import passport from 'passport'
import { type HookUpload, SQLiteStorage, TusError, TusServer, tusMiddleware } from 'resumable-upload'

declare global {
  namespace Express {
    interface User {
      id: string
    }
  }
}
declare module 'express-session' {
  interface SessionData {
    user: Express.User
  }
}
declare const app: express.Express
declare const storage: SQLiteStorage
declare const tus: TusServer
declare const secret: string
declare const identify: express.RequestHandler
declare function move(upload: HookUpload): Promise<void>
declare function ownerOf(req: express.Request): string
declare function hasVirus(path: string | undefined): Promise<boolean>
declare function isMember(user: Express.User | undefined, tenant: string): boolean
declare function purge(url: string): Promise<void>
declare function tooMany(user: Express.User | undefined): Promise<boolean>
`

/** A block as a module of its own; a hook by itself is put among the options of a server. */
function moduleOf(code: string): string {
  const whole = /^on[A-Z]\w+:/.test(code) ? `new TusServer<express.Request>({ storage, ${code} })` : code
  const imports = whole.match(/^import .*$/gm) ?? []
  const rest = whole.replace(/^import .*$/gm, '')
  return `${PRELUDE}${imports.join('\n')}\nexport async function run() {\n${rest}\n}\n`
}

it('compiles', () => {
  const sources = new Map<string, string>()
  for (const page of PAGES) {
    for (const [index, { language, heading, code }] of codeBlocks(page).entries()) {
      const name = `${page} ${index} ${heading.replace(/\W+/g, '-')}.ts`
      if (language === 'ts') sources.set(resolve(__dirname, name), moduleOf(code))
    }
  }
  expect(sources.size).toBeGreaterThan(10)

  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    strict: true,
    skipLibCheck: true,
    noEmit: true,
    esModuleInterop: true,
    types: ['node'],
  }
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists, readFile } = host
  host.getSourceFile = (name, version, ...rest) => {
    const text = sources.get(name)
    return text === undefined ? getSourceFile(name, version, ...rest) : ts.createSourceFile(name, text, version)
  }
  host.fileExists = (name) => sources.has(name) || fileExists(name)
  host.readFile = (name) => sources.get(name) ?? readFile(name)
  const problems = ts.getPreEmitDiagnostics(ts.createProgram([...sources.keys()], options, host))
  expect(
    problems.map(
      (problem) => `${problem.file?.fileName}: ${ts.flattenDiagnosticMessageText(problem.messageText, '\n')}`,
    ),
  ).toEqual([])
}, 120_000)
