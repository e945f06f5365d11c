// Concatenation against a plain model: whatever is created, completed and deleted in whatever order, the server answers
// as the model does, and the bytes are those of the model.
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { MemoryStorage, SQLiteStorage, type Storage, TusServer } from '../../src/index.js'
import { runs } from '../support/runs.js'

const VERSION = { 'Tus-Resumable': '1.0.0' }
const CHUNK = { ...VERSION, 'Content-Type': 'application/offset+octet-stream' }

jest.setTimeout(120_000)

/** What may happen; `at` and `parts` choose among what there is by then. */
type Step =
  | { readonly kind: 'partial'; readonly content: string; readonly deferred: boolean }
  | { readonly kind: 'plain' }
  | { readonly kind: 'patch'; readonly at: number }
  /** A chunk that changes nothing: at another offset, or not matching its checksum. */
  | { readonly kind: 'refused'; readonly at: number; readonly why: 'offset' | 'checksum' }
  /** A chunk whose connection breaks after some bytes. */
  | { readonly kind: 'abort'; readonly at: number; readonly after: number; readonly checksum: boolean }
  | { readonly kind: 'final'; readonly parts: readonly number[] }
  | { readonly kind: 'delete'; readonly at: number }
  | { readonly kind: 'head'; readonly at: number }
  | { readonly kind: 'cleanUp' }

const at = fc.nat(1000)
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('partial' as const),
    content: fc.string({ maxLength: 9, unit: 'grapheme-ascii' }),
    deferred: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('plain' as const) }),
  fc.record({ kind: fc.constant('patch' as const), at }),
  fc.record({ kind: fc.constant('patch' as const), at }),
  fc.record({
    kind: fc.constant('refused' as const),
    at,
    why: fc.constantFrom('offset' as const, 'checksum' as const),
  }),
  fc.record({ kind: fc.constant('abort' as const), at, after: fc.nat(12), checksum: fc.boolean() }),
  fc.record({ kind: fc.constant('final' as const), parts: fc.array(at, { minLength: 1, maxLength: 4 }) }),
  fc.record({ kind: fc.constant('final' as const), parts: fc.array(at, { minLength: 1, maxLength: 4 }) }),
  fc.record({ kind: fc.constant('delete' as const), at }),
  fc.record({ kind: fc.constant('head' as const), at }),
  fc.record({ kind: fc.constant('cleanUp' as const) }),
)

interface ModelUpload {
  readonly path: string
  readonly role: 'partial' | 'final' | 'plain'
  /** All of its bytes, there or not; of a final upload those of its parts. */
  readonly content: () => string
  readonly deferred: boolean
  readonly header: string | undefined
  readonly parts: readonly ModelUpload[]
  /** How many of its bytes are there, if it is not complete. */
  offset: number
  complete: boolean
  gone: boolean
}

/** A body that breaks off. */
async function* broken(content: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(content)
  throw new Error('the connection broke')
}

function sha1(content: string): string {
  return `sha1 ${createHash('sha1').update(content).digest('base64')}`
}

