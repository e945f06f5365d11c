// Node 22 calls node:sqlite experimental when it is loaded: nobody wants that in the log of a server.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

it('the default storage starts without a word on stderr', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sqlite-warning-'))
  const script = `
    const { SQLiteStorage } = require(${JSON.stringify(resolve(__dirname, '../../dist/cjs/index.js'))})
    new SQLiteStorage({ directory: ${JSON.stringify(directory)} }).close().then(() => console.log('closed'))`
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' })
  rmSync(directory, { recursive: true })
  expect({ stdout, stderr }).toEqual({ stdout: 'closed\n', stderr: '' })
})
