// A directory is looked at once, at the start: who may read it, whether it can be written to, and what lies below it.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { networkFileSystem, warnOfNetworkFileSystem } from '../../src/storage/files/check-directory.js'
import { SQLiteStorage, type SQLiteStorageOptions } from '../../src/storage/sqlite/sqlite-storage.js'
import { bytes, Subject } from '../../src/testing/subject.js'
import { onSmallDisk, smallDisk } from './support/small-disk.js'
import { tempFolder } from './support/temp-folder.js'

const CLOCK = { now: Date.now, advance: () => {} }

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8)
}

/** Uploads `folder/file` and closes the storage. */
async function upload(options: SQLiteStorageOptions): Promise<void> {
  const storage = new SQLiteStorage(options)
  const subject = new Subject(storage, { clock: CLOCK, leaseMs: 10_000 })
  const { id } = await subject.create({ length: 5, name: 'folder/file' })
  await subject.append(id, bytes(5), { complete: true })
  await storage.close()
}

describe('who may read what', () => {
  let umask: number
  beforeEach(() => {
    umask = process.umask(0o027)
  })
  afterEach(() => {
    process.umask(umask)
  })

  it('records and unfinished bytes: only the user of the server; finished files: as the umask says', async () => {
    const directory = join(tempFolder(), 'new')
    await upload({ directory })
    const state = join(directory, '.resumable-upload')
    expect([modeOf(state), modeOf(join(state, 'parts')), modeOf(join(state, 'processes'))]).toEqual([
      '700',
      '700',
      '700',
    ])
    expect(modeOf(join(state, 'uploads.sqlite'))).toBe('600')
    expect([modeOf(directory), modeOf(join(directory, 'folder'))]).toEqual(['750', '750'])
    expect(modeOf(join(directory, 'folder/file'))).toBe('640')
  })

  it('a folder of before is closed to others, and one of the application is left as it is', async () => {
    const directory = tempFolder()
    process.umask(0o022)
    mkdirSync(join(directory, '.resumable-upload'))
    mkdirSync(join(directory, 'folder'))
    await upload({ directory, directoryMode: 0o711 })
    expect(modeOf(join(directory, '.resumable-upload'))).toBe('700')
    expect(modeOf(join(directory, 'folder'))).toBe('755')
  })

  it('as the options say, whatever the umask', async () => {
    const directory = join(tempFolder(), 'new')
    await upload({ directory, fileMode: 0o664, directoryMode: 0o2775 & 0o777, stateMode: 0o770 })
    const state = join(directory, '.resumable-upload')
    expect([modeOf(directory), modeOf(join(directory, 'folder')), modeOf(state)]).toEqual(['775', '775', '770'])
    expect([modeOf(join(directory, 'folder/file')), modeOf(join(state, 'uploads.sqlite'))]).toEqual(['664', '660'])
  })

  it.each([640, -1, 0o1777, '640'])('%j is no mode', (fileMode) => {
    const options = { directory: tempFolder(), fileMode: fileMode as number }
    expect(() => new SQLiteStorage(options)).toThrow(fileMode === 640 ? /not 640/ : /fileMode must be/)
  })
})

describe('a directory that can not be used is an error that names path, cause and remedy', () => {
  it.each(['file', 'file/below/it', 'state'])('a file in the place of a folder: %s', (where) => {
    const root = tempFolder()
    const directory = where === 'state' ? root : join(root, where)
    writeFileSync(where === 'state' ? join(root, '.resumable-upload') : join(root, 'file'), '')
    const error = errorOf(() => new SQLiteStorage({ directory }))
    expect(error.message).toContain(directory)
    expect(error.message).toMatch(/is a file\. Move it away/)
    expect(['ENOTDIR', 'EEXIST']).toContain(error.code)
  })

  onSmallDisk.each(['.', 'new/folder'])('a file system that is mounted read-only: %s', (where) => {
    const disk = smallDisk(1024 * 1024)
    execFileSync('mount', ['-o', 'remount,ro', disk])
    const error = errorOf(() => new SQLiteStorage({ directory: join(disk, where) }))
    expect(error).toMatchObject({ code: 'EROFS' })
    expect(error.message).toContain(disk)
    expect(error.message).toContain('read-only')
  })

  onSmallDisk('a full one', () => {
    const disk = smallDisk(256 * 1024)
    execFileSync('mount', ['-o', 'remount,nr_inodes=3', disk])
    const error = errorOf(() => new SQLiteStorage({ directory: disk }))
    expect(error).toMatchObject({ code: 'ENOSPC' })
    expect(error.message).toContain(`df -i ${disk}`)
    expect(readdirSync(disk).length).toBeLessThanOrEqual(1)
  })
})

describe('a network file system', () => {
  it.each([
    [0x6969, 'NFS'],
    [0xff534d42, 'CIFS/SMB'],
    // As a system with 32 bits says it.
    [0xff534d42 | 0, 'CIFS/SMB'],
    [0x65735546, 'FUSE'],
    [0xef53, undefined],
  ])('%i is known as %s', (type, kind) => {
    const found = networkFileSystem('/x', () => ({ type }))
    if (kind === undefined || process.platform !== 'linux') expect(found).toBeUndefined()
    else expect(found).toContain(kind)
  })

  it('is warned of once for each folder', () => {
    const emitWarning = jest.spyOn(process, 'emitWarning').mockImplementation(() => {})
    for (const path of ['/mnt/one', '/mnt/one', '/mnt/two']) warnOfNetworkFileSystem(path, 'NFS')
    warnOfNetworkFileSystem('/mnt/three', undefined)
    const warnings = emitWarning.mock.calls.map(([warning]) => String(warning))
    emitWarning.mockRestore()
    expect(warnings.map((warning) => warning.slice(0, 8))).toEqual(['/mnt/one', '/mnt/two'])
    expect(warnings[0]).toMatch(/NFS.*write-ahead log.*sockets/)
  })
})

function errorOf(action: () => unknown): NodeJS.ErrnoException {
  try {
    action()
  } catch (error) {
    return error as NodeJS.ErrnoException
  }
  throw new Error('nothing was thrown')
}
