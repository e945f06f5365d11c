// docs/processes.md: its programs run as they stand, and are stopped.
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { SQLiteStorage, TusServer, tusMiddleware } from '../../src/index.js'
import { codeUnder, substitute } from '../support/docs.js'
import { afterTest, freePort, scratchFolder, waitUntil } from '../support/example.js'
import { createUpload, offsetOf, openPatch } from '../support/requests.js'
import { runSnippet } from '../support/snippet.js'
import { answers, startProgram } from './program.js'
import { createSite, startUpload } from './site.js'

jest.setTimeout(60_000)

const PAGE = 'processes.md'
const MIB = 1024 * 1024
// The page gives running requests longer than a test has.
const server = substitute(codeUnder(PAGE, 'A server that stops as it should', 'js'), { '5_000': '500' })
const primary = codeUnder(PAGE, 'node:cluster', 'js')

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

/** How many servers have the directory open. */
function serversIn(folder: string): number {
  return readdirSync(join(folder, 'uploads', '.resumable-upload', 'processes')).length
}

describe.each([
  ['the server', { 'server.js': server }, 1],
  ['the cluster', { 'main.js': primary, 'server.js': server }, availableParallelism()],
] as const)('%s of the page', (_name, files, processes) => {
  it.each(['SIGTERM', 'SIGINT'] as const)('stops on %s, and has kept what arrived', async (signal) => {
    const folder = scratchFolder()
    const program = await startProgram(folder, files)
    await waitUntil(() => serversIn(folder) === processes)
    const origin = `http://localhost:${program.port}`
    const url = await createUpload(`${origin}/files`, 64 * MIB)
    const patch = await openPatch(url, 0, 64 * MIB)
    patch.write(randomBytes(5 * MIB))
    const cut = new Promise((resolve) => patch.once('close', resolve))
    while (patch.writableLength > 0) await once(patch, 'drain')
    expect(await program.end(signal)).toEqual({ code: 0, signal: null })
    await cut
    await expect(fetch(origin)).rejects.toThrow()

    const again = await startProgram(folder, files)
    const path = new URL(url).pathname
    expect(await offsetOf(`http://localhost:${again.port}${path}`)).toBe(5 * MIB)
  })
})

describe('the cluster of the page', () => {
  it('takes uploads whichever process a request reaches, and lets clients on that come back', async () => {
    const folder = scratchFolder()
    const program = await startProgram(folder, { 'main.js': primary, 'server.js': server })
    await waitUntil(() => serversIn(folder) === availableParallelism())
    const endpoint = `http://localhost:${program.port}/files`
    const contents = Array.from({ length: 8 }, () => randomBytes(2 * MIB))
    const uploads = await Promise.all(
      contents.map(async (content) => {
        const { upload, end } = startUpload(content, { endpoint, chunkSize: MIB / 4 })
        expect(await end).toBeUndefined()
        return upload.url?.split('/').at(-1) ?? ''
      }),
    )
    const stored = uploads.map((id) => sha256(readFileSync(join(folder, 'uploads', id))))
    expect(stored).toEqual(contents.map(sha256))

    // The processes take turns, so that these reach all of them while one has the body of a stalled client.
    const url = await createUpload(endpoint, 64)
    const stalled = await openPatch(url, 0, 64)
    for (let round = 0; round < availableParallelism(); round++) expect(await offsetOf(url)).toBe(0)
    stalled.destroy()
  })

  it('replaces a process that died', async () => {
    const folder = scratchFolder()
    const code = server.replace(
      'const app = express()',
      "const app = express()\napp.get('/die', () => process.exit(1))",
    )
    const program = await startProgram(folder, { 'main.js': primary, 'server.js': code })
    const { port } = program
    for (let death = 0; death < 3; death++) {
      await expect(fetch(`http://localhost:${port}/die`, { signal: AbortSignal.timeout(2_000) })).rejects.toThrow()
      await waitUntil(() => answers(port))
    }
  })
})

it('has sockets in the directory up to the length of its path that the page names', () => {
  const [, limit = ''] = /its path has at most (\d+) bytes/.exec(readPage()) ?? []
  for (const length of [Number(limit), Number(limit) + 1]) {
    const parent = scratchFolder()
    const directory = join(parent, 'x'.repeat(length - parent.length - 1))
    mkdirSync(directory)
    const tus = new TusServer({ storage: new SQLiteStorage({ directory }) })
    afterTest(() => tus.close())
    const sockets = readdirSync(join(directory, '.resumable-upload', 'processes'))
    expect([length, sockets.length]).toEqual([length, length === Number(limit) ? 1 : 0])
  }
})

it('lets several hosts share the work, each with its own uploads', async () => {
  const code = codeUnder(PAGE, 'Several hosts', 'ts')
  const hosts = [createSite(), createSite()]
  const origins: string[] = []
  for (const { app, storage, listen } of hosts) {
    const port = await freePort()
    const ours = substitute(code, { 'https://${process.env.HOSTNAME}.uploads.example': `http://127.0.0.1:${port}` })
    const { tus } = await runSnippet<{ tus: TusServer }>(ours, ['tus'], { storage })
    app.use('/files', tusMiddleware(tus))
    origins.push(await listen(tus, port))
  }
  // The load balancer: hosts take turns.
  let turn = 0
  const balancer = createServer((req, res) => void hosts[turn++ % hosts.length]?.app(req, res)).listen(0, '127.0.0.1')
  await once(balancer, 'listening')
  afterTest(() => {
    balancer.close()
  })
  const endpoint = `http://127.0.0.1:${(balancer.address() as AddressInfo).port}/files`
  const urls = []
  for (let count = 0; count < 4; count++) {
    const { upload, end } = startUpload(randomBytes(1000), { endpoint, chunkSize: 100 })
    expect(await end).toBeUndefined()
    urls.push(new URL(upload.url ?? '').origin)
  }
  expect(urls).toEqual([...origins, ...origins])
})

function readPage(): string {
  return readFileSync(join(__dirname, '../../docs', PAGE), 'utf8')
}
