// A server as it comes out of a build: started, killed in the middle of a PATCH, started again.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterTest, freePort, scratchFolder, waitUntil } from '../support/example.js'
import { createUpload, offsetOf, openPatch, sendChunk } from '../support/requests.js'

const MIB = 1024 * 1024
/** After this many writes the log is checked in. */
const WRITES = 1_100

/** How a server is run. */
export interface BuiltServer {
  readonly node?: string
  /** The folder of the program. */
  readonly folder: string
  readonly program: string
  /** Where uploads are created. */
  readonly mount: string
}

/** A server that listens. */
export interface Listening {
  readonly endpoint: string
  /** What it wrote to both streams. */
  output(): string
  /** Sends a signal and waits for the end. */
  end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>
}

/** Starts a server and waits until it answers. It ends with the test. */
export async function startBuilt(server: BuiltServer, uploads: string): Promise<Listening> {
  const port = await freePort()
  const env = { ...process.env, NODE_ENV: 'production', UPLOADS: uploads, PORT: String(port), HOSTNAME: '127.0.0.1' }
  // Not the folder of the program: what it needs must be found without that.
  const options = { cwd: scratchFolder(), env }
  const child: ChildProcess = spawn(server.node ?? process.execPath, [join(server.folder, server.program)], options)
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      text += chunk
    })
  }
  const closed = once(child, 'close')
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal)
    await closed
  }
  afterTest(() => end('SIGKILL'))
  const endpoint = `http://127.0.0.1:${port}${server.mount}`
  await waitUntil(
    async () => {
      if (child.exitCode !== null) throw new Error(`${server.program} ended:\n${text}`)
      const answer = await fetch(endpoint, { method: 'OPTIONS' }).catch(() => undefined)
      return answer?.headers.has('Tus-Version')
    },
    30_000,
    () => text,
  )
  return { endpoint, output: () => text, end }
}

/** Uploads a file, with a kill in the middle of a PATCH; the worker must have moved the log, and nothing be warned of. */
export async function expectToResume(server: BuiltServer): Promise<void> {
  const uploads = join(scratchFolder(), 'uploads')
  const content = randomBytes(12 * MIB)
  const first = await startBuilt(server, uploads)
  const created = await createUpload(first.endpoint, content.length)
  expect((await sendChunk(created, 0, content.subarray(0, 4 * MIB))).status).toBe(204)

  const patch = await openPatch(created, 4 * MIB, 8 * MIB)
  await new Promise((written) => patch.write(content.subarray(4 * MIB, 8 * MIB), written))
  await first.end('SIGKILL')

  const second = await startBuilt(server, uploads)
  const resumed = created.replace(first.endpoint, second.endpoint)
  const offset = (await offsetOf(resumed)) ?? -1
  expect(offset).toBeGreaterThanOrEqual(4 * MIB)
  expect(offset).toBeLessThanOrEqual(8 * MIB)
  expect((await sendChunk(resumed, offset, content.subarray(offset))).status).toBe(204)
  const id = resumed.slice(resumed.lastIndexOf('/') + 1)
  expect(readFileSync(join(uploads, id)).equals(content)).toBe(true)

  // The connection itself never moves its log into the database.
  const database = join(uploads, '.resumable-upload/uploads.sqlite')
  const before = statSync(database).size
  for (let write = 0; write < WRITES; write++) await createUpload(second.endpoint, 1)
  await waitUntil(() => statSync(database).size > before, 15_000, second.output)
  expect(first.output() + second.output()).not.toMatch(/warning|error|resumable-upload:/i)
}