/** Runs the steps on a server and on the model. */
async function run(storage: Storage, steps: readonly Step[]): Promise<void> {
  const tus = new TusServer({ storage, concatenation: { keepPartials: true } })
  const all: ModelUpload[] = []
  const needed = (upload: ModelUpload): boolean =>
    all.some(({ role, gone, complete, parts }) => role === 'final' && !gone && !complete && parts.includes(upload))
  const assemble = (): void => {
    for (const final of all) {
      if (final.role === 'final' && !final.gone && final.parts.every(({ complete }) => complete)) final.complete = true
    }
  }
  const create = async (
    headers: Record<string, string>,
    upload: Omit<ModelUpload, 'path' | 'gone' | 'offset'>,
  ): Promise<void> => {
    const answer = await tus.handleRequest('POST', '/files', { ...VERSION, ...headers })
    expect(answer.status).toBe(201)
    all.push({ ...upload, path: String(answer.headers.Location), offset: 0, gone: false })
  }
  const pick = (index: number): ModelUpload | undefined => all[index % Math.max(all.length, 1)]

  const take = async (wanted: Step): Promise<void> => {
    if (wanted.kind === 'cleanUp') return void (await tus.cleanUp())
    if (wanted.kind === 'plain') {
      const plain = { role: 'plain', content: () => 'plain', deferred: false, header: undefined, parts: [] } as const
      return create({ 'Upload-Length': '5' }, { ...plain, complete: false })
    }
    if (wanted.kind === 'partial') {
      const { content, deferred } = wanted
      const length: Record<string, string> = deferred
        ? { 'Upload-Defer-Length': '1' }
        : { 'Upload-Length': `${content.length}` }
      const partial = { role: 'partial', content: () => content, deferred, header: 'partial', parts: [] } as const
      return create({ ...length, 'Upload-Concat': 'partial' }, { ...partial, complete: !deferred && content === '' })
    }
    if (wanted.kind === 'final') {
      const parts = wanted.parts.flatMap((index) => pick(index) ?? [])
      if (parts.length === 0) return undefined
      const header = `final;${parts.map(({ path }) => path).join(' ')}`
      if (parts.some(({ role, gone }) => role !== 'partial' || gone)) {
        const answer = await tus.handleRequest('POST', '/files', { ...VERSION, 'Upload-Concat': header })
        expect(answer.status).toBe(400)
        return undefined
      }
      const content = (): string => parts.map((part) => part.content()).join('')
      await create(
        { 'Upload-Concat': header },
        { role: 'final', content, deferred: false, header, parts, complete: false },
      )
      return assemble()
    }
    const upload = pick(wanted.at)
    if (upload === undefined) return undefined
    if (wanted.kind === 'patch') {
      const { content, deferred, offset } = upload
      const rest = content().slice(offset)
      const headers = {
        ...CHUNK,
        'Upload-Offset': String(offset),
        ...(deferred && { 'Upload-Length': `${content().length}` }),
      }
      const { status } = await tus.handleRequest('PATCH', upload.path, headers, Buffer.from(rest))
      const empty = upload.complete && rest === ''
      expect(status).toBe(upload.gone ? 404 : upload.role === 'final' ? 403 : upload.complete && !empty ? 409 : 204)
      if (status === 204) upload.complete = true
      return assemble()
    }
    if (wanted.kind === 'refused') {
      const { content, offset, gone, role } = upload
      const odd = wanted.why === 'offset' ? { 'Upload-Offset': String(content().length + 1) } : {}
      const headers = { ...CHUNK, 'Upload-Offset': String(offset), 'Upload-Checksum': sha1('something else'), ...odd }
      const { status } = await tus.handleRequest('PATCH', upload.path, headers, Buffer.from(content().slice(offset)))
      const known = gone ? 404 : role === 'final' ? 403 : undefined
      const late = wanted.why === 'offset' || (upload.complete && offset !== content().length)
      expect(status).toBe(known ?? (late ? 409 : 460))
      return undefined
    }
    if (wanted.kind === 'abort') {
      const { content, deferred, offset, gone, role, complete } = upload
      const sent = content().slice(offset, offset + wanted.after)
      const headers = {
        ...CHUNK,
        'Upload-Offset': String(offset),
        ...(wanted.checksum && { 'Upload-Checksum': sha1(sent) }),
      }
      const { status } = await tus.handleRequest('PATCH', upload.path, headers, broken(sent))
      const known = gone ? 404 : role === 'final' ? 403 : complete && offset !== content().length ? 409 : 400
      expect(status).toBe(known)
      if (known !== 400 || complete || wanted.checksum) return undefined
      // Nothing is complete without the end of the body that brought its last byte.
      const whole = !deferred && offset + sent.length === content().length
      upload.offset = whole ? Math.max(content().length - 1, offset) : offset + sent.length
      return undefined
    }
    if (wanted.kind === 'delete') {
      const remove = async (): Promise<number> => (await tus.handleRequest('DELETE', upload.path, VERSION)).status
      let status = await remove()
      // One file is being made of it in the background: who comes again after that finds it free.
      if (status === 423 && upload.role === 'final' && upload.complete) {
        await tus.cleanUp()
        status = await remove()
      }
      expect(status).toBe(upload.gone ? 404 : needed(upload) ? 409 : 204)
      if (status === 204) upload.gone = true
      return undefined
    }
    return assertSame(upload)
  }

  const assertSame = async (upload: ModelUpload): Promise<void> => {
    const { status, headers } = await tus.handleRequest('HEAD', upload.path, VERSION)
    expect(status).toBe(upload.gone ? 404 : 200)
    if (upload.gone) return
    const { role, complete, header, content } = upload
    expect(headers['Upload-Concat']).toBe(header)
    expect(headers['Upload-Offset']).toBe(
      complete ? String(content().length) : role === 'final' ? undefined : String(upload.offset),
    )
    if (!complete) return
    const read: Uint8Array[] = []
    const id = upload.path.slice('/files/'.length)
    for await (const chunk of storage.read?.(id, 0, content().length) ?? []) read.push(Uint8Array.from(chunk))
    expect(Buffer.concat(read).toString()).toBe(content())
  }

  try {
    for (const wanted of steps) await take(wanted)
    await tus.cleanUp()
    for (const upload of all) await assertSame(upload)
  } finally {
    await tus.close({ timeoutMs: 0 })
  }
}

const steps = fc.array(step, { minLength: 5, maxLength: 40 })

test('MemoryStorage', () =>
  fc.assert(
    fc.asyncProperty(steps, (all) => run(new MemoryStorage(), all)),
    runs(60),
  ))

test('SQLiteStorage', () =>
  fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const directory = mkdtempSync(join(tmpdir(), 'resumable-upload-model-'))
      try {
        await run(new SQLiteStorage({ directory }), all)
      } finally {
        rmSync(directory, { recursive: true })
      }
    }),
    runs(15),
  ))
