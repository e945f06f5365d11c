// A system that does not say when files were made: Node puts the time of the last change in its place, which each write moves.
import type { BigIntStats } from 'node:fs'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { knowsBirthTimes } from '../../src/storage/files/file-identity.js'
import { bytes } from '../../src/testing/subject.js'
import { openStorage } from './support/open-storage.js'

jest.mock('node:fs', () => {
  const fs = jest.requireActual<typeof import('node:fs')>('node:fs')
  const changed = <Of>(stat: (of: Of, options: object) => BigIntStats | undefined) => {
    return (of: Of, options: object = {}): BigIntStats | undefined => {
      const stats = stat(of, options)
      return stats && Object.assign(stats, { birthtimeNs: stats.ctimeNs })
    }
  }
  return {
    ...fs,
    statSync: changed(fs.statSync as never),
    lstatSync: changed(fs.lstatSync as never),
    fstatSync: changed(fs.fstatSync as never),
  }
})

it('has the time of the last change where that of the birth should be', () => {
  expect(statSync('/proc', { bigint: true }).birthtimeNs).not.toBe(0n)
})

it('an upload goes on in its file, chunk after chunk, and its finished file is known by it', async () => {
  const { subject, storage, directory } = openStorage()
  const { id } = await subject.create({ length: 30, name: 'file' })
  await subject.append(id, bytes(10, 1))
  await subject.append(id, bytes(10, 2))
  await subject.append(id, bytes(10, 3), { complete: true })
  const whole = Buffer.concat([bytes(10, 1), bytes(10, 2), bytes(10, 3)])
  await subject.assertBytes(id, whole)
  const { fence } = await subject.claim(id)
  expect(await storage.remove(id, fence)).toBe('removed')
  expect(existsSync(join(directory, 'file'))).toBe(false)
})

it.each([
  ['Linux, which has files that never were made', 'linux', 0n, true],
  ['Linux that says of them when they changed', 'linux', 1n, false],
  ['macOS', 'darwin', 1n, true],
  ['a system of which Node does not know', 'sunos', 1n, false],
])('%s: %s', (_what, platform, birthtimeNs, known) => {
  expect(knowsBirthTimes(platform, () => ({ birthtimeNs }))).toBe(known)
})
