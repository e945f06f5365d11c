// What stays in memory of files that are done with: nothing, however many folders they were in.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FileBlobs } from '../../src/storage/files/file-blobs.js'
import { built, runNode } from './support/run-node.js'
import { tempFolder } from './support/temp-folder.js'

const FOLDERS = 200

it('a folder that was synced leaves nothing in memory', async () => {
  const { stdout } = await runNode(`
    const { mkdirSync } = require('node:fs')
    const { queryObjects } = require('node:v8')
    const { FileBlobs } = require(${JSON.stringify(built('storage/files/file-blobs.js'))})
    const directory = ${JSON.stringify(tempFolder())}
    const blobs = new FileBlobs({ directory, partsDirectory: directory + '/parts' })
    const sync = async (folder) => {
      mkdirSync(directory + '/' + folder)
      await Promise.all([blobs.syncPlaced(folder + '/one'), blobs.syncPlaced(folder + '/other')])
    }
    const count = () => queryObjects(Object, { format: 'count' })
    const main = async () => {
      // What Node makes when it is needed first, is there before.
      await sync('first')
      count()
      await sync('second')
      const before = count()
      for (let folder = 0; folder < ${FOLDERS}; folder++) await sync(String(folder))
      console.log(count() - before)
    }
    main()`)
  expect(Number.parseInt(stdout, 10)).toBeLessThan(FOLDERS)
})

const KIB = 1024

/** A blob of 2 MiB, and a clock that stands still. */
function withBlob(): { blobs: FileBlobs; now: jest.SpyInstance<number, []> } {
  const directory = tempFolder()
  const partsDirectory = join(directory, 'parts')
  mkdirSync(partsDirectory)
  writeFileSync(join(partsDirectory, 'blob'), Buffer.alloc(2048 * KIB))
  const now = jest.spyOn(performance, 'now').mockReturnValue(0)
  return { blobs: new FileBlobs({ directory, partsDirectory }), now }
}

it('reads more at a time for a client that takes it promptly, and little again after a pause', async () => {
  const { blobs, now } = withBlob()
  const sizes: number[] = []
  for await (const chunk of blobs.read({ blob: 'blob' }, 0, 1500 * KIB)) {
    sizes.push(chunk.length / KIB)
    if (sizes.length === 4) now.mockReturnValue(1000)
  }
  now.mockRestore()
  expect(sizes).toEqual([32, 64, 128, 256, 32, 64, 128, 256, 256, 256, 28])
})

it('reads more at a time for no more than 32 at once', async () => {
  const { blobs, now } = withBlob()
  const second = async (): Promise<{ kib: number; end(): Promise<unknown> }> => {
    const reading = blobs.read({ blob: 'blob' }, 0, 1024 * KIB)
    await reading.next()
    const { value } = await reading.next()
    return { kib: (value as Uint8Array).length / KIB, end: () => reading.return(undefined) }
  }
  const held = await Promise.all(Array.from({ length: 33 }, second))
  expect(held.map(({ kib }) => kib).sort()).toEqual([32, ...Array(32).fill(64)])
  await Promise.all(held.map(({ end }) => end()))
  const after = await second()
  expect(after.kib).toBe(64)
  await after.end()
  now.mockRestore()
})
