// A process is stopped (SIGSTOP) after its last check and right before it touches an upload's bytes, loses its lease, and
// wakes up (SIGCONT) when somebody else has written to the upload, or completed it.
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { SQLiteStorage, TusServer } from '../../src/index.js'
import { CHUNK, create, offsetOf, patch, RawConnection } from '../adapters/client.js'
import { tempFolder } from '../storage/support/temp-folder.js'
import { idOf, sha256 } from '../support/client-site.js'
import { Pinned } from './cluster.js'
import { form, report } from './form.js'
import { type ProbedServer, startProbed } from './probed-server.js'

jest.setTimeout(120_000)

const KIB = 1024
const ROUNDS = form(1, 10)
const PREFIX = 100 * KIB
/** Written in one call on the main thread, and in several by the thread pool. */
const [SMALL, LARGE] = [60 * KIB, 2500 * KIB]
/** Of nothing that is right there is such a checksum. */
const MISMATCH = { 'Upload-Checksum': `sha1 ${createHash('sha1').update('another').digest('base64')}` }

/** Where the process stops, how large its chunk is, and what else the chunk says. */
const POINTS: ReadonlyArray<readonly [point: `${'before' | 'after'} ${string}`, size: number, headers: object]> = [
  ['before openSync', SMALL, {}],
  ['after openSync', LARGE, {}],
  ['before writevSync', SMALL, {}],
  ['after writevSync', SMALL, {}],
  ['before writev', LARGE, {}],
  ['after writev', LARGE, {}],
  ['before fdatasync', LARGE, {}],
  ['before ftruncateSync', LARGE, MISMATCH],
]

const directory = tempFolder()
let holder: ProbedServer
let other: ProbedServer

beforeAll(async () => {
  const options = { leaseMs: 150 }
  holder = await startProbed(directory, options)
  other = await startProbed(directory, options)
})

afterAll(async () => {
  holder.child.kill('SIGCONT')
  for (const server of [holder, other]) await server.end('SIGKILL')
})

/** Settles when a process is stopped. */
async function stopped({ child }: ProbedServer): Promise<void> {
  // The state follows the name, which is in parentheses.
  while (!readFileSync(`/proc/${child.pid}/stat`, 'utf8').includes(') T ')) await nextTurn()
}

function stored(path: string): string {
  return sha256(readFileSync(join(directory, idOf(path))))
}

/** Begins an upload, and stops the holder with a chunk of other bytes in its hands. */
async function stopIn(point: (typeof POINTS)[number][0], content: Buffer, chunk: Buffer, headers: object) {
  const path = await create(holder.port, content.length)
  expect((await patch(holder.port, path, 0, content.subarray(0, PREFIX))).status).toBe(204)
  await holder.tell(`stop ${point}`)
  const late = await RawConnection.open(holder.port)
  const size = { 'Upload-Offset': PREFIX, 'Content-Length': chunk.length }
  // At one go: a body that is there when it is asked for is written in large parts.
  late.socket.cork()
  void late.head('PATCH', path, { ...CHUNK, ...size, ...headers })
  void late.write(chunk)
  late.socket.uncork()
  await stopped(holder)
  return { path, late }
}

/** What another process does with the upload before the holder wakes up. */
const MEANWHILE = ['has begun a chunk', 'has stored a chunk', 'has completed the upload'] as const

describe.each(MEANWHILE)('when another process %s', (meanwhile) => {
  it.each(POINTS)('a process that was stopped %s changes nothing of it', async (point, size, headers) => {
    for (let round = 0; round < ROUNDS; round++) {
      const content = randomBytes(PREFIX + size)
      const { path, late } = await stopIn(point, content, randomBytes(size), headers)
      expect(await offsetOf(other.port, path)).toBe(PREFIX)
      const middle = meanwhile === 'has completed the upload' ? content.length : PREFIX + Math.floor(size / 2)
      const part = content.subarray(PREFIX, middle)
      const successor = await Pinned.open(other.port)
      if (meanwhile === 'has begun a chunk') await successor.begin(path, PREFIX, size, part)
      else expect(await successor.patch(path, PREFIX, part)).toBe(204)

      holder.child.kill('SIGCONT')
      const answer = await late.answer().catch(() => undefined)
      expect([423, 460, undefined]).toContain(answer?.status)
      late.destroy()
      if (meanwhile === 'has begun a chunk') expect(await successor.goOn(content.subarray(middle))).toBe(204)
      if (meanwhile === 'has stored a chunk') {
        expect(await offsetOf(other.port, path)).toBe(middle)
        expect((await patch(holder.port, path, middle, content.subarray(middle))).status).toBe(204)
      }
      successor.destroy()
      expect(stored(path)).toBe(sha256(content))
      for (const server of [holder, other]) expect(await offsetOf(server.port, path)).toBe(content.length)
    }
    report(`late bytes of a process stopped ${point}`, { when: `another ${meanwhile}`, rounds: ROUNDS, wrong: 0 })
  })
})

it('a process that was stopped between the last commit and the file\u2019s name does no harm by giving it', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const content = randomBytes(PREFIX + LARGE)
    const { path, late } = await stopIn('before linkSync', content, content.subarray(PREFIX), {})
    expect(await offsetOf(other.port, path)).toBe(content.length)
    expect((await patch(other.port, path, PREFIX, 'late')).status).toBe(409)
    holder.child.kill('SIGCONT')
    await late.answer().catch(() => undefined)
    late.destroy()
    expect(stored(path)).toBe(sha256(content))
    expect(await offsetOf(other.port, path)).toBe(content.length)
  }
  report('late name of a process stopped before linkSync', { rounds: ROUNDS, wrong: 0 })
})

it('nothing of the late bytes is left after a clean-up', async () => {
  const tus = new TusServer({ storage: new SQLiteStorage({ directory }) })
  await tus.cleanUp()
  await tus.close()
  expect(readdirSync(join(directory, '.resumable-upload/parts'))).toEqual([])
})
