// Options that there are not: every constructor and factory refuses them, and says which one may have been meant.
import { createServer } from 'node:http'
import express from 'express'
import { checkOptions, nearest } from '../../src/check-options.js'
import {
  MemoryStorage,
  type OffloadOptions,
  offload,
  prepareServer,
  SQLiteStorage,
  TusError,
  TusServer,
  type TusServerOptions,
  tusListener,
  tusMiddleware,
} from '../../src/index.js'
import { type StorageContractOptions, storageContract } from '../../src/testing/index.js'
import { startServer } from './support.js'

const storage = new MemoryStorage()
const server = (options: object) => new TusServer({ storage, ...options } as TusServerOptions)

const UNKNOWN: ReadonlyArray<readonly [message: string, make: (tus: TusServer) => unknown]> = [
  [
    'TusServer: unknown option onUploadCompleted: did you mean onUploadComplete?',
    () => server({ onUploadCompleted() {} }),
  ],
  ['TusServer: unknown option onUploadFinish: did you mean onUploadComplete?', () => server({ onUploadFinish() {} })],
  ['TusServer: unknown option maxsize: did you mean maxSize?', () => server({ maxsize: 5 })],
  ['TusServer: unknown option maxFileSize: did you mean maxSize?', () => server({ maxFileSize: 5 })],
  ['TusServer: unknown option path: did you mean basePath?', () => server({ path: '/files' })],
  ['TusServer: unknown option datastore: did you mean storage?', () => server({ datastore: {} })],
  ['TusServer: unknown option namingFunction: did you mean generateId?', () => server({ namingFunction() {} })],
  ['TusServer: unknown option allowedOrigins: did you mean cors.origin?', () => server({ allowedOrigins: [] })],
  ['TusServer: unknown option colour', () => server({ colour: 'red' })],
  [
    'TusServer: unknown option cors.allowedOrigins: did you mean cors.origin?',
    () => server({ cors: { allowedOrigins: ['https://other.example'] } }),
  ],
  [
    'TusServer: unknown option expiration.unfinishedAfter: did you mean expiration.unfinishedAfterMs?',
    () => server({ expiration: { unfinishedAfter: 5 } }),
  ],
  [
    'TusServer: unknown option concatenation.keep: there are keepPartials, maxPartials',
    () => server({ concatenation: { keep: true } }),
  ],
  [
    'SQLiteStorage: unknown option directroy: did you mean directory?',
    () => new SQLiteStorage({ directroy: './uploads' } as object),
  ],
  [
    'SQLiteStorage: unknown option path: did you mean directory?',
    () => new SQLiteStorage({ path: './uploads' } as object),
  ],
  ['MemoryStorage: unknown option clock: there is now', () => new MemoryStorage({ clock: Date.now } as object)],
  [
    'offload: unknown option timeoutMs: did you mean startTimeoutMs?',
    () => offload('/none.js', {}, { timeoutMs: 5 } as OffloadOptions),
  ],
  [
    'tusMiddleware: unknown option bufferlimits: did you mean bufferLimit?',
    (tus) => tusMiddleware(tus, { bufferlimits: 5 } as object),
  ],
  [
    'tusListener: unknown option forwardErrors: there is bufferLimit',
    (tus) => tusListener(tus, { forwardErrors: true } as object),
  ],
  [
    'TusError: unknown option statusCode: did you mean status?',
    () => new TusError('ERR_GONE', { statusCode: 410 } as object),
  ],
  [
    'storageContract: unknown option capability: did you mean capabilities?',
    () => storageContract('x', () => storage, { capability: [] } as StorageContractOptions),
  ],
]

it.each(UNKNOWN)('%s', (message, make) => {
  const { tus } = startServer()
  expect(() => make(tus)).toThrow(new TypeError(message))
})

it('an unknown option of close rejects, and closes nothing', async () => {
  const { tus, handle } = startServer()
  await expect(tus.close({ timeout: 5 } as object)).rejects.toThrow(
    new TypeError('close: unknown option timeout: did you mean timeoutMs?'),
  )
  await expect(tus.close({ timeoutMs: Number.POSITIVE_INFINITY })).rejects.toThrow(/timeoutMs must be an integer/)
  expect((await handle('POST', '/files', { 'Upload-Length': '1' })).status).toBe(201)
})

