// What a traced server process did to its files, when it synced, and when it answered: strace's log, read back.
import { readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { identityOf } from '../../src/storage/files/file-identity.js'
import { type ServerProcess, startServer } from '../support/server-process.js'

/** When a call began and when it had returned: positions in the trace. */
interface Call {
  readonly begin: number
  readonly end: number
  /** The thread that made it; the main thread's number is the process's. */
  readonly thread: number
}

/** Something that a traced server did. Paths are relative to the folder that is watched; '' is that folder. */
export type TraceEvent = Call &
  (
    | { readonly kind: 'open'; readonly path: string; readonly truncates: boolean }
    | { readonly kind: 'write'; readonly path: string; readonly position: number; readonly data: Buffer }
    | { readonly kind: 'truncate'; readonly path: string; readonly size: number }
    | { readonly kind: 'rename'; readonly path: string; readonly to: string }
    | { readonly kind: 'link'; readonly path: string; readonly to: string }
    | { readonly kind: 'unlink'; readonly path: string }
    | { readonly kind: 'folder'; readonly path: string }
    | { readonly kind: 'sync'; readonly path: string; readonly failed: boolean }
    | { readonly kind: 'stat'; readonly path: string; readonly identity: string }
    | { readonly kind: 'answer'; readonly port: number; readonly status: number }
  )

/** One kind of event. */
export type EventOf<Kind extends TraceEvent['kind']> = Extract<TraceEvent, { kind: Kind }>

const CALLS =
  'openat,creat,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,rename,renameat,renameat2,unlink,unlinkat,mkdir,' +
  'mkdirat,rmdir,fsync,fdatasync,sync_file_range,link,linkat,fallocate,copy_file_range,sendfile,statx'

/** No call may write more at once: strace would leave the rest out. */
const MOST_BYTES = 2 * 1024 * 1024

/** How to run a server under strace. */
export interface TraceOptions {
  /** Where strace writes to. */
  readonly log: string
  /** What strace tampers with, as its `-e inject=` has it. */
  readonly inject?: string
}

/** Starts a server whose every write, rename, sync and answer is written down, SQLite's own included. */
export function startTraced(
  directory: string,
  options: object,
  { log, inject }: TraceOptions,
  port = 0,
): Promise<ServerProcess> {
  const tamper = inject === undefined ? [] : ['-e', `inject=${inject}`]
  // Times, since logs of several processes are read as one.
  const how = ['-f', '-ttt', '-yy', '-xx', '-qq', '-s', String(MOST_BYTES), '-e', 'signal=none', '-e', `trace=${CALLS}`]
  // Whole: by default it leaves out what tells one file from another.
  how.push('-e', 'abbrev=!statx')
  return startServer(directory, options, port, [], ['strace', ...how, ...tamper, '-o', log])
}

/**
 * Reads logs of strace.
 * @param logs - one for each process
 * @param folder - what is watched
 */
export function readTrace(logs: readonly string[], folder: string): readonly TraceEvent[] {
  const lines = logs.flatMap((log) => readFileSync(log, 'latin1').split('\n').map(readLine))
  const inOrder = lines.filter((line) => line !== undefined).sort((one, other) => one.time - other.time)
  const begun = new Map<number, { text: string; begin: number }>()
  const events: TraceEvent[] = []
  for (const [position, { thread, text }] of inOrder.entries()) {
    const unfinished = / <unfinished \.\.\.>$/.exec(text)
    if (unfinished) {
      begun.set(thread, { text: text.slice(0, unfinished.index), begin: position })
      continue
    }
    const resumed = /^<\.\.\. \w+ resumed>/.exec(text)
    const start = resumed ? begun.get(thread) : undefined
    const whole = resumed ? `${start?.text}${text.slice(resumed[0].length)}` : text
    const event = eventOf(whole, { begin: start?.begin ?? position, end: position, thread }, folder)
    if (event !== undefined) events.push(event)
  }
  return events
}

function readLine(line: string): { thread: number; time: number; text: string } | undefined {
  const match = /^(\d+) +(\d+\.\d+) /.exec(line)
  return match ? { thread: Number(match[1]), time: Number(match[2]), text: line.slice(match[0].length) } : undefined
}

const RESULT = /\) += (-?\d+)[^=]*$/

