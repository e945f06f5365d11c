// Runs scripts in Node processes of their own.
import { type ChildProcess, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { tempFolder } from './temp-folder.js'

export interface Run {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

interface RunOptions {
  /** Whether the script is an ES module. */
  readonly esm?: boolean
  /** Flags of Node. */
  readonly flags?: readonly string[]
  /** Called when the script has written something. */
  readonly onOutput?: (stdout: string, child: ChildProcess) => void
}

const READY = 'ready\n'

/** The path of a module of the build. */
export function built(module: string, format: 'cjs' | 'esm' = 'cjs'): string {
  const path = resolve(__dirname, '../../../dist', format, module)
  return format === 'cjs' ? path : pathToFileURL(path).href
}

/** Runs a script to its end. */
export function runNode(
  source: string,
  { esm = false, flags = [], onOutput = () => {} }: RunOptions = {},
): Promise<Run> {
  const file = join(tempFolder(), esm ? 'script.mjs' : 'script.cjs')
  writeFileSync(file, source)
  const child = spawn(process.execPath, [...flags, file], { stdio: ['pipe', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => {
    stdout += chunk
    onOutput(stdout, child)
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
  })
  return new Promise((done, fail) => {
    child.on('error', fail)
    child.on('close', (code, signal) => done({ code, signal, stdout, stderr }))
  })
}

/** Runs a script until it has written a word, and kills it then, as `kill -9` does. */
export async function runUntilKilled(source: string, word: string): Promise<void> {
  const run = await runNode(source, {
    onOutput: (stdout, child) => {
      if (stdout.includes(word)) child.kill('SIGKILL')
    },
  })
  if (run.signal !== 'SIGKILL') throw new Error(`it never came to ${word}: ${JSON.stringify(run)}`)
}

/** Runs scripts that begin at the same moment, after all of them have loaded what `load` says. */
export async function runTogether(load: string, sources: readonly string[]): Promise<readonly Run[]> {
  const waiting = new Set<ChildProcess>()
  const onOutput = (stdout: string, child: ChildProcess): void => {
    if (stdout === READY) waiting.add(child)
    if (waiting.size === sources.length) for (const one of waiting) one.stdin?.end()
  }
  const wait = `require('node:fs').writeSync(1, ${JSON.stringify(READY)}); require('node:fs').readFileSync(0)`
  const runs = await Promise.all(sources.map((source) => runNode(`${load}\n${wait}\n${source}`, { onOutput })))
  return runs.map((run) => ({ ...run, stdout: run.stdout.slice(READY.length) }))
}