const WRONG: ReadonlyArray<readonly [message: RegExp, make: (tus: TusServer) => unknown]> = [
  [/TusServer: options must be an object, not null/, () => new TusServer(null as unknown as TusServerOptions)],
  [
    /TusServer: options must be an object, not 'uploads'/,
    () => new TusServer('uploads' as unknown as TusServerOptions),
  ],
  [/TusServer: options must be an object, not \[/, () => new TusServer([storage] as unknown as TusServerOptions)],
  [/TusServer: storage must be a Storage, not undefined/, () => new TusServer({} as TusServerOptions)],
  [
    /SQLiteStorage: options must be an object, not '\.\/uploads'/,
    () => new SQLiteStorage('./uploads' as unknown as object),
  ],
  [/SQLiteStorage: directory must be a string/, () => new SQLiteStorage({ directory: '' })],
  [/SQLiteStorage: directory must be a string/, () => new SQLiteStorage({ directory: 5 } as object)],
  [
    /SQLiteStorage: driver must be '.*' or '.*', not 'sqlite3'/,
    () => new SQLiteStorage({ driver: 'sqlite3' } as object),
  ],
  [/MemoryStorage: now must be a function, not 5/, () => new MemoryStorage({ now: 5 } as object)],
  [/offload: 5 is neither a URL nor an absolute path/, () => offload(5 as unknown as string)],
  [/offload: startTimeoutMs must be an integer/, () => offload('/none.js', {}, { startTimeoutMs: -1 })],
  [/tusMiddleware: tus must be a TusServer/, () => tusMiddleware({} as TusServer)],
  [
    /tusMiddleware: tus must be a TusServer \(write new TusServer/,
    () => tusMiddleware(TusServer as unknown as TusServer),
  ],
  [
    /tusMiddleware: bufferLimit must be a number of bytes, or Infinity, not '1mb'/,
    (tus) => tusMiddleware(tus, { bufferLimit: '1mb' } as object),
  ],
  [
    /tusMiddleware: forwardErrors must be true or false, not 'yes'/,
    (tus) => tusMiddleware(tus, { forwardErrors: 'yes' } as object),
  ],
  [
    /tusListener: tus must be a TusServer, with a method serves\(\)/,
    () => tusListener({ handleRequest() {} } as unknown as TusServer),
  ],
  [/tusListener: bufferLimit must be/, (tus) => tusListener(tus, { bufferLimit: Number.NaN })],
  [
    /prepareServer: server must be what app\.listen\(\) or createServer\(\) returned/,
    (tus) => prepareServer(express() as never, tus),
  ],
  [/prepareServer: tus must be a TusServer/, () => prepareServer(createServer(), undefined as unknown as TusServer)],
  [
    /storageContract: capabilities must be a list of claim/,
    () => storageContract('x', () => storage, { capabilities: ['fly'] as never }),
  ],
  [/storageContract: leaseMs must be an integer/, () => storageContract('x', () => storage, { leaseMs: '1' as never })],
]

it.each(WRONG)('%p', (message, make) => {
  const { tus } = startServer()
  expect(() => make(tus)).toThrow(TypeError)
  expect(() => make(tus)).toThrow(message)
})

it('an option that is undefined counts as absent, known or not', () => {
  const options: Record<string, unknown> = { onUploadFinish: undefined, path: undefined }
  for (const name of [
    'basePath',
    'maxSize',
    'cors',
    'expiration',
    'logger',
    'now',
    'leaseMs',
    'publicUrl',
    'storage',
  ]) {
    options[name] = undefined
  }
  expect(server({ ...options, storage }).basePath).toBe('/files')
  expect(() => new MemoryStorage({ now: undefined })).not.toThrow()
  const { tus } = startServer()
  expect(() => tusMiddleware(tus, { bufferLimit: undefined, forwardErrors: undefined })).not.toThrow()
})

it('options may be inherited, as those of a class are', () => {
  class Settings {
    readonly storage = storage
    get basePath(): string {
      return '/inherited'
    }
  }
  expect(new TusServer(new Settings()).basePath).toBe('/inherited')
  const wrong = Object.create({ leaseMs: -1 }, { storage: { value: storage } })
  expect(() => new TusServer(wrong)).toThrow(/leaseMs must be/)
})

it('values are shown on one short line, whatever they are', () => {
  const unreadable = new Proxy(
    {},
    {
      get: () => {
        throw new Error('no')
      },
      ownKeys: () => {
        throw new Error('no')
      },
    },
  )
  for (const value of [
    'x'.repeat(10_000),
    { deep: { er: [1, 2, 3] } },
    Array(1000).fill(7),
    Symbol('x'),
    10n,
    unreadable,
  ]) {
    const message = messageOf(() => checkOptions('f', { a: value }, { a: () => 'right' }))
    expect(message).toMatch(/^f: a must be right, not [^\n]{1,90}$/)
  }
})

function messageOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return (error as Error).message
  }
  return ''
}

it.each([
  ['maxSzie', 'maxSize'],
  ['MAXSIZE', 'maxSize'],
  ['basepath', 'basePath'],
  ['xyz', undefined],
  ['', undefined],
  ['__proto__', undefined],
])('the nearest known name to %p is %p', (name, expected) => {
  expect(nearest(name, ['maxSize', 'basePath', 'storage'])).toBe(expected)
})
