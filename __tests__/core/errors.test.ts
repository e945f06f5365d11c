// The table of errors, and the one way from an error to an answer.

import { toTusError } from '../../src/errors.js'
import {
  ERRORS,
  isTusError,
  MemoryStorage,
  TusError,
  type TusErrorCode,
  type TusErrorOptions,
  type TusServerOptions,
} from '../../src/index.js'
import { errorWithCode, overriding, Source, startServer } from './support.js'

const CODES = Object.keys(ERRORS) as TusErrorCode[]

describe.each(CODES)('%s', (code) => {
  test('has a status and a sentence of its own', () => {
    const { status, message } = ERRORS[code]
    expect(Number.isInteger(status) && status >= 400 && status < 600).toBe(true)
    expect(message).toMatch(/^[A-Z][^\n]+[^.\n]$/)
    expect(CODES.filter((other) => ERRORS[other].message === message)).toEqual([code])
  })

  test('makes an error that has both, and what is given besides', () => {
    const cause = new Error('inside')
    const error = new TusError(code, { headers: { 'Retry-After': '1' }, cause })
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ name: 'TusError', code, ...ERRORS[code], headers: { 'Retry-After': '1' }, cause })
    expect(new TusError(code).headers).toEqual({})
    expect('cause' in new TusError(code)).toBe(false)
    expect(new TusError(code, { message: 'Another sentence' }).message).toBe('Another sentence')
  })

  test('is not meant by an error of a library that happens to have this code', () => {
    const foreign = errorWithCode(code, 'whatever it says')
    expect(isTusError(foreign)).toBe(false)
    expect(toTusError(foreign)).toMatchObject({ code: 'ERR_INTERNAL', status: 500, cause: foreign })
  })
})

test.each([
  ['ENOSPC', errorWithCode('ENOSPC')],
  ['EDQUOT', errorWithCode('EDQUOT')],
  ['EFBIG', errorWithCode('EFBIG')],
  ['SQLITE_FULL of better-sqlite3', errorWithCode('SQLITE_FULL')],
  ['SQLITE_FULL of node:sqlite', Object.assign(errorWithCode('ERR_SQLITE_ERROR'), { errcode: 13 })],
] as const)('a full disk (%s) is 507', (_name, error) => {
  expect(toTusError(error)).toMatchObject({ code: 'ERR_DISK_FULL', status: 507, cause: error })
})

test.each([
  ['a code that is none', 'ERR_NOTFOUND', {}, /unknown code 'ERR_NOTFOUND': did you mean ERR_NOT_FOUND\?/],
  ['no code', undefined, {}, /unknown code undefined/],
  ['an option that is none', 'ERR_GONE', { statusCode: 410 }, /unknown option statusCode: did you mean status\?/],
  ['a status of success', 'ERR_GONE', { status: 200 }, /status must be a status from 300 to 599, not 200/],
  ['a status that is none', 'ERR_GONE', { status: 700 }, /not 700/],
  ['a status as a string', 'ERR_GONE', { status: '404' }, /not '404'/],
  ['a message that is no string', 'ERR_GONE', { message: 5 }, /message must be a string, not 5/],
  [
    'a header that is a number',
    'ERR_GONE',
    { headers: { 'Retry-After': 5 } },
    /headers must be .*, not { 'Retry-After': 5 }/,
  ],
  ['a header with a line break', 'ERR_GONE', { headers: { 'X-A': 'a\r\nX-B: b' } }, /headers must be/],
  ['a header without a name', 'ERR_GONE', { headers: { '': 'a' } }, /headers must be/],
] as const)('a TusError with %s is a TypeError where it is made', (_name, code, options, message) => {
  expect(() => new TusError(code as TusErrorCode, options as unknown as TusErrorOptions)).toThrow(TypeError)
  expect(() => new TusError(code as TusErrorCode, options as unknown as TusErrorOptions)).toThrow(message)
})

test.each([
  ['an Error', new Error('x')],
  ['an Error with a code of its own', errorWithCode('EACCES')],
  ['a code that Object.prototype has', errorWithCode('constructor')],
  ['a string', 'x'],
  ['a number', 13],
  ['null', null],
  ['undefined', undefined],
  ['an object that is no Error', { status: 404, message: 'x' }],
] as const)('%s is 500', (_name, thrown) => {
  const error = toTusError(thrown)
  expect(error).toMatchObject({ code: 'ERR_INTERNAL', status: 500 })
  expect(error.cause).toBe(thrown)
})

