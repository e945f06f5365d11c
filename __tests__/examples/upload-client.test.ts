// The client in Node, against the Express example.
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Program, runExample, scratchFolder, startExample } from '../support/example.js'

const SCRIPT = 'client/upload.ts'

let directory: string
let server: Program
let endpoint: string

beforeEach(async () => {
  directory = scratchFolder()
  server = await startExample('server/express-app.ts', { directory })
  endpoint = new URL('/files', server.url).href
}, 60_000)

/** The hash of the file that the program says it has uploaded. */
function storedFile(output: string): string {
  const id = /safe at \S+\/files\/([0-9a-f]+)/.exec(output)?.[1] ?? ''
  return createHash('sha256')
    .update(readFileSync(join(directory, 'uploads', id)))
    .digest('hex')
}

describe('examples/client/upload.ts', () => {
  it('uploads a file of its own, stops in the middle, and resumes', async () => {
    const { code, output } = await runExample(SCRIPT, ['', endpoint])

    expect(code).toBe(0)
    const [, safe, size] = /stopped; (\d+) of (\d+) bytes are safe/.exec(output) ?? []
    expect(Number(safe)).toBeGreaterThan(0)
    expect(Number(safe)).toBeLessThan(Number(size))
    expect(output).toContain(`uploaded ${size} bytes, SHA-256 ${storedFile(output)}`)
    const requests = await server.answered('PATCH', 204)
    const resumed = requests.findLastIndex(
      ({ method, headers }) => method === 'PATCH' && headers['upload-offset'] === safe,
    )
    expect(requests[resumed - 1]).toMatchObject({ method: 'HEAD', answer: { 'upload-offset': safe } })
  }, 60_000)

  it('uploads a file that is given', async () => {
    const file = join(scratchFolder(), 'given – 文件.bin')
    writeFileSync(file, randomBytes(30_000_000))

    const { code, output } = await runExample(SCRIPT, [file, endpoint])

    expect(code).toBe(0)
    expect(output).toContain(`uploaded 30000000 bytes, SHA-256 ${storedFile(output)}`)
    const filename = Buffer.from('given – 文件.bin').toString('base64')
    expect((await server.answered('POST', 201))[0]?.headers['upload-metadata']).toBe(`filename ${filename}`)
  }, 60_000)

  it('fails if there is no server', async () => {
    await server.end('SIGTERM')
    const file = join(scratchFolder(), 'file')
    writeFileSync(file, 'x')

    const { code, output } = await runExample(SCRIPT, [file, endpoint])

    expect(code).toBe(1)
    expect(output).toContain('ECONNREFUSED')
  }, 60_000)
})
