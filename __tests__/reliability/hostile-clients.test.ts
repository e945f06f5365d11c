// Clients that lie, and requests that are none: a clear 4xx or a closed connection, never a crash, never a hang, and
// whoever comes after them is served. Refusals of bodies that are still coming are in adapters/early-refusals.test.ts and
// adapters/prepare-server.test.ts for each of the frameworks; here they meet a real process with its files.
import { type Answer, CHUNK, create, offsetOf, patch, RawConnection, send, TUS } from '../adapters/client.js'
import { pattern } from '../core/support.js'
import { type HostileSite, startHostileSite } from './hostile-site.js'

const MIB = 1024 * 1024
const HEADERS = { ...TUS, 'Upload-Length': 5 }

let site: HostileSite

beforeAll(async () => {
  site = await startHostileSite()
})

afterAll(() => site.end())

afterEach(async () => {
  // Whatever it was, the server is there, has reported nothing, and serves the next one.
  const path = await create(site.port, 5)
  expect((await patch(site.port, path, 0, 'hello')).status).toBe(200)
  expect(site.alive()).toBe(true)
  expect(site.stderr()).toBe('')
})

/**
 * Sends bytes, waits for the answers to some requests, says that nothing more will come, and takes what else there is
 * until the connection is closed.
 * @param methods - of those requests; none where the server waits for more
 */
async function tell(bytes: string, methods: readonly string[] = ['POST']): Promise<Answer[]> {
  const connection = await RawConnection.open(site.port)
  connection.socket.write(bytes, 'latin1')
  if (methods.length === 0) connection.socket.end()
  const answers: Answer[] = []
  try {
    for (;;) {
      answers.push(await connection.answer(methods[answers.length]))
      if (answers.length === methods.length) connection.socket.end()
    }
  } catch {
    await connection.closed
  }
  return answers
}

const statusesOf = (answers: readonly Answer[]): number[] => answers.map(({ status }) => status)

