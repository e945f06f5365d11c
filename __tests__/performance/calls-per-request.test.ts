// What each kind of request costs, in things that can be counted: they are the same on a fast machine and on a slow one.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

type Calls = Readonly<Record<string, number>>

const WRITE: Calls = { 'fs.openSync': 1, 'fs.fstatSync': 1, 'fs.writevSync': 1, 'fs.closeSync': 1 }

/** A finished file gets its name by a link: renaming might replace the file of another, even after a look at what is there. */
const NAME: Calls = { 'fs.linkSync': 1, 'fs.unlinkSync': 1 }

/** What makes a small finished upload durable: its bytes lie in the record, whose sync many share. */
const FINISH_SMALL: Calls = {
  'fs.readSync': 1,
  ...NAME,
  'fs.fdatasync': 1,
  'sql.BEGIN': 1,
  'sql.COMMIT': 1,
}

/** … and a larger one: the file, the folder it was in, the one it is in now, and the record. */
const FINISH_LARGE: Calls = { 'fs.fdatasync': 2, ...NAME, 'fs.open': 2, 'fs.fsync': 2, 'fs.close': 2 }

/** So many times it is waited for what others ask of the database, or of the disk, at the same moment. */
function turns(count: number): Calls {
  return { 'timer.setImmediate': count }
}

/**
 * Every call of node:fs (those without Sync take a trip through the thread pool), every SQL statement, timer,
 * AbortController and message to a worker. Of large writes it is the most that there can be: a slow disk is given more at a
 * time. Whoever makes a request cheaper lowers its numbers here, so that they stay low.
 */
const COSTS: Readonly<Record<string, Calls>> = {
  POST: { 'sql.INSERT': 1, ...turns(1) },
  'POST with all of the body': { 'sql.INSERT': 2, 'sql.UPDATE': 3, ...WRITE, ...FINISH_SMALL, ...turns(5) },
  'POST with a part of the body': { 'sql.INSERT': 1, 'sql.UPDATE': 2, ...WRITE, ...turns(3) },
  HEAD: { 'sql.SELECT': 1, ...turns(1) },
  'PATCH of 1 KiB': { 'sql.UPDATE': 2, ...WRITE, ...turns(2) },
  'PATCH of 64 KiB': { 'sql.UPDATE': 2, ...WRITE, ...turns(2) },
  'PATCH of 8 MiB': {
    'sql.UPDATE': 2,
    'fs.openSync': 1,
    'fs.fstatSync': 1,
    'fs.writev': 8,
    'fs.closeSync': 1,
    ...turns(2),
  },
  'PATCH of 1 KiB that completes': {
    'sql.UPDATE': 3,
    'sql.INSERT': 1,
    ...WRITE,
    ...FINISH_SMALL,
    ...turns(4),
  },
  'PATCH of 64 KiB that completes': { 'sql.UPDATE': 3, ...WRITE, ...FINISH_LARGE, ...turns(6) },
  DELETE: { 'sql.UPDATE': 2, 'sql.DELETE': 1, 'fs.fdatasync': 1, 'fs.promises.unlink': 1, ...turns(4) },
}

describe.each(['express', 'node'])('in %s', (adapter) => {
  let counted: Readonly<Record<string, readonly Calls[]>>

  beforeAll(() => {
    const directory = mkdtempSync(join(tmpdir(), 'calls-per-request-'))
    const preload = join(__dirname, 'count-calls.cjs')
    const script = join(__dirname, 'requests.mjs')
    const flags = ['--no-warnings', '--require', preload, script, adapter, directory]
    counted = JSON.parse(execFileSync(process.execPath, flags, { encoding: 'utf8' }))
    rmSync(directory, { recursive: true })
  })

  it.each(Object.entries(COSTS))('%s makes the calls that are written down, each time, and no other', (name, costs) => {
    const { 'fs.writev': most } = costs
    const all = counted[name]?.map((calls) => {
      const { 'fs.writev': large = 0, 'fs.writevSync': small = 0, ...others } = calls
      // The last of them may be small.
      return most !== undefined && large + small <= most ? { ...others, 'fs.writev': most } : calls
    })
    expect(all).toEqual([costs, costs, costs])
  })

  it('every kind of request is written down', () => {
    expect(Object.keys(counted)).toEqual(Object.keys(COSTS))
  })
})

describe('the counter', () => {
  it.each([
    ['fs.statSync', "require('node:fs').statSync('.')"],
    ['fs.stat', "require('node:fs').stat('.', () => {})"],
    ['fs.promises.stat', "require('node:fs/promises').stat('.')"],
    ['timer.setTimeout', 'setTimeout(() => {}, 0)'],
    ['timer.setInterval', "clearInterval(require('node:timers').setInterval(() => {}, 1))"],
    ['AbortController', 'new AbortController()'],
    ['worker.postMessage', "new (require('node:worker_threads').Worker)('', { eval: true }).postMessage('')"],
  ])('counts %s', (call, source) => {
    const script = `globalThis.calls = {}; ${source}; console.log(JSON.stringify(globalThis.calls))`
    const flags = ['--no-warnings', '--require', join(__dirname, 'count-calls.cjs'), '-e', script]
    const calls = JSON.parse(execFileSync(process.execPath, flags, { encoding: 'utf8' }))
    expect(calls).toEqual({ [call]: 1 })
  })
})
