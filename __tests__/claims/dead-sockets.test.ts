// What crashed processes leave behind: sockets, of which there may be hundreds.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import os, { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DeadSockets } from '../../src/claims/dead-sockets.js'
import { newOwner } from '../../src/claims/owner.js'
import { Peers } from '../../src/claims/peers.js'
import { socketPath } from '../../src/claims/socket-path.js'
import { bootId, isCertainBootId } from '../../src/storage/boot-id.js'
import { waitUntil } from '../support/example.js'

const TEN_MINUTES_MS = 10 * 60_000

let folder: string
let living: Server[]

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sockets-'))
  living = []
})

afterEach(() => {
  jest.restoreAllMocks()
  for (const server of living) server.close()
  rmSync(folder, { recursive: true })
})

const onUnix = process.platform === 'win32' ? it.skip : it
const whereBootsHaveNames = isCertainBootId(bootId()) ? it : it.skip

/** Sockets of a process that was killed. */
function leave(owners: readonly string[], place = folder): void {
  const paths = owners.map((owner) => socketPath(place, owner))
  const { signal } = spawnSync(process.execPath, [
    '-e',
    `const paths = ${JSON.stringify(paths)}
     let open = 0
     for (const path of paths) {
       require('node:net').createServer().listen(path, () => ++open === paths.length && process.kill(process.pid, 'SIGKILL'))
     }`,
  ])
  expect(signal).toBe('SIGKILL')
}

async function live(owner: string): Promise<void> {
  const server = createServer()
  living.push(server)
  await new Promise<void>((resolve) => server.listen(socketPath(folder, owner), resolve))
}

function owners(count: number): readonly string[] {
  return Array.from({ length: count }, newOwner)
}

function sockets(): readonly string[] {
  return readdirSync(folder)
}

onUnix('a socket that nobody listens at is kept for ten minutes, as the proof, and removed then', async () => {
  const [dead = '', alive = ''] = owners(2)
  leave([dead])
  await live(alive)
  let now = 0
  const tidy = new DeadSockets({ folder, own: newOwner(), now: () => now })
  await tidy.round()
  now = TEN_MINUTES_MS - 1
  await tidy.round()
  expect(sockets()).toHaveLength(2)
  now = TEN_MINUTES_MS
  await tidy.round()
  expect(sockets()).toEqual([alive])
})

onUnix('of many, no more than 64 are kept, the youngest, and none that may not have begun to listen', async () => {
  const all = owners(100)
  leave(all)
  const tidy = new DeadSockets({ folder, own: newOwner() })
  await tidy.round()
  expect(sockets()).toHaveLength(100)
  for (const [index, owner] of all.entries()) {
    const bornS = Date.now() / 1000 - 3600 + index
    utimesSync(join(folder, owner), bornS, bornS)
  }
  await tidy.round()
  expect(new Set(sockets())).toEqual(new Set(all.slice(-64)))
})

whereBootsHaveNames('a socket of another run of the system is removed at once', async () => {
  leave(['0badb007-0011223344556677'])
  await new DeadSockets({ folder, own: newOwner() }).round()
  expect(sockets()).toEqual([])
})

onUnix('what is no socket of a process is left alone', async () => {
  mkdirSync(join(folder, 'other'))
  leave(['0badb007-00112233'])
  let now = 0
  const tidy = new DeadSockets({ folder, own: newOwner(), now: () => now })
  await tidy.round()
  now = TEN_MINUTES_MS
  await tidy.round()
  expect(sockets()).toHaveLength(2)
})

onUnix('sockets of a folder with a long path are found among the temporary files', async () => {
  const long = join(folder, 'x'.repeat(100))
  const [dead = ''] = owners(1)
  leave([dead], long)
  const path = socketPath(long, dead)
  expect(path.startsWith(join(tmpdir(), `ru-${createHash('sha256').update(long).digest('hex').slice(0, 16)}`))).toBe(
    true,
  )
  let now = 0
  const tidy = new DeadSockets({ folder: long, own: newOwner(), now: () => now })
  await tidy.round()
  now = TEN_MINUTES_MS
  await tidy.round()
  expect(readdirSync(tmpdir())).not.toContain(path.slice(tmpdir().length + 1))
})

function peersIn(place: string, errors: Error[], patienceMs = 1000): Peers {
  return new Peers(place, {
    onAsk: () => {},
    isHolding: () => false,
    patienceMs,
    onError: (error) => errors.push(error as Error),
  })
}

onUnix('a process that can not listen says why, and what follows', async () => {
  const errors: Error[] = []
  const peers = peersIn(join(folder, 'none'), errors)
  await waitUntil(() => errors.length > 0)
  expect(errors[0]?.message).toMatch(/^Other processes cannot ask this one to let go of an upload.*(EACCES|ENOENT)/)
  await peers.close()
})

onUnix('a process without a place for its socket says so', async () => {
  const errors: Error[] = []
  jest.spyOn(os, 'tmpdir').mockReturnValue(join(folder, 'y'.repeat(100)))
  const peers = peersIn(join(folder, 'x'.repeat(100)), errors)
  expect(errors[0]?.message).toMatch(/at most 103 bytes/)
  expect(await peers.isDead(newOwner())).toBe(false)
  await peers.close()
})

onUnix('a connection that asks nothing is cut', async () => {
  const errors: Error[] = []
  const peers = peersIn(folder, errors, 20)
  const socket = connect(socketPath(folder, peers.owner))
  await new Promise((resolve) => socket.once('close', resolve))
  await peers.close()
  expect(errors).toEqual([])
})