/** The head of a request. */
function head(method: string, path: string, headers: object, more = ''): string {
  const lines = Object.entries({ Host: 'localhost', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}${more}\r\n`
}

const patchOf = (path: string, headers: object, more = ''): string =>
  head('PATCH', path, { ...CHUNK, 'Upload-Offset': 0, ...headers }, more)

describe('headers', () => {
  test.each([
    ['17 KiB in one', `X-Large: ${'a'.repeat(17 * 1024)}\r\n`, [431]],
    ['17 KiB in many', 'X-Small: a\r\n'.repeat(2500), [431]],
    ['a name with a space', 'Upload Offset: 0\r\n', [400]],
    ['a space before the colon', 'Upload-Offset : 0\r\n', [400]],
    ['no colon', 'nothing\r\n', [400]],
    ['no name', ': 0\r\n', [400]],
    ['a NUL', 'X-Nul: a\0b\r\n', [400]],
    ['a line that goes on, as it once could', 'X-Folded: a\r\n b\r\n', [400]],
    ['a bare CR', 'X-Return: a\rb\r\n', [400]],
    ['__proto__', '__proto__: a\r\nconstructor: b\r\n', [201]],
  ])('%s', async (_what, lines, statuses) => {
    expect(statusesOf(await tell(head('POST', '/files', HEADERS, `Content-Length: 0\r\n${lines}`)))).toEqual(statuses)
  })

  test('1,400 small ones', async () => {
    const lines = `Content-Length: 0\r\n${'a:b\r\n'.repeat(1400)}`
    const statuses = statusesOf(await tell(head('POST', '/files', HEADERS, lines)))
    // Node either drops those past its `maxHeadersCount` or, lately, refuses all.
    expect([[201], [431]]).toContainEqual(statuses)
  })

  test('a megabyte in one', async () => {
    const lines = `Content-Length: 0\r\nX-Large: ${'a'.repeat(MIB)}\r\n`
    const statuses = statusesOf(await tell(head('POST', '/files', HEADERS, lines)))
    // Node closes the connection while the rest is on its way, and that may cost the client the answer.
    expect([[431], []]).toContainEqual(statuses)
  })

  test.each([
    ['that is no HTTP', 'hello\r\n\r\n'],
    ['of another protocol', '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'],
    ['of another version', `POST /files HTTP/3.7\r\n${head('', '', HEADERS).split('\r\n').slice(1).join('\r\n')}`],
    ['for a proxy', 'CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['without a host', 'POST /files HTTP/1.1\r\nTus-Resumable: 1.0.0\r\n\r\n'],
    ['with a path of 20 KiB', head('HEAD', `/files/${'a'.repeat(20_000)}`, TUS)],
    ['without an end', 'POST /files HTTP/1.1\r\nHost: local'],
  ])('a request %s', async (_what, bytes) => {
    const answers = await tell(bytes, bytes.endsWith('local') ? [] : undefined)
    for (const { status } of answers) expect(status >= 400 && status < 500).toBe(true)
  })

  test.each([
    ['Upload-Offset', 'PATCH'],
    ['Tus-Resumable', 'PATCH'],
    ['Upload-Length', 'POST'],
    ['Upload-Defer-Length', 'POST'],
  ])('%s twice is refused', async (name, method) => {
    const path = await create(site.port, 5)
    const value = name === 'Tus-Resumable' ? '1.0.0' : '0'
    const request = method === 'POST' ? head('POST', '/files', TUS, `${name}: 5\r\n${name}: 5\r\n`) : undefined
    const [answer] = await tell(request ?? `${patchOf(path, { 'Content-Length': 5 }, `${name}: ${value}\r\n`)}hello`)
    expect([400, 412]).toContain(answer?.status)
    expect(await offsetOf(site.port, path)).toBe(0)
  })
})

describe('metadata bombs', () => {
  const pairs = (count: number): string => Array.from({ length: count }, (_, index) => `k${index}`).join()

  test.each([
    ['8 KiB of one value', `filename ${'QUFB'.repeat(2045)}`, 201],
    ['9 KiB of one value', `filename ${'QUFB'.repeat(2300)}`, 413],
    ['1,500 pairs', pairs(1500), 201],
    ['2,000 pairs', pairs(2000), 413],
    ['a pair twice', 'a YQ==,a YQ==', 400],
    ['4,000 commas', ','.repeat(4000), 400],
    ['Base64 that is none', 'filename a!b', 400],
    ['Base64 of one character', 'filename Y', 400],
    ['Base64 with too much padding', 'filename YQ===', 400],
    ['8,000 spaces', `a${' '.repeat(8000)}b`, 400],
    ['keys of every object', '__proto__ YQ==,constructor YQ==,toString YQ==,hasOwnProperty YQ==', 201],
    ['a path as a name', `filename ${Buffer.from('../../../../etc/passwd').toString('base64')}`, 201],
    ['bytes that are no UTF-8', `filename ${Buffer.from([0xff, 0xfe, 0, 0x80]).toString('base64')}`, 201],
  ])('%s', async (_what, metadata, status) => {
    const [answer] = await tell(
      head('POST', '/files', { ...HEADERS, 'Content-Length': 0, 'Upload-Metadata': metadata }),
    )
    expect(answer?.status).toBe(status)
    const path = answer?.headers.location
    if (path === undefined) return
    const [seen] = await tell(head('HEAD', path, TUS), ['HEAD'])
    expect(seen?.headers['upload-metadata']).toBe(metadata)
  })
})

describe('pipelining: several requests in one packet', () => {
  test('are answered in their order', async () => {
    const created = head('POST', '/files', { ...HEADERS, 'Content-Length': 0 })
    const options = head('OPTIONS', '/files', {})
    const unknown = head('HEAD', '/files/unknown', TUS)
    const answers = await tell(created + options + unknown + created, ['POST', 'OPTIONS', 'HEAD', 'POST'])
    expect(statusesOf(answers)).toEqual([201, 204, 404, 201])
  })

  test.each([
    ['small', 5],
    ['streamed', 300_000],
  ])('a PATCH, %s, and the HEAD after it: 20 times', async (_size, size) => {
    const bytes = pattern(size).toString('latin1')
    for (let time = 0; time < 20; time++) {
      const path = await create(site.port, 2 * size)
      const both = `${patchOf(path, { 'Content-Length': size })}${bytes}${head('HEAD', path, TUS)}`
      const answers = await tell(both, ['PATCH', 'HEAD'])
      expect(statusesOf(answers)).toEqual([204, 200])
      expect(answers.map(({ headers }) => headers['upload-offset'])).toEqual([String(size), String(size)])
    }
  })

  test('a PATCH, a HEAD and a DELETE', async () => {
    const path = await create(site.port, 11)
    const all = `${patchOf(path, { 'Content-Length': 5 })}hello${head('HEAD', path, TUS)}${head('DELETE', path, TUS)}`
    expect(statusesOf(await tell(all, ['PATCH', 'HEAD', 'DELETE']))).toEqual([204, 200, 204])
  })

  test('a PATCH without bytes that completes an upload, and others that would, too', async () => {
    const { headers } = await send(site.port, {
      method: 'POST',
      path: '/files',
      headers: { ...TUS, 'Upload-Defer-Length': '1' },
    })
    const path = String(headers.location)
    expect((await patch(site.port, path, 0, 'hello')).status).toBe(204)
    const last = patchOf(path, { 'Upload-Offset': 5, 'Upload-Length': 5, 'Content-Length': 0 })
    const [first, ...others] = statusesOf(await tell(last.repeat(3), Array(3).fill('PATCH')))
    expect(first).toBe(200)
    // 423: the finish hook is at work.
    expect(others.map((status) => status === 200 || status === 423)).toEqual([true, true])
  })

  test('two PATCHes of which one can win', async () => {
    const path = await create(site.port, 11)
    const one = `${patchOf(path, { 'Content-Length': 5 })}hello`
    expect(statusesOf(await tell(one + one, ['PATCH', 'PATCH']))).toEqual([204, 409])
    expect(await offsetOf(site.port, path)).toBe(5)
  })

  test('64 behind another one', async () => {
    const path = await create(site.port, 5)
    const answers = await tell(head('HEAD', path, TUS).repeat(65), Array(65).fill('HEAD'))
    expect(statusesOf(answers)).toEqual(Array(65).fill(200))
  })
})

describe('Expect: 100-continue', () => {
  test('a body that is too large is refused by 413 before any of it is sent', async () => {
    const path = await create(site.port, 5)
    const connection = await RawConnection.open(site.port)
    await connection.write(patchOf(path, { 'Content-Length': 2 ** 40, Expect: '100-continue' }))
    expect((await connection.answer()).status).toBe(413)
    await connection.closed
  })

  test.each(['100-Continue', '200-maybe', '100-continue, 100-continue'])(
    '%s is answered, or the body is taken',
    async (expect_) => {
      const path = await create(site.port, 5)
      const connection = await RawConnection.open(site.port)
      await connection.write(`${patchOf(path, { 'Content-Length': 5, Expect: expect_ })}hello`)
      const first = await connection.answer()
      expect([200, 417]).toContain((first.status === 100 ? await connection.answer() : first).status)
      connection.destroy()
    },
  )
})

describe('a Content-Length that lies', () => {
  test('more than there is: what arrived is kept, and the client can go on', async () => {
    const path = await create(site.port, 11)
    for (const answer of await tell(`${patchOf(path, { 'Content-Length': 11 })}hello `, []))
      expect(answer.status).toBe(400)
    expect(await offsetOf(site.port, path)).toBe(6)
    expect((await patch(site.port, path, 6, 'world')).status).toBe(200)
  })

  test('less than there is: no byte of the rest is stored, and it is no request', async () => {
    const path = await create(site.port, 11)
    const answers = await tell(`${patchOf(path, { 'Content-Length': 5 })}hello world`, ['PATCH', '-'])
    // Node answers what is no request at once, be there other answers to come.
    expect([[204, 400], [400]]).toContainEqual(statusesOf(answers))
    expect(await offsetOf(site.port, path)).toBe(5)
  })

  test('more than the upload has: 413, and none of it is stored', async () => {
    const path = await create(site.port, 5)
    const [answer] = await tell(`${patchOf(path, { 'Content-Length': 11 })}hello world`)
    expect(answer?.status).toBe(413)
    expect(await offsetOf(site.port, path)).toBe(0)
  })

  test.each(['-5', '+5', '0x5', '5.0', '5, 5', '5 5', '', '18446744073709551621', '9'.repeat(100)])(
    '%p is refused',
    async (length) => {
      const path = await create(site.port, 5)
      for (const { status } of await tell(`${patchOf(path, { 'Content-Length': length })}hello`)) {
        expect([400, 413]).toContain(status)
      }
      expect(await offsetOf(site.port, path)).toBe(0)
    },
  )

  test.each([
    ['no end', '5\r\nhello\r\n', 5],
    ['less than they say', 'ff\r\nhello', 5],
    ['more than they say', '2\r\nhello\r\n0\r\n\r\n', 2],
    ['no size', 'zz\r\nhello\r\n0\r\n\r\n', 0],
    ['a size beyond counting', 'ffffffffffffffffff\r\nhello\r\n', 0],
    ['a negative size', '-5\r\nhello\r\n0\r\n\r\n', 0],
  ])('chunks with %s: what arrived is kept, and nothing else', async (_how, chunks, kept) => {
    const path = await create(site.port, 11)
    const answers = await tell(patchOf(path, { 'Transfer-Encoding': 'chunked' }) + chunks, [])
    for (const { status } of answers) expect(status).toBe(400)
    expect(await offsetOf(site.port, path)).toBe(kept)
  })
})

describe('smuggling: a request in the body of another is never carried out', () => {
  const CRLF = '\r\n'

  /** Headers that two parties may read in two ways. `{length}` is that of all that follows. */
  const AMBIGUOUS = [
    'Content-Length: {length}\r\nTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\r\nContent-Length: {length}',
    'Content-Length: {length}\r\nTransfer-Encoding: xchunked',
    'Content-Length: {length}\r\nTransfer-Encoding:\tchunked',
    'Content-Length: {length}\r\nTransfer-Encoding : chunked',
    'Content-Length: {length}\r\nTransfer-Encoding: identity',
    'Content-Length: {length}\r\nTransfer-Encoding: chunked, identity',
    'Content-Length: {length}\r\nTransfer-Encoding: gzip, chunked',
    'Content-Length: {length}\r\nTransfer-Encoding: CHUNKED',
    'Content-Length: {length}\r\nTransfer-Encoding:\x0bchunked',
    'Content-Length: {length}\r\nX: x\nTransfer-Encoding: chunked',
    'Content-Length: {length}\r\nX: x\rTransfer-Encoding: chunked',
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: {length}',
    'Content-Length: 0\r\nContent-Length: {length}',
    'Content-Length: {length}\r\nContent-Length: 0',
    'Content-Length: {length}\r\nContent-Length: {length}',
    'Content-Length: {length}, 0',
    'Content-Length: {length}\r\n 0',
  ]

  const inner = (path: string): string => head('DELETE', path, TUS)
  /** The inner request after what ends a chunked body, in a chunk, and as it is. */
  const BODIES: ReadonlyArray<readonly [string, (path: string) => string]> = [
    ['after the last chunk', (path) => `0${CRLF}${CRLF}${inner(path)}`],
    ['in a chunk', (path) => `${inner(path).length.toString(16)}${CRLF}${inner(path)}${CRLF}0${CRLF}${CRLF}`],
    ['as the body', inner],
  ]

  test.each(AMBIGUOUS.flatMap((framing) => BODIES.map(([where, body]) => [framing, where, body] as const)))(
    '%j, %s',
    async (framing, _where, body) => {
      const victim = await create(site.port, 5)
      const path = await create(site.port, 10_000)
      const before = (await site.look()).statuses.DELETE
      const content = body(victim)
      const request = patchOf(path, {}, `${framing.replaceAll('{length}', String(content.length))}${CRLF}`) + content
      const statuses = statusesOf(await tell(request))
      // The bytes may be taken for what they are, once; anything else is a 4xx.
      expect(statuses.filter((status) => status < 400).length).toBeLessThanOrEqual(1)
      for (const status of statuses) expect(status === 204 || (status >= 400 && status < 500)).toBe(true)
      expect((await site.look()).statuses.DELETE).toEqual(before)
      expect(await offsetOf(site.port, victim)).toBe(0)
    },
  )
})

test('an early refusal of a huge body is seen, and the connection ends', async () => {
  const path = await create(site.port, 5)
  const refused = await send(site.port, {
    method: 'PATCH',
    path,
    headers: { ...CHUNK, 'Upload-Offset': '0', 'Content-Length': String(2 ** 40) },
    body: Buffer.alloc(8 * MIB),
    open: true,
  })
  expect(refused).toMatchObject({ status: 413, headers: { connection: 'close' } })
})
