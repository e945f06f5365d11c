// Whatever comes in: an answer, never an error of the server.

import fc from 'fast-check'
import type { RequestBody, RequestHeaders } from '../../src/index.js'
import { CHUNK, Source, startServer } from './support.js'

const text = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)) })
const integer = fc.oneof(
  { weight: 8, arbitrary: fc.nat({ max: 12 }).map(String) },
  { weight: 1, arbitrary: fc.constantFrom('-1', '+5', '1e3', '9007199254740991', '9007199254740992', '', '5, 5') },
)
const metadata = fc.oneof(fc.constantFrom('a YQ==', '', ',', 'a,a', 'a  b', '__proto__', 'constructor YQ=='), text)
const often = <T>(usual: T, other: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other })
const headers = fc.record({
  'Tus-Resumable': often('1.0.0', text),
  'Content-Type': often(CHUNK['Content-Type'], text),
  'Content-Length': often<string | undefined>(undefined, integer),
  'Upload-Offset': integer,
  'Upload-Length': fc.oneof(integer, fc.constant(undefined)),
  'Upload-Defer-Length': often<string | undefined>(undefined, fc.constantFrom('1', '0', '')),
  'Upload-Metadata': often<string | undefined>(undefined, metadata),
  'X-HTTP-Method-Override': often<string | undefined>(undefined, fc.constantFrom('PATCH', 'HEAD', 'POST', 'GET', '')),
})
const target = fc.oneof(
  { weight: 3, arbitrary: fc.constant(['POST', '/files'] as const) },
  { weight: 8, arbitrary: fc.constantFrom(['PATCH', '{upload}'] as const, ['PATCH', '{upload}/'] as const) },
  { weight: 2, arbitrary: fc.constant(['HEAD', '{upload}?a'] as const) },
  { weight: 1, arbitrary: fc.constantFrom(['DELETE', '{upload}'] as const, ['OPTIONS', '/files'] as const) },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.oneof(fc.constantFrom('POST', 'PATCH', 'HEAD', 'DELETE', 'GET'), text),
      fc.oneof(
        fc.constantFrom('/files/..', '/files/%2e', '/files/a/b', '', '/'),
        text,
        text.map((id) => `/files/${id}`),
      ),
    ),
  },
)
const body = fc.oneof(
  fc.constant(undefined),
  fc.string({ maxLength: 12 }).map((content) => ({ content, form: 'bytes' as const })),
  fc.string({ maxLength: 12 }).map((content) => ({ content, form: 'chunks' as const })),
  fc.string({ maxLength: 12 }).map((content) => ({ content, form: 'cut' as const })),
)

function bodyOf(input: { content: string; form: 'bytes' | 'chunks' | 'cut' } | undefined): RequestBody | undefined {
  if (input === undefined) return undefined
  if (input.form === 'bytes') return Buffer.from(input.content)
  const source = new Source().push(...input.content)
  return input.form === 'cut' ? source.fail() : source.end()
}

test('3000 generated requests get 3000 answers, none of which is an error of the server', async () => {
  const { handle, storage, logger } = startServer({ maxSize: 10 })
  const statuses = new Map<number, number>()
  let upload = '/files/unknown'
  await fc.assert(
    fc.asyncProperty(target, headers, body, async ([method, path], fields, content) => {
      const before = await storage.get(upload.slice(7))
      const answer = await handle(method, path.replace('{upload}', upload), fields as RequestHeaders, bodyOf(content))
      statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
      expect(answer.status).toBeGreaterThanOrEqual(200)
      expect(answer.status).toBeLessThan(500)
      expect(answer.headers['Tus-Resumable']).toBe('1.0.0')
      // What was promised stays; nothing goes over its length or the maximum.
      const after = await storage.get(upload.slice(7))
      if (before !== undefined && after !== undefined) expect(after.offset).toBeGreaterThanOrEqual(before.offset)
      if (after !== undefined) expect(after.offset).toBeLessThanOrEqual(Math.min(after.length ?? 10, 10))
      if (after !== undefined) expect(after.complete).toBe(after.complete && after.offset === after.length)
      if (answer.status === 201) upload = String(answer.headers.Location)
    }),
    { numRuns: 3000 },
  )
  expect(logger).toMatchObject({ errors: [], warnings: [] })
  // Enough of them got somewhere.
  for (const status of [201, 204, 400, 404, 405, 409, 412, 413]) expect(statuses.get(status)).toBeGreaterThan(3)
})
