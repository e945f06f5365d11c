// What hooks give to be kept: the same comes back from every storage, and nothing that is done to it later changes it.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryStorage, offload, SQLiteStorage, type Storage } from '../../src/index.js'
import { idOf, startServer } from './support.js'

const folder = mkdtempSync(join(tmpdir(), 'resumable-upload-attributes-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let made = 0
const directory = (): string => join(folder, String(++made))

const STORAGES: ReadonlyArray<readonly [string, () => Storage]> = [
  ['MemoryStorage', () => new MemoryStorage()],
  ['SQLiteStorage', () => new SQLiteStorage({ directory: directory() })],
  ['offload', () => offload(join(__dirname, '../storage/fixtures/hosted.cjs'), { directory: directory() })],
]

class User {
  readonly id = 7
  readonly name = 'ann'
  get secret(): string {
    return 'x'
  }
}

/** What may be given, and what comes back. */
const KEPT: Readonly<Record<string, readonly [given: unknown, read: unknown]>> = {
  date: [new Date(0), '1970-01-01T00:00:00.000Z'],
  'an object with toJSON': [{ toJSON: () => 'abc' }, 'abc'],
  'a class': [new User(), { id: 7, name: 'ann' }],
  'a URL': [new URL('https://a.example/b'), 'https://a.example/b'],
  null: [null, null],
  'what is not there': [undefined, undefined],
  'a function': [() => 1, undefined],
  'a hole': [
    [1, undefined, 2],
    [1, null, 2],
  ],
  'minus zero': [-0, 0],
  'a lone surrogate': ['\ud800', '\ud800'],
  __proto__: [{ polluted: true }, { polluted: true }],
  'an expression': [/x/g, {}],
}

describe.each(STORAGES)('%s', (_name, open) => {
  it('attributes come back as JSON holds them', async () => {
    const given = Object.defineProperties(
      {},
      properties(([value]) => value),
    )
    const expected = Object.defineProperties(
      {},
      properties(([, read]) => read),
    )
    let seen: unknown
    const { create, handle } = startServer({
      storage: open(),
      onUploadCreate: () => ({ attributes: given }),
      onIncomingRequest: ({ upload }) => {
        seen = upload?.attributes
      },
    })
    await handle('HEAD', await create({ 'Upload-Length': '5' }))
    expect(JSON.stringify(seen)).toBe(JSON.stringify(expected))
    expect(Object.keys(seen as object)).toEqual(Object.keys(JSON.parse(JSON.stringify(expected))))
  })

  it('what a hook does to its object, or to what it is shown, changes no record', async () => {
    const kept = { owner: 'ann', tags: ['a'] }
    const seen: string[] = []
    const { create, handle, patch } = startServer({
      storage: open(),
      onUploadCreate: () => ({ attributes: kept }),
      onIncomingRequest: ({ upload }) => {
        if (upload === undefined) return
        seen.push(JSON.stringify(upload.attributes))
        ;(upload.attributes as typeof kept).tags.push('by a hook')
      },
      onUploadComplete: ({ upload }) => void seen.push(JSON.stringify(upload.attributes)),
    })
    const path = await create({ 'Upload-Length': '5' })
    kept.owner = 'bob'
    kept.tags.push('later')
    await handle('HEAD', path)
    await patch(path, 0, Buffer.from('hello'))
    expect(seen).toEqual(Array(3).fill('{"owner":"ann","tags":["a"]}'))
  })

  it('the answer of onUploadComplete is kept as it was', async () => {
    const answer = {
      headers: { 'X-Count': 5 as unknown as string, 'X-None': undefined as unknown as string },
      body: 'ok',
    }
    const { create, handle, patch } = startServer({ storage: open(), onUploadComplete: () => answer })
    const path = await create({ 'Upload-Length': '5' })
    expect((await patch(path, 0, Buffer.from('hello'))).headers['X-Count']).toBe('5')
    answer.headers['X-Count'] = 'changed'
    const { headers } = await handle('HEAD', path)
    expect(headers['X-Count']).toBe('5')
    expect(headers).not.toHaveProperty('X-None')
  })
})

function properties(of: (pair: readonly [unknown, unknown]) => unknown): PropertyDescriptorMap {
  const entries = Object.entries(KEPT).map(([key, pair]) => [key, { value: of(pair), enumerable: true }] as const)
  return Object.fromEntries(entries)
}

const cycle: Record<string, unknown> = {}
cycle.self = cycle

it.each([
  ['a BigInt', { n: 5n }, /attributes: n is a BigInt, which JSON cannot hold/],
  ['a Map', { deep: { tags: new Map() } }, /attributes: tags is a Map/],
  ['a Set', { tags: [new Set()] }, /attributes: 0 is a Set/],
  ['NaN', { n: Number.NaN }, /attributes: n is NaN/],
  ['Infinity', { quota: Number.POSITIVE_INFINITY }, /attributes: quota is Infinity/],
  ['a cycle', cycle, /circular/],
  ['a list', ['a'], /attributes must be an object, not \[ 'a' \]/],
  ['a string', 'ann', /attributes must be an object, not 'ann'/],
  ['what JSON makes a string of', new Date(0), /attributes must be an object/],
])('%s is an error that names it, and nothing is created', async (_name, attributes, message) => {
  const { handle, logger, storage } = startServer({
    onUploadCreate: () => ({ id: 'one', attributes: attributes as Record<string, unknown> }),
  })
  expect((await handle('POST', '/files', { 'Upload-Length': '5' })).status).toBe(500)
  expect(logger.errors).toHaveLength(1)
  expect((logger.errors[0] as Error).message).toMatch(message)
  expect(await storage.get('one')).toBeUndefined()
})

it.each([
  [{ attribute: { owner: 'ann' } }, /onUploadCreate: unknown property attribute: did you mean attributes\?/],
  [{ fileName: 'x' }, /onUploadCreate: unknown property fileName/],
  ['name', /onUploadCreate: what it returns must be an object, not 'name'/],
  [{ metadata: { a: 5 } }, /a value of Upload-Metadata must be a string: a/],
  [{ name: 5 }, /onUploadCreate: name must be a file name, not 5/],
])('a decision that can not be meant, %j, is an error', async (decision, message) => {
  const { handle, logger } = startServer({ onUploadCreate: () => decision as object })
  expect((await handle('POST', '/files', { 'Upload-Length': '5' })).status).toBe(500)
  expect((logger.errors[0] as Error).message).toMatch(message)
})

it('a header that can not be sent is an error of onUploadComplete', async () => {
  const { create, patch, logger } = startServer({
    onUploadComplete: () => ({ headers: { 'X-List': ['a', 'b'] as unknown as string } }),
  })
  const path = await create({ 'Upload-Length': '5' })
  expect((await patch(path, 0, Buffer.from('hello'))).status).toBe(500)
  expect((logger.errors[0] as Error).message).toContain('X-List')
  expect(idOf(path)).not.toBe('')
})
