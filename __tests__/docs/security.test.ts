// docs/security.md: its application as it stands keeps out what the page says, and its links and options are real.
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { RequestHandler } from 'express'
import { SQLiteStorage, TusServer } from '../../src/index.js'
import { codeUnder, substitute } from '../support/docs.js'
import { scratchFolder } from '../support/example.js'
import { runSnippet } from '../support/snippet.js'
import { createSite } from './site.js'

const PAGE = 'security.md'
const docs = resolve(__dirname, '../../docs')
const CHUNK = { 'Tus-Resumable': '1.0.0', 'Content-Type': 'application/offset+octet-stream' }

const identify: RequestHandler = (req, _res, next) => {
  const id = req.get('X-User')
  Object.assign(req, { user: id === undefined ? {} : { id } })
  next()
}

/** The application of the page. The disk of a test need not have so much free. */
async function start(hasVirus: () => Promise<boolean> = async () => false) {
  const site = createSite()
  const code = substitute(codeUnder(PAGE, 'Before production', 'ts'), { 'minFreeBytes: 20 * GIB': 'minFreeBytes: 1' })
  const { tus } = await runSnippet<{ tus: TusServer }>(code, ['tus'], { ...site, identify, hasVirus })
  const origin = await site.listen(tus)
  const ask = (method: string, path: string, user: string | undefined, headers: Record<string, string> = {}) =>
    fetch(new URL(path, origin), {
      method,
      headers: { 'Tus-Resumable': '1.0.0', ...(user !== undefined && { 'X-User': user }), ...headers },
      ...('Content-Type' in headers && { body: 'hello' }),
    })
  return { ...site, ask }
}

it('serves the owner of an upload, and nobody else', async () => {
  const { ask } = await start()
  const creation = await ask('POST', '/files', 'ann', { 'Upload-Length': '5' })
  const path = creation.headers.get('Location') ?? ''
  expect(creation.headers.has('Upload-Expires')).toBe(true)
  const chunk = { ...CHUNK, 'Upload-Offset': '0' }
  for (const [method, headers] of [['HEAD'], ['PATCH', chunk], ['DELETE']] as const) {
    const answers = [await ask(method, path, undefined, headers), await ask(method, path, 'bob', headers)]
    expect(answers.map(({ status }) => status)).toEqual([401, 403])
  }
  expect((await ask('POST', '/files', undefined, { 'Upload-Length': '5' })).status).toBe(401)
  expect((await ask('PATCH', path, 'ann', chunk)).status).toBe(204)
})

it('refuses what is too large, and what has a virus', async () => {
  const { ask } = await start(async () => true)
  expect((await ask('POST', '/files', 'ann', { 'Upload-Length': String(5 * 1024 ** 3 + 1) })).status).toBe(413)
  const answer = await ask('POST', '/files', 'ann', { ...CHUNK, 'Upload-Length': '5' })
  expect([answer.status, await answer.text()]).toEqual([422, 'This file has a virus\n'])
})

it('keeps a file until a scanner that failed has been asked', async () => {
  const { ask, storage } = await start(() => Promise.reject(new Error('the scanner is away')))
  const { status, headers } = await ask('POST', '/files', 'ann', { ...CHUNK, 'Upload-Length': '5' })
  expect(status).toBe(500)
  const upload = await storage.get(headers.get('Location')?.split('/').at(-1) ?? '')
  expect(upload).toMatchObject({ complete: true, completion: { settled: false } })
})

it('limits the creations of each user', async () => {
  const { ask } = await start()
  const statuses: number[] = []
  for (let count = 0; count < 101; count++) {
    statuses.push((await ask('POST', '/files', 'ann', { 'Upload-Length': '5' })).status)
  }
  expect([statuses.indexOf(429), statuses.length]).toEqual([100, 101])
  expect((await ask('POST', '/files', 'bob', { 'Upload-Length': '5' })).status).toBe(201)
})

function messageOf(action: () => unknown): string {
  try {
    action()
    return ''
  } catch (error) {
    return String(error)
  }
}

describe('the page', () => {
  const text = readFileSync(resolve(docs, PAGE), 'utf8')

  it('names options that there are', () => {
    const rows = /## What the defaults leave to you\n([\s\S]*?)\n## /.exec(text)?.[1] ?? ''
    const named = rows
      .split('\n')
      .flatMap((row) => [...(row.split('|')[3] ?? '').matchAll(/`([a-zA-Z]+)(?:: false)?`/g)])
    const options = named.map(([, name = '']) => name).filter((name) => name !== 'SQLiteStorage')
    expect(options.length).toBeGreaterThan(5)
    const { storage } = createSite()
    const directory = scratchFolder()
    for (const name of options) {
      // An unknown option is named in the error; a known one has another value than a symbol.
      const given = { [name]: Symbol(name) }
      const isKnown = [
        () => new TusServer({ storage, ...given } as never),
        () => new SQLiteStorage({ directory, ...given } as never),
      ].some((make) => !/unknown option/.test(messageOf(make)))
      expect([name, isKnown]).toEqual([name, true])
    }
  })

  it.each([
    'docs/security.md',
    'docs/downloads.md',
    'docs/authentication.md',
    'docs/cdn.md',
    'docs/clients.md',
    'SECURITY.md',
  ])('and the links of %s lead somewhere', (page) => {
    const path = resolve(docs, '..', page)
    for (const [, target = ''] of readFileSync(path, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue
      const [file = '', anchor] = target.split('#')
      const other = resolve(path, '..', file)
      expect([target, existsSync(file === '' ? path : other)]).toEqual([target, true])
      if (anchor === undefined) continue
      const headings = [...readFileSync(file === '' ? path : other, 'utf8').matchAll(/^#+ (.*)$/gm)].map(
        ([, title = '']) =>
          title
            .toLowerCase()
            .replace(/[^\w\- ]/g, '')
            .replaceAll(' ', '-'),
      )
      expect([target, headings.includes(anchor)]).toEqual([target, true])
    }
  })
})
