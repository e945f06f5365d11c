// The hook of completed uploads, and a kill: before it has returned, and before that was written down.
import { TusServer } from '../../src/index.js'
import { SQLiteStorage } from '../../src/storage/sqlite/sqlite-storage.js'
import { built, runUntilKilled } from './support/run-node.js'
import { tempFolder } from './support/temp-folder.js'

const VERSION = { 'Tus-Resumable': '1.0.0' }

let open: TusServer | undefined

afterEach(() => open?.close({ timeoutMs: 0 }))

/** Has a process complete an upload, and kills it in or right after the hook. */
async function killedIn(directory: string, hook: string, wrap: string): Promise<void> {
  await runUntilKilled(
    `
    const here = () => {
      require('node:fs').writeSync(1, 'HERE')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    }
    const { TusServer, SQLiteStorage } = require(${JSON.stringify(built('index.js'))})
    const storage = new SQLiteStorage({ directory: ${JSON.stringify(directory)} })
    ${wrap}
    const onUploadComplete = () => { ${hook} }
    // Nobody can wait for such a lease to run out.
    const tus = new TusServer({ storage, onUploadComplete, generateId: () => 'one', leaseMs: 600_000 })
    const headers = { 'Tus-Resumable': '1.0.0', 'Content-Type': 'application/offset+octet-stream', 'Upload-Length': '3' }
    tus.handleRequest('POST', '/files', headers, Buffer.from('abc'))`,
    'HERE',
  )
}

it.each([
  ['before it has returned', 'here()', ''],
  ['after it has returned', "return { body: 'lost' }", 'storage.settleCompletion = here'],
])('a process that is killed %s is followed by another as soon as a client asks', async (_title, hook, wrap) => {
  const directory = tempFolder()
  await killedIn(directory, hook, wrap)
  const tus = await new Promise<TusServer>((done) => {
    const next: TusServer = new TusServer({
      storage: new SQLiteStorage({ directory }),
      onUploadComplete: ({ attempt, request }) => {
        expect([attempt, request]).toEqual([2, undefined])
        setImmediate(done, next)
        return { body: 'found' }
      },
    })
    open = next
    void next.handleRequest('HEAD', '/files/one', VERSION).then(({ status, headers }) => {
      expect([status, headers['Upload-Offset']]).toEqual([200, '3'])
    })
  })
  const head = await tus.handleRequest('HEAD', '/files/one', VERSION)
  expect(head).toMatchObject({ status: 200, headers: { 'Upload-Offset': '3' } })
  const last = { ...VERSION, 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': '3' }
  expect(String((await tus.handleRequest('PATCH', '/files/one', last)).body)).toBe('found')
})
