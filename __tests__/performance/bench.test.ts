// The benchmark itself: that it runs, and that it does not take a wrong answer for a fast one.
import { spawnSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { bytesFor } from '../../bench/client/bodies.js'
import { Ledger } from '../../bench/client/ledger.js'
import { TusClient } from '../../bench/client/tus-client.js'

const ROOT = resolve(__dirname, '../..')
const KIB = 1024

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bench-test-'))
})

afterEach(() => rmSync(folder, { recursive: true }))

describe('npm run bench', () => {
  it('measures servers side by side, prints a table with ratios, and keeps the numbers', () => {
    const args = ['bench/run.ts', 'head', '--quick', '--servers', 'ours-express,tus-server,bare-express']
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(ROOT, 'node_modules/tsx/dist/cli.mjs'), ...args],
      {
        cwd: ROOT,
        encoding: 'utf8',
        env: { ...process.env, BENCH_RESULTS: folder },
      },
    )
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    const lines = stdout.split('\n').filter((line) => line.startsWith('| '))
    expect(lines.map((line) => line.split(' | ').length)).toEqual([6, 6, 6, 6])
    const [file] = readdirSync(folder)
    const { head } = JSON.parse(readFileSync(join(folder, String(file)), 'utf8'))
    expect(head.outcome.rows).toHaveLength(3)
    for (const { values } of head.outcome.rows) {
      for (const value of Object.values(values)) expect(value).toBeGreaterThan(0)
    }
  }, 60_000)

  it('says what there is to choose from when it is asked for something else', () => {
    const args = [join(ROOT, 'node_modules/tsx/dist/cli.mjs'), 'bench/run.ts', 'nothing']
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' })
    expect(status).toBe(1)
    expect(stderr).toContain('There is no nothing')
    expect(stdout).toMatch(/^head +HEAD, 32 connections$/m)
  })

  it.each(['bare-node', 'bare-express'])('%s has at most 60 lines', (name) => {
    const source = readFileSync(join(ROOT, `bench/servers/${name}.mjs`), 'utf8')
    expect(source.trimEnd().split('\n').length).toBeLessThanOrEqual(60)
  })
})

describe('the check of what was stored', () => {
  const upload = { path: '/files/abc', numbers: [1, 2], chunk: KIB, size: 2 * KIB }
  let file: string
  let ledger: Ledger

  beforeEach(() => {
    file = join(folder, 'abc')
    writeFileSync(file, Buffer.concat([bytesFor(1, KIB), bytesFor(2, KIB)]))
    ledger = new Ledger(folder)
    ledger.note(0, upload)
  })

  it('passes when every byte is right', () => {
    expect(() => ledger.verify()).not.toThrow()
  })

  it('fails when a byte differs', () => {
    const bytes = readFileSync(file)
    bytes.writeUInt8(bytes.readUInt8(1500) ^ 1, 1500)
    writeFileSync(file, bytes)
    expect(() => ledger.verify()).toThrow(/differs from what was uploaded, after byte 1024/)
  })

  it('fails when the file is too long, too short, or not there', () => {
    appendFileSync(file, 'x')
    expect(() => ledger.verify()).toThrow(/has 2049 bytes instead of 2048/)
    truncateSync(file, 2047)
    expect(() => ledger.verify()).toThrow(/has 2047 bytes instead of 2048/)
    rmSync(file)
    expect(() => ledger.verify()).toThrow(/is not stored/)
  })

  it('removes what is finished, after a check, and nothing else', () => {
    const other = { ...upload, path: '/files/def' }
    writeFileSync(join(folder, 'def'), readFileSync(file))
    ledger.note(1, other)
    ledger.finish(other)
    writeFileSync(join(folder, 'def'), Buffer.alloc(2 * KIB))
    expect(() => ledger.clear()).toThrow(/def differs from what was uploaded/)
    writeFileSync(join(folder, 'def'), readFileSync(file))
    ledger.clear()
    expect(readdirSync(folder)).toEqual(['abc'])
    // What is gone is not looked for, what stays is.
    expect(() => ledger.verify()).not.toThrow()
    rmSync(file)
    expect(() => ledger.verify()).toThrow(/abc is not stored/)
  })

  it('goes on with what was not finished when the rest was removed', () => {
    ledger.finish(upload)
    const half = { path: '/files/def', numbers: [1], chunk: KIB, size: KIB }
    writeFileSync(join(folder, 'def'), bytesFor(1, KIB))
    ledger.note(0, half)
    ledger.clear()
    appendFileSync(join(folder, 'def'), bytesFor(1, KIB))
    ledger.note(0, { ...half, size: 2 * KIB })
    expect(() => ledger.verify()).not.toThrow()
  })
})

describe('the client', () => {
  let server: Server

  afterEach(() => {
    server.close()
    server.closeAllConnections()
  })

  it.each([
    ['a refused POST', (client: TusClient) => client.create(1), 500, {}],
    ['a POST without Location', (client: TusClient) => client.create(1), 201, {}],
    ['a refused PATCH', (client: TusClient) => client.patch('/files/a', 0, Buffer.alloc(1)), 409, {}],
    [
      'a PATCH that stored nothing',
      (client: TusClient) => client.patch('/files/a', 0, Buffer.alloc(1)),
      204,
      { 'Upload-Offset': 0 },
    ],
    ['a HEAD of an unknown upload', (client: TusClient) => client.head('/files/a', 0), 404, {}],
    ['a HEAD with another offset', (client: TusClient) => client.head('/files/a', 0), 200, { 'Upload-Offset': 1 }],
  ])('fails on %s', async (_what, action, status, headers) => {
    server = createServer((req, res) => req.resume().on('end', () => res.writeHead(status, headers).end()))
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    const client = await TusClient.open((server.address() as AddressInfo).port)
    await expect(action(client)).rejects.toThrow(/expected|without Location/)
  })
})
