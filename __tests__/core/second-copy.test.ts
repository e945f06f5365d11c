// Errors of another copy of this package: an application may have the ES module beside the CommonJS build, or two versions.
import { toTusError } from '../../src/errors.js'
import {
  ERRORS,
  isTusError,
  MemoryStorage,
  type Storage,
  TusError,
  type TusErrorCode,
  type TusServerOptions,
} from '../../src/index.js'
import { overriding, startServer } from './support.js'

const OtherTusError = copyOfTusError()

/** The class in a second copy of the modules. */
function copyOfTusError(): typeof TusError {
  let copy: typeof TusError | undefined
  jest.isolateModules(() => {
    copy = (require('../../src/index.js') as { TusError: typeof TusError }).TusError
  })
  if (copy === undefined || copy === TusError) throw new Error('there is no second copy')
  return copy
}

/** What an application throws to refuse. */
const refusal = () =>
  new OtherTusError('ERR_UNPROCESSABLE', { status: 451, message: 'A virus', headers: { 'X-Why': 'virus' } })

/** What a library throws. */
const misfortune = () =>
  Object.assign(new Error('no row at /srv/secret'), { code: 'ERR_NOT_FOUND', status: 404, name: 'TusError' })

/** An error of a version to come. */
function newer(code: string, status: number): Error {
  return Object.defineProperties(new OtherTusError('ERR_GONE', { status, message: 'A new reason' }), {
    code: { value: code },
  })
}

function fail(make: () => Error): () => never {
  return () => {
    throw make()
  }
}

const storageThat = (make: () => Error): Storage =>
  overriding(new MemoryStorage(), { claim: fail(make), get: fail(make), create: fail(make) })

const PLACES: ReadonlyArray<
  readonly [
    place: string,
    options: (make: () => Error) => Partial<TusServerOptions>,
    request: 'POST' | 'PATCH' | 'DELETE',
  ]
> = [
  ['onIncomingRequest', (make) => ({ onIncomingRequest: fail(make) }), 'POST'],
  ['onUploadCreate', (make) => ({ onUploadCreate: fail(make) }), 'POST'],
  ['generateId', (make) => ({ generateId: fail(make) }), 'POST'],
  ['maxSize', (make) => ({ maxSize: fail(make) }), 'POST'],
  ['onChunkReceived', (make) => ({ onChunkReceived: fail(make) }), 'PATCH'],
  ['onUploadComplete', (make) => ({ onUploadComplete: fail(make) }), 'PATCH'],
  ['onBeforeTerminate', (make) => ({ onBeforeTerminate: fail(make) }), 'DELETE'],
  ['a storage', (make) => ({ storage: storageThat(make) }), 'POST'],
]

async function answerOf(options: Partial<TusServerOptions>, request: 'POST' | 'PATCH' | 'DELETE') {
  const server = startServer(options)
  const path = request === 'POST' ? '/files' : await server.create({ 'Upload-Length': '5' })
  const answer =
    request === 'POST'
      ? await server.handle('POST', path, { 'Upload-Length': '5' })
      : request === 'PATCH'
        ? await server.patch(path, 0, Buffer.from('hello'))
        : await server.handle('DELETE', path)
  return { ...server, path, answer }
}

describe.each(PLACES)('thrown by %s', (_place, options, request) => {
  it('a TusError of another copy refuses with its own status, message and headers', async () => {
    const { answer, logger } = await answerOf(options(refusal), request)
    expect(answer).toMatchObject({ status: 451, headers: { 'X-Why': 'virus' } })
    expect(String(answer.body)).toBe('A virus\n')
    expect(logger.errors).toEqual([])
  })

  it('a TusError of a later version refuses, too, with a code that is unknown here', async () => {
    const { answer, logger } = await answerOf(
      options(() => newer('ERR_OF_TOMORROW', 418)),
      request,
    )
    expect(answer.status).toBe(418)
    expect(String(answer.body)).toBe('A new reason\n')
    expect(logger.errors).toEqual([])
  })

  it('an error of a library whose code is one of ours is unexpected: 500, and logged', async () => {
    const { answer, logger } = await answerOf(options(misfortune), request)
    expect(answer.status).toBe(500)
    expect(String(answer.body)).toBe(`${ERRORS.ERR_INTERNAL.message}\n`)
    expect(logger.errors).toHaveLength(1)
    expect(logger.errors[0]).toMatchObject({ message: 'no row at /srv/secret' })
  })
})