const SECRET = '/srv/secret/uploads.sqlite'

function startBroken(thrown: unknown, options: Partial<TusServerOptions> = {}) {
  const fail = (): Promise<never> => Promise.reject(thrown)
  const storage = overriding(new MemoryStorage(), { get: fail, create: fail, claim: fail })
  return startServer({ storage, ...options })
}

describe('an error that nobody expected', () => {
  const thrown = Object.assign(new Error(`EACCES: permission denied, open '${SECRET}'`), {
    code: 'EACCES',
    status: 404,
  })

  test.each([
    ['POST', '/files', { 'Upload-Length': '5' }],
    ['PATCH', '/files/abc', { 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': '0' }],
    ['DELETE', '/files/abc', {}],
  ] as const)('%s is answered by a bare 500 with nothing of it', async (method, path, headers) => {
    const onError = jest.fn()
    const { handle, logger } = startBroken(thrown, { onError })
    const context = { user: 'x' }
    const answer = await handle(method, path, headers, undefined, { context })
    expect(answer.status).toBe(500)
    expect(JSON.stringify([answer.headers, String(answer.body)])).not.toMatch(/secret|EACCES|at |errors\.ts/)
    expect(String(answer.body)).toBe(`${ERRORS.ERR_INTERNAL.message}\n`)
    expect(answer.error).toBe(thrown)
    expect(logger.errors).toEqual([thrown])
    expect(onError.mock.calls).toEqual([[thrown, { method, path, context }]])
  })

  test('HEAD is answered by 423, since clients take anything else for the end of the upload', async () => {
    const { handle, logger } = startBroken(thrown)
    expect(await handle('HEAD', '/files/abc')).toEqual({
      status: 423,
      headers: { 'Retry-After': '1', 'Tus-Resumable': '1.0.0', 'Cache-Control': 'no-store' },
      body: undefined,
    })
    expect(logger.errors).toEqual([thrown])
  })

  test.each([undefined, null, 'a string', 42, { code: 7 }])('%p may be thrown instead of an Error', async (value) => {
    const { handle } = startBroken(value)
    expect((await handle('POST', '/files', { 'Upload-Length': '5' })).status).toBe(500)
  })

  test('what the client has done wrong is not reported', async () => {
    const onError = jest.fn()
    const { create, handle, patch, logger } = startServer({ onError })
    const path = await create({ 'Upload-Length': '5' })
    await patch(path, 3, Buffer.from('lo'))
    await patch(path, 0, Buffer.from('hello!'))
    await patch(path, 0, new Source().push('he').fail())
    await handle('HEAD', '/files/unknown')
    await handle('POST', '/files', {})
    expect(onError).not.toHaveBeenCalled()
    expect(logger).toMatchObject({ errors: [], warnings: [] })
  })
})

describe('nobody can break the answer by what they report to', () => {
  function broken(): void {
    throw new Error('broken')
  }
  const brokenLater = (): Promise<void> => Promise.reject(new Error('broken'))

  test.each([
    ['onError throws', { onError: broken }],
    ['onError rejects', { onError: brokenLater }],
    ['the logger throws', { logger: { warn: broken, error: broken } }],
  ] as ReadonlyArray<readonly [string, Partial<TusServerOptions>]>)('%s', async (_name, options) => {
    const { handle } = startBroken(new Error('inside'), options)
    expect((await handle('POST', '/files', { 'Upload-Length': '5' })).status).toBe(500)
  })
})

test('a TusError that a storage throws is its answer, headers included', async () => {
  const { handle, logger } = startBroken(
    new TusError('ERR_GONE', { message: 'Removed by a moderator', headers: { 'X-Why': 'spam' } }),
  )
  const answer = await handle('PATCH', '/files/abc', {
    'Content-Type': 'application/offset+octet-stream',
    'Upload-Offset': '0',
  })
  expect(answer).toMatchObject({ status: 410, headers: { 'X-Why': 'spam' } })
  expect(String(answer.body)).toBe('Removed by a moderator\n')
  expect(logger.errors).toEqual([])
})

test('the sentence ends with a line break and is text', async () => {
  const { handle } = startServer()
  const answer = await handle('POST', '/files', {})
  expect(answer.headers['Content-Type']).toBe('text/plain; charset=utf-8')
  expect(String(answer.body)).toBe(`${ERRORS.ERR_LENGTH_REQUIRED.message}\n`)
})