function eventOf(text: string, call: Call, folder: string): TraceEvent | undefined {
  const name = text.slice(0, text.indexOf('('))
  const result = Number(RESULT.exec(text)?.[1])
  const socket = /^write(?:v)?\(\d+<TCP[^:]*:\[[^>]*->[^\]]*?:(\d+)\]>/.exec(text)
  if (socket) {
    const status = /^HTTP\/1\.1 (\d+)/.exec(dataIn(text).toString('latin1'))
    return status ? { ...call, kind: 'answer', port: Number(socket[1]), status: Number(status[1]) } : undefined
  }
  const [path, other] = pathsIn(text).map((found) => insideOf(folder, found))
  if (path === undefined || !(name in READERS)) {
    if (path !== undefined) throw new Error(`the trace has a call that is not understood: ${text.slice(0, 200)}`)
    return undefined
  }
  const failed = Number.isNaN(result) || result < 0
  if (failed && !name.startsWith('f')) return undefined
  const event = READERS[name as keyof typeof READERS]({ text, path, other, result, failed })
  return event && ({ ...call, ...event } as TraceEvent)
}

interface Text {
  readonly text: string
  readonly path: string
  readonly other: string | undefined
  readonly result: number
  readonly failed: boolean
}

const write = ({ text, path, result }: Text): object => {
  const position = Number(/, (\d+)\) += \d+[^=]*$/.exec(text)?.[1])
  const data = dataIn(text).subarray(0, result)
  if (data.length < result) throw new Error(`the trace has not all of a write to ${path}`)
  return { kind: 'write', path, position, data }
}
const rename = ({ path, other }: Text): object | undefined =>
  other === undefined ? undefined : { kind: 'rename', path, to: other }
const link = ({ path, other }: Text): object | undefined =>
  other === undefined ? undefined : { kind: 'link', path, to: other }
const sync = ({ path, failed }: Text): object => ({ kind: 'sync', path, failed })
const stat = ({ text, path }: Text): object | undefined => {
  const [, number] = /stx_ino=(\d+)/.exec(text) ?? []
  const [, seconds, rest] = /stx_btime=\{tv_sec=(\d+), tv_nsec=(\d+)\}/.exec(text) ?? []
  if (number === undefined || seconds === undefined || rest === undefined) return undefined
  const birthtimeNs = BigInt(seconds) * 1_000_000_000n + BigInt(rest)
  return { kind: 'stat', path, identity: identityOf({ ino: BigInt(number), birthtimeNs }) }
}

const READERS = {
  openat: ({ text, path }: Text): object | undefined =>
    text.includes('O_CREAT') || text.includes('O_TRUNC')
      ? { kind: 'open', path, truncates: text.includes('O_TRUNC') }
      : undefined,
  pwrite64: write,
  pwritev: write,
  ftruncate: ({ text, path, failed }: Text): object | undefined =>
    failed ? undefined : { kind: 'truncate', path, size: Number(/, (\d+)\) += /.exec(text)?.[1]) },
  rename,
  link,
  rmdir: ({ path }: Text): object => ({ kind: 'unlink', path }),
  unlink: ({ path }: Text): object => ({ kind: 'unlink', path }),
  mkdir: ({ path }: Text): object => ({ kind: 'folder', path }),
  fsync: sync,
  fdatasync: sync,
  statx: stat,
} as const

const unhex = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex')

/** What a call has written: the strings among its arguments, descriptors' names left out. */
function dataIn(text: string): Buffer {
  return Buffer.concat(Array.from(text.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g), (match) => unhex(match[1] ?? '')))
}

/** The paths that a call names: by descriptor if it takes one, else by its arguments. */
function pathsIn(text: string): readonly string[] {
  const descriptor = /^\w+\(\d+<((?:\\x[0-9a-f]{2})+)>(\(deleted\))?/.exec(text)
  // What was unlinked is no file any more that could survive.
  if (descriptor) return descriptor[2] ? [] : [unhex(descriptor[1] ?? '').toString()]
  if (/^p?writev?(64|2)?\(/.test(text)) return []
  return Array.from(text.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g), (match) => unhex(match[1] ?? '').toString())
}

function insideOf(folder: string, path: string): string | undefined {
  const inside = relative(folder, join('/', path))
  return path.startsWith('/') && inside !== '..' && !inside.startsWith('../') ? inside : undefined
}
