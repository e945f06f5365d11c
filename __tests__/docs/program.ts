// Programs of the docs, each in a process of its own, in a folder of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterTest, freePort, waitUntil } from '../support/example.js'

const root = resolve(__dirname, '../..')

/** A program that runs. */
export interface Program {
  readonly child: ChildProcess
  readonly port: number
  /** Sends a signal; settles with how it ended. */
  end(signal: NodeJS.Signals): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

/** Puts files into a folder in which they find the packages that they import. */
function writePrograms(folder: string, files: Readonly<Record<string, string>>): void {
  mkdirSync(join(folder, 'node_modules'), { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  for (const [name, code] of Object.entries(files)) {
    writeFileSync(join(folder, name), code)
    for (const [, specifier = ''] of code.matchAll(/from '([^.'][^':]*)'/g)) {
      const target = specifier === 'resumable-upload' ? root : join(root, 'node_modules', specifier)
      const link = join(folder, 'node_modules', specifier)
      if (!existsSync(link)) symlinkSync(target, link)
    }
  }
}

/**
 * Starts a program that listens on port 3000, on a free one instead, and waits until it does. It ends with the test.
 * @param folder - where it runs
 * @param files - code by name, the program first
 */
export async function startProgram(folder: string, files: Readonly<Record<string, string>>): Promise<Program> {
  const port = await freePort()
  const [main = ''] = Object.keys(files)
  const adapted = Object.entries(files).map(([name, code]) => [name, code.replaceAll('3000', String(port))])
  writePrograms(folder, Object.fromEntries(adapted))
  const child = spawn(process.execPath, [main], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const exit = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  // The processes of a cluster end after their primary, and write into its folder until then; all of them share its stderr.
  const allEnded = once(child, 'close')
  const end = (signal: NodeJS.Signals) => {
    child.kill(signal)
    return exit
  }
  afterTest(async () => {
    await end('SIGKILL')
    await allEnded
  })
  await waitUntil(() => {
    if (child.exitCode !== null) throw new Error(`${main} ended:\n${errors}`)
    return answers(port)
  })
  return { child, port, end }
}

/** Whether uploads are answered on a port. */
export function answers(port: number): Promise<boolean> {
  // What a cluster has handed to a process that just died is never answered.
  const init = { method: 'OPTIONS', signal: AbortSignal.timeout(2_000) }
  return fetch(`http://localhost:${port}/files`, init).then(
    ({ ok }) => ok,
    () => false,
  )
}
