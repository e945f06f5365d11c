// A crowd of cheap connections beside an ordinary upload: what each kind costs the crowd, and what it costs the upload.
// Server, crowd and bystander are processes of their own, and take turns with and without the crowd, so that a machine that is
// busy with other things spoils neither more than the other.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { CHUNK, RawConnection, TUS } from '../adapters/client.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { form, report } from './form.js'
import { timesOf } from './times.js'

const MIB = 1024 * 1024
const BODY = Buffer.alloc(8 * MIB, 'x')
/** How often the crowd comes and goes. */
const ROUNDS = form(2, 3)
/** How often the bystander uploads in each turn. */
const UPLOADS = form(6, 10)
const CROWD = form(300, 1000)

interface ServerFigures {
  readonly connections: number
  readonly descriptors: number
  readonly rssMiB: number
  readonly cpuMs: number
  readonly delayP99Ms: number
}

interface CrowdFigures {
  readonly bytes: number
  /** How many of its connections the server has cut. */
  readonly cut: number
  readonly cpuMs: number
}

const children: ChildProcess[] = []

afterEach(async () => {
  await Promise.all(children.splice(0).map(end))
})

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'close')
}

async function ask<T>(child: ChildProcess, what: string): Promise<T> {
  const answer = once(child, 'message')
  child.send(what)
  return (await answer)[0] as T
}

async function start(
  script: string,
  args: readonly string[],
): Promise<{ child: ChildProcess; first: { port: number } }> {
  const child = fork(join(__dirname, script), args, { execArgv: ['--expose-gc'] })
  children.push(child)
  const [first] = await once(child, 'message')
  return { child, first: first as { port: number } }
}

/** The times of ordinary uploads of 8 MiB, in milliseconds. */
async function upload(port: number, uploads: number): Promise<number[]> {
  const connection = await RawConnection.open(port)
  const ms: number[] = []
  for (let count = 0; count < uploads; count++) {
    const created = connection.answer()
    await connection.head('POST', '/files', { ...TUS, 'Upload-Length': BODY.length, 'Content-Length': 0 })
    const path = String((await created).headers.location)
    const begun = performance.now()
    const answered = connection.answer()
    await connection.head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, 'Content-Length': BODY.length })
    connection.socket.write(BODY)
    expect((await answered).status).toBe(204)
    ms.push(performance.now() - begun)
  }
  connection.destroy()
  return ms
}

/** Waits until the server has taken in what a crowd has sent at its beginning. */
async function untilCalm(server: ChildProcess): Promise<void> {
  let before = (await ask<ServerFigures>(server, 'look')).cpuMs
  for (let look = 0; look < 100; look++) {
    await wait(100)
    const { cpuMs } = await ask<ServerFigures>(server, 'look')
    if (cpuMs - before < 50) return
    before = cpuMs
  }
}

const round = (value: number): number => Math.round(value * 10) / 10

// These are times on a machine that may be busy for a while: what the crowd costs, it costs each time.
jest.retryTimes(2, { logErrorsBeforeRetry: true })

describe('an ordinary upload takes no more than three times as long beside', () => {
  test.each([
    ['a few that trickle fast', 12],
    ['PATCHes that trickle', CROWD],
    ['creations that trickle', CROWD],
    ['PATCHes of 1 B/s', CROWD],
    ['PATCHes of 64 KiB/s', form(30, 100)],
    ['pipelined requests', CROWD],
    ['downloads that stall', CROWD],
    ['hooks that hang', CROWD],
    ['final uploads that wait', CROWD],
    ['copies of one part', CROWD],
  ])(
    '%s',
    async (kind, connections) => {
      const { child: server, first } = await start('crowd-server.mjs', [tempFolder(), '{}'])
      const { port } = first
      await upload(port, UPLOADS)
      const alone: number[] = []
      const beside: number[] = []
      const delays = { alone: [] as number[], beside: [] as number[] }
      const costs: Array<{ bytes: number; cpu: number; cut: number; mib: number; server: number }> = []
      for (let turn = 0; turn < ROUNDS; turn++) {
        await ask(server, 'reset')
        alone.push(...(await upload(port, UPLOADS)))
        delays.alone.push((await ask<ServerFigures>(server, 'look')).delayP99Ms)
        const idle = await ask<ServerFigures>(server, 'collect')

        const { child: crowd } = await start('crowd.mjs', [String(port), kind, String(connections)])
        await untilCalm(server)
        await ask(server, 'reset')
        const [began, begun] = [performance.now(), await ask<CrowdFigures>(crowd, 'look')]
        beside.push(...(await upload(port, UPLOADS)))
        const seconds = (performance.now() - began) / 1000
        delays.beside.push((await ask<ServerFigures>(server, 'look')).delayP99Ms)
        const busy = await ask<ServerFigures>(server, 'collect')
        const cost = await ask<CrowdFigures>(crowd, 'look')
        costs.push({
          bytes: (cost.bytes - begun.bytes) / seconds,
          cpu: (cost.cpuMs - begun.cpuMs) / 10 / seconds,
          cut: cost.cut,
          mib: busy.rssMiB - idle.rssMiB,
          server: busy.connections,
        })
        await end(crowd)
        await untilCalm(server)
      }
      const [without, with_] = [timesOf(alone), timesOf(beside)]
      const most = (values: readonly number[]): number => round(Math.max(...values))
      const least = (values: readonly number[]): number => round(Math.min(...values))
      report(`8 MiB beside ${kind}`, {
        connections,
        'bytes per s': most(costs.map(({ bytes }) => bytes)),
        'its CPU %': most(costs.map(({ cpu }) => cpu)),
        'median ms alone': without.medianMs,
        'median ms beside': with_.medianMs,
        'quarter ms alone': without.quarterMs,
        'quarter ms beside': with_.quarterMs,
        'loop p99 ms alone': least(delays.alone),
        'loop p99 ms beside': least(delays.beside),
        'MiB more': most(costs.map(({ mib }) => mib)),
        cut: most(costs.map(({ cut }) => cut)),
      })
      // A quarter: what a machine that is busy with other things does not spoil.
      expect(with_.quarterMs).toBeLessThan(3 * without.quarterMs)
      expect(least(delays.beside)).toBeLessThan(Math.max(30, 3 * least(delays.alone)))
      expect(costs[0]?.mib).toBeLessThan(128)
      if (kind === 'pipelined requests') expect(costs.map(({ cut }) => cut)).toEqual(costs.map(() => 1))
    },
    form(60_000, 300_000),
  )
})
