// What a SQLiteStorage does with a disk that is slow, full, or does things by halves.
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { toTusError } from '../../src/errors.js'
import { bytes } from '../../src/testing/subject.js'
import { waitUntil } from '../support/example.js'
import { openStorage } from './support/open-storage.js'
import { built, runNode } from './support/run-node.js'
import { growDisk, onSmallDisk, smallDisk } from './support/small-disk.js'
import { tempFolder } from './support/temp-folder.js'

const MIB = 1024 * 1024

describe('SQLiteStorage: what the disk does', () => {
  const script = (prelude: string, body: string): string => `
    const fs = require('node:fs')
    ${prelude}
    const { SQLiteStorage } = require(${JSON.stringify(built('storage/sqlite/sqlite-storage.js'))})
    const storage = new SQLiteStorage({ directory: ${JSON.stringify(tempFolder())} })
    const upload = { id: 'id', name: 'id', length: 400000, createdAtMs: 0 }
    ;(async () => {
      await storage.create(upload)
      const { fence } = await storage.claim('id', { owner: 'A', ttlMs: 60000 })
      const stage = await storage.openStage('id', fence, 0)
      ${body}
      await stage.close()
      await storage.close()
    })()`

  it('writes that take only some of the bytes are gone on with', async () => {
    const { stdout, stderr } = await runNode(
      script(
        `const { writev, writevSync } = fs
         const few = (buffers, limit) => {
           const first = buffers.find((buffer) => buffer.length > 0) ?? buffers[0]
           return [first.subarray(0, limit)]
         }
         fs.writevSync = (fd, buffers, at) => writevSync(fd, few(buffers, 7), at)
         fs.writev = (fd, buffers, at, done) => writev(fd, few(buffers, 70001), at, done)
         fs.writev[require('node:util').promisify.custom] = (fd, buffers, at) =>
           new Promise((resolve, reject) =>
             writev(fd, few(buffers, 70001), at, (error, bytesWritten) => (error ? reject(error) : resolve({ bytesWritten }))))`,
        `const { bytes } = require(${JSON.stringify(built('testing/subject.js'))})
         const whole = bytes(400000)
         await stage.write([whole.subarray(0, 50), new Uint8Array(0), whole.subarray(50, 100)])
         await stage.write([whole.subarray(100, 1000), whole.subarray(1000, 300000), new Uint8Array(0), whole.subarray(300000)])
         console.log(await stage.commit({ to: 400000, complete: true, durable: false }))
         console.log(fs.readFileSync(storage.pathOf(upload)).equals(whole))`,
      ),
    )
    expect({ stdout, stderr }).toEqual({ stdout: 'ok\ntrue\n', stderr: '' })
  })

  it('a durable completion: bytes and their name, then the record, then the final name, and then the answer', async () => {
    const { stdout, stderr } = await runNode(
      script(
        `const log = []
         const path = (fd) => fs.readlinkSync('/proc/self/fd/' + fd).split('/').slice(-2).join('/')
         for (const name of ['fsync', 'fdatasync']) {
           const real = fs[name]
           fs[name] = (fd, done) => { log.push(name + ' ' + path(fd)); real(fd, (error) => { log.push('done'); done(error) }) }
         }
         const { linkSync } = fs
         fs.linkSync = (from, to) => { log.push('name'); linkSync(from, to) }`,
        `await stage.write([Buffer.alloc(400000)])
         log.length = 0
         await stage.commit({ to: 400000, complete: true, durable: true, release: true })
         log.push('answer')
         console.log(JSON.stringify(log))`,
      ),
    )
    expect(stderr).toBe('')
    const log = JSON.parse(stdout) as string[]
    expect(log.slice(0, 4).sort()).toEqual(['done', 'done', 'fdatasync parts/id', 'fsync .resumable-upload/parts'])
    expect(log.slice(4)).toEqual([
      // The name of the log, once.
      expect.stringMatching(/^fsync f\w+\/\.resumable-upload$/),
      'done',
      'fdatasync .resumable-upload/uploads.sqlite-wal',
      'done',
      'name',
      expect.stringMatching(/^fsync resumable-upload-\w+\/f\w+$/),
      'done',
      'answer',
    ])
  })

  it('a durable removal: the record first, and it is forgotten only when the file can not come back', async () => {
    const { stdout, stderr } = await runNode(
      script(
        `const log = []
         const path = (fd) => fs.readlinkSync('/proc/self/fd/' + fd).split('/').slice(-1)[0]
         for (const name of ['fsync', 'fdatasync']) {
           const sync = fs[name]
           fs[name] = (fd, done) => { log.push(path(fd)); sync(fd, done) }
         }
         fs.promises.unlink = async (file) => { log.push('unlink'); fs.unlinkSync(file) }`,
        `await stage.write([Buffer.alloc(400000)])
         await stage.commit({ to: 400000, complete: true, durable: true, release: true })
         const again = await storage.claim('id', { owner: 'A', ttlMs: 60000 })
         const folder = require('node:path').basename(storage.directory)
         log.length = 0
         await storage.remove('id', again.fence, { durable: true })
         console.log(log.map((what) => (what === folder ? 'the folder' : what)).join())
         console.log(fs.existsSync(storage.pathOf(upload)), await storage.get('id'))`,
      ),
    )
    expect({ stdout, stderr }).toEqual({
      stdout: 'uploads.sqlite-wal,unlink,unlink,the folder\nfalse undefined\n',
      stderr: '',
    })
  })

  it('a sync of the log that fails: what may be lost of it is written again before the next one', async () => {
    const { stdout, stderr } = await runNode(
      script(
        `const log = []
         let broken = false
         const path = (fd) => fs.readlinkSync('/proc/self/fd/' + fd).split('/').slice(-1)[0]
         const { fdatasync, writeSync } = fs
         fs.fdatasync = (fd, done) => {
           if (!path(fd).endsWith('-wal')) return fdatasync(fd, done)
           log.push('sync')
           if (!broken) return fdatasync(fd, done)
           broken = false
           done(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }))
         }
         fs.writeSync = (fd, buffer, offset, length, position) => {
           if (path(fd).endsWith('-wal')) log.push('write ' + (position + length))
           return writeSync(fd, buffer, offset, length, position)
         }`,
        `const size = () => fs.statSync(storage.directory + '/.resumable-upload/uploads.sqlite-wal').size
         await stage.write([Buffer.alloc(10)])
         broken = true
         const failure = await stage.commit({ to: 10, durable: true }).catch((error) => error)
         await stage.close()
         const again = await storage.claim('id', { owner: 'B', ttlMs: 60000, dead: 'A' })
         const next = await storage.openStage('id', again.fence, 0)
         await next.write([Buffer.alloc(10)])
         const before = size()
         // With the first sync of a process the log is written again as well.
         log.splice(0, 1)
         console.log(failure.code, await next.commit({ to: 10, durable: true, release: true }))
         await next.close()
         const [first, written, second, ...rest] = log
         const whole = Number(written.slice(6)) > 0 && Number(written.slice(6)) <= before
         console.log(first, whole, second, rest.length)`,
      ),
    )
    expect({ stdout, stderr }).toEqual({ stdout: 'EIO ok\nsync true sync 0\n', stderr: '' })
  })

  it.each([
    ['the bytes', 'fdatasync', 'parts/id'],
    ['their name', 'fsync', '.resumable-upload/parts'],
    ['the record', 'fdatasync', '.resumable-upload/uploads.sqlite-wal'],
    ['the final name', 'fsync', '/f'],
  ])('a sync of %s that fails: no completed upload, and the blob is not trusted again', async (_title, call, where) => {
    const { stdout, stderr } = await runNode(
      script(
        `let broken = false
         const path = (fd) => fs.readlinkSync('/proc/self/fd/' + fd).split('/').slice(-2).join('/')
         const real = fs.${call}
         fs.${call} = (fd, done) => {
           if (!broken || !(${JSON.stringify(where)} === '/f' ? !path(fd).includes('.resumable-upload') : path(fd) === ${JSON.stringify(where)})) return real(fd, done)
           broken = false
           done(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }))
         }`,
        `const { bytes } = require(${JSON.stringify(built('testing/subject.js'))})
         const whole = bytes(400000)
         await stage.write([whole.subarray(0, 1000)])
         await stage.commit({ to: 1000, durable: true })
         await stage.write([whole.subarray(1000, 5000)])
         await stage.commit({ to: 5000, durable: false })
         await stage.write([whole.subarray(5000)])
         broken = true
         const failure = await stage.commit({ to: 400000, complete: true, durable: true, release: true }).catch((error) => error)
         await stage.close()
         const { offset, complete } = await storage.get('id')
         console.log(failure.code, offset, complete, fs.existsSync(storage.pathOf(upload)))
         const again = await storage.claim('id', { owner: 'B', ttlMs: 60000, dead: 'A' })
         console.log(again.upload.pieces.map(({ start, blob }) => start + (blob === 'id' ? ' the old blob' : ' a new one')).join())
         const next = await storage.openStage('id', again.fence, offset)
         await next.write([whole.subarray(offset)])
         console.log(await next.commit({ to: 400000, complete: true, durable: true, release: true }))
         console.log(fs.readFileSync(storage.pathOf(upload)).equals(whole))`,
      ),
    )
    expect({ stdout, stderr }).toEqual({
      stdout: 'EIO 1000 false false\n0 the old blob,1000 a new one\nok\ntrue\n',
      stderr: '',
    })
  })

  onSmallDisk(
    'on a full disk a write that fails leaves nothing, and what was staged before can be committed',
    async () => {
      const { subject, directory, part } = openStorage(smallDisk(4 * MIB))
      const { id } = await subject.create({ length: 16 * MIB })
      const stage = await subject.open(id)
      let failure: unknown
      while (failure === undefined) {
        failure = await stage.write(bytes(500_000, stage.position)).then(
          () => undefined,
          (error: unknown) => error,
        )
      }
      expect(toTusError(failure).status).toBe(507)
      expect(readFileSync(part(id)).length).toBe(stage.position)
      expect(await stage.commit({ release: true })).toBe('ok')
      await stage.close()

      // No space for anything any more: uploads are claimed all the same, in the space that the log has.
      const filler = join(directory, 'filler')
      writeFileSync(filler, '')
      expect(() => {
        for (;;) writeFileSync(filler, Buffer.alloc(4096), { flag: 'a' })
      }).toThrow('ENOSPC')
      const claims = async (): Promise<void> => {
        for (let round = 0; round < 2000; round++) await subject.release(id, (await subject.claim(id)).fence)
      }
      await claims()
      expect((await subject.read(id)).length).toBe(stage.position)
      // What needs more than that is an error; it is no record that nobody knows of.
      const ids: string[] = []
      const create = async (): Promise<void> => {
        for (;;) ids.push((await subject.create({ metadata: 'm'.repeat(3000) })).id)
      }
      const refused = await create().catch((error: unknown) => error)
      expect([toTusError(refused).status, String(refused)]).toEqual([507, expect.stringMatching(/full/)])
      for (const one of ids) expect(await subject.storage.get(one)).toBeDefined()
      rmSync(filler)
      await expect(subject.create()).resolves.toBeDefined()
    },
  )

  onSmallDisk('the space that is kept for a full disk is taken back once there is some', async () => {
    const { subject, directory } = openStorage(smallDisk(4 * MIB))
    const reserve = join(directory, '.resumable-upload/reserve')
    const size = statSync(reserve).size
    const { id } = await subject.create()
    const filler = join(directory, 'filler')
    const claims = async (rounds: number): Promise<void> => {
      for (let round = 0; round < rounds; round++) await subject.release(id, (await subject.claim(id)).fence)
    }
    expect(() => {
      for (writeFileSync(filler, ''); ; ) writeFileSync(filler, Buffer.alloc(4096), { flag: 'a' })
    }).toThrow('ENOSPC')
    await claims(100)
    expect(existsSync(reserve)).toBe(false)
    growDisk(directory, 64 * MIB)
    // With the next checkpoint.
    await claims(600)
    await waitUntil(() => existsSync(reserve) && statSync(reserve).size === size)
  })

  onSmallDisk('a disk that fills up while pieces are joined is an error; what is committed stays', async () => {
    const { subject, parts, finished } = openStorage(smallDisk(5 * MIB))
    const { id } = await subject.create({ length: 4 * MIB })
    await subject.append(id, bytes(2 * MIB, 1))
    await subject.claim(id)
    await subject.expire()
    const stage = await subject.open(id)
    await stage.write(bytes(2 * MIB, 2))
    await expect(stage.commit({ complete: true })).rejects.toMatchObject({ code: 'ENOSPC' })
    expect([parts().filter((name) => name.endsWith('.flat')), finished()]).toEqual([[], []])
    expect(await stage.commit({ to: 4 * MIB - 1, release: true })).toBe('ok')
    await stage.close()
    await subject.assertBytes(id, bytes(2 * MIB, 1), bytes(2 * MIB, 2).subarray(0, -1))
  })
})