it('a verdict of another copy removes the upload, and the hook runs once', async () => {
  let runs = 0
  const { answer, handle, path, storage } = await answerOf(
    {
      onUploadComplete: () => {
        runs++
        throw refusal()
      },
    },
    'PATCH',
  )
  expect(answer.status).toBe(451)
  expect((await handle('HEAD', path)).status).toBe(451)
  expect(await storage.get(path.slice('/files/'.length))).toBeUndefined()
  expect(runs).toBe(1)
})

it('a body that ends with a TusError of another copy is refused by it, and with anything else is interrupted', async () => {
  const { create, patch, logger } = startServer()
  const body = async function* (error: Error): AsyncGenerator<Uint8Array> {
    yield Buffer.from('he')
    throw error
  }
  const refused = await patch(await create({ 'Upload-Length': '5' }), 0, body(refusal()))
  expect(refused).toMatchObject({ status: 451, headers: { 'Upload-Offset': '2' } })
  const path = await create({ 'Upload-Length': '5' })
  const interrupted = await patch(path, 0, body(misfortune()))
  expect(interrupted).toMatchObject({ status: 400, headers: { 'Upload-Offset': '2' } })
  expect(String(interrupted.body)).toBe(`${ERRORS.ERR_BODY_INTERRUPTED.message}\n`)
  expect(logger.errors).toEqual([])
})

it('HEAD tells the status of a refusal by another copy', async () => {
  const { handle } = startServer({ onIncomingRequest: fail(refusal) })
  expect(await handle('HEAD', '/files/abc')).toMatchObject({ status: 451, headers: { 'X-Why': 'virus' } })
})

describe('what is thrown may be anything', () => {
  const hostile = new Proxy(new Error('x'), {
    get: () => {
      throw new Error('no such property')
    },
  })
  const withGetter = Object.defineProperty(new Error('x'), 'code', {
    get: () => {
      throw new Error('not now')
    },
  })

  it.each([
    ['undefined', undefined],
    ['null', null],
    ['a string', 'ERR_NOT_FOUND'],
    ['a symbol', Symbol('x')],
    ['a function', () => {}],
    ['an object without a prototype', Object.create(null)],
    ['an error whose getters throw', hostile],
    ['an error with a getter that throws', withGetter],
    ['a TusError whose status was changed to one of success', Object.assign(refusal(), { status: 200 })],
    ['a TusError whose status was changed to none', Object.assign(refusal(), { status: 700 })],
    ['a TusError whose headers can not be sent', Object.assign(refusal(), { headers: { 'X-A': 'a\nb' } })],
    ['a TusError without headers', Object.assign(refusal(), { headers: undefined })],
    ['a TusError whose message is none', Object.assign(refusal(), { message: 5 })],
  ])('%s is 500', async (_name, thrown) => {
    const { handle } = startServer({
      onIncomingRequest: () => {
        throw thrown
      },
    })
    const answer = await handle('POST', '/files', { 'Upload-Length': '5' })
    expect(answer.status).toBe(500)
    expect(String(answer.body)).toBe(`${ERRORS.ERR_INTERNAL.message}\n`)
    expect(isTusError(thrown)).toBe(false)
  })

  it('a frozen TusError is its answer, also where an answer gets more headers', async () => {
    const frozen = Object.freeze(refusal())
    expect(toTusError(frozen)).toBe(frozen)
    const { create, patch } = startServer({
      expiration: { unfinishedAfterMs: 1000 },
      onChunkReceived: fail(() => frozen),
    })
    expect((await patch(await create({ 'Upload-Length': '5' }), 0, Buffer.from('he'))).status).toBe(451)
  })

  it('what the logger can not print is still reported', async () => {
    const errors: unknown[] = []
    const error = (value: unknown): void => {
      errors.push(`${value}`)
    }
    const { handle } = startServer({ onIncomingRequest: fail(() => hostile), logger: { warn: () => {}, error } })
    await handle('POST', '/files', { 'Upload-Length': '5' })
    expect(errors).toEqual([expect.stringContaining('can not print')])
  })
})

it('isTusError knows its own, subclasses, and those of other copies', () => {
  class Own extends TusError {}
  expect([new TusError('ERR_GONE'), new Own('ERR_GONE'), refusal()].map(isTusError)).toEqual([true, true, true])
  expect(refusal()).not.toBeInstanceOf(TusError)
  const codes: readonly TusErrorCode[] = [toTusError(refusal()).code, toTusError(newer('ERR_NEW', 418)).code]
  expect(codes).toEqual(['ERR_UNPROCESSABLE', 'ERR_REJECTED'])
})
