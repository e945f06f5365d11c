// Options: what is no option is a TypeError at construction, and not a surprise in the middle of an upload.

import os from 'node:os'
import { MemoryStorage, type Storage, TusServer, type TusServerOptions, tusMiddleware } from '../../src/index.js'
import { resolveOptions } from '../../src/resolve-options.js'
import { quietLogger, startServer } from './support.js'

/** What every storage has, and nothing else. */
function bare(): object {
  const nothing = (): void => {}
  return { create: nothing, get: nothing, openStage: nothing, remove: nothing, close: nothing }
}

const storage: Storage = Object.assign(new MemoryStorage(), { freeBytes: () => 1000 })

const NUMBERS = [
  'claimWaitMs',
  'leaseMs',
  'maxActiveBodies',
  'memoryBudget',
  'segmentBytes',
  'segmentMs',
  'stallTimeoutMs',
  'minBytesPerSecond',
  'minFreeBytes',
] as const

const WRONG: ReadonlyArray<readonly [string, object]> = [
  ['no storage', { storage: undefined }],
  ['a storage that is none', { storage: {} }],
  ['a storage that is null', { storage: null }],
  ...['files', '', 'http://example.com/files'].map(
    (basePath) => [`basePath ${JSON.stringify(basePath)}`, { basePath }] as const,
  ),
  ['a basePath that is no string', { basePath: 5 }],
  ...[-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '10', 2 ** 53, null].map(
    (maxSize) => [`maxSize ${String(maxSize)}`, { maxSize }] as const,
  ),
  ...NUMBERS.flatMap((name) => [
    [`${name} -1`, { [name]: -1 }] as const,
    [`${name} 0.5`, { [name]: 0.5 }] as const,
    [`${name} NaN`, { [name]: Number.NaN }] as const,
    [`${name} '1'`, { [name]: '1' }] as const,
  ]),
  ['leaseMs 0', { leaseMs: 0 }],
  ['maxActiveBodies 0', { maxActiveBodies: 0 }],
  ['stallTimeoutMs Infinity', { stallTimeoutMs: Number.POSITIVE_INFINITY }],
  ['minBytesPerSecond 0', { minBytesPerSecond: 0 }],
  ['segmentBytes 0', { segmentBytes: 0 }],
  ['another durability', { durability: 'always' }],
  ['maxChunkSize 0', { maxChunkSize: 0 }],
  ['maxMetadataSize -1', { maxMetadataSize: -1 }],
  ['checksumAlgorithms with an unknown one', { checksumAlgorithms: ['sha3'] }],
  ['an expiration without a time', { expiration: {} }],
  ...[0, -1, Number.NaN, '1'].map(
    (finishedAfterMs) =>
      [
        `finishedAfterMs ${String(finishedAfterMs)}`,
        { expiration: { unfinishedAfterMs: 1, finishedAfterMs } },
      ] as const,
  ),
  ['a publicUrl that is none', { publicUrl: 'http://' }],
  ['a hook that is none', { onUploadCreate: 'no' }],
]

const MORE_WRONG: ReadonlyArray<readonly [string, object, RegExp]> = [
  [
    'a storage class',
    { storage: MemoryStorage },
    /storage must be a Storage \(write new MemoryStorage\(…\)\), not the class/,
  ],
  [
    'a storage that lacks a method',
    { storage: { ...bare(), remove: undefined } },
    /a Storage, with a method remove\(\)/,
  ],
  [
    'a storage that takes completions and can not settle them',
    { storage: { ...bare(), dueCompletions() {}, takeCompletion() {}, renewCompletion() {} } },
    /one that has takeCompletion\(\) needs settleCompletion\(\), too/,
  ],
  ['a logger without methods', { logger: { warn() {} } }, /logger must be a logger, with a method error\(\)/],
  ['downloads as a string', { downloads: 'true' }, /downloads must be true or false, not 'true'/],
  ['concatenation true', { concatenation: true }, /concatenation must be an object of options, or false, not true/],
  ['a basePath of another host', { basePath: '//evil.example' }, /basePath must be a path/],
  ['a basePath with a backslash', { basePath: '/\\evil.example' }, /basePath must be a path/],
  ['a basePath with a query', { basePath: '/files?a' }, /basePath must be a path/],
  ['generateId as a string', { generateId: 'uuid' }, /generateId must be a function, not 'uuid'/],
  ['maxSize of another type', { maxSize: '1gb' }, /maxSize must be an integer of at least 0, or a function, not '1gb'/],
  [
    'a time that no timer can wait for',
    { claimWaitMs: 2 ** 31 },
    /claimWaitMs must be an integer from 0 to 2147483647/,
  ],
  ['checksumAlgorithms as a string', { checksumAlgorithms: 'sha1' }, /checksumAlgorithms must be a list/],
  ['a misspelt algorithm', { checksumAlgorithms: ['SHA-1'] }, /there is no 'SHA-1': did you mean 'sha1'\?/],
  ['null', { expiration: null }, /expiration must be an object of options, or false, not null/],
  ['an expiration in a wrong unit', { expiration: { unfinishedAfterMs: 1e300 } }, /expiration\.unfinishedAfterMs/],
]

test.each(MORE_WRONG)('%s is a TypeError that says what is meant', (_name, options, message) => {
  const make = () => new TusServer({ storage, logger: quietLogger(), ...options } as TusServerOptions)
  expect(make).toThrow(TypeError)
  expect(make).toThrow(message)
})

test.each(WRONG)('%s is a TypeError', (_name, options) => {
  expect(() => new TusServer({ storage, logger: quietLogger(), ...options } as TusServerOptions)).toThrow(TypeError)
})

test.each(WRONG.filter(([name]) => !name.includes('storage')))(
  'the message about %s names the option',
  (_name, options) => {
    const name = Object.keys(options)[0] ?? ''
    expect(() => resolveOptions({ storage, ...options } as TusServerOptions)).toThrow(name)
  },
)

test('minFreeBytes with a storage that does not know how much is free is a TypeError', () => {
  expect(() => resolveOptions({ storage: new MemoryStorage(), minFreeBytes: 1 })).toThrow(/minFreeBytes/)
  expect(resolveOptions({ storage: new MemoryStorage(), minFreeBytes: 0 }).minFreeBytes).toBe(0)
})

test('no options at all are a TypeError', () => {
  expect(() => new TusServer(undefined as unknown as TusServerOptions)).toThrow(TypeError)
})

test('defaults are filled in, and what the user gave stays as it is', () => {
  const given = Object.freeze({ storage })
  expect(resolveOptions(given)).toEqual({
    storage,
    basePath: '/files',
    maxSize: undefined,
    maxChunkSize: Number.MAX_SAFE_INTEGER,
    maxMetadataSize: 8192,
    minFreeBytes: 0,
    checksumAlgorithms: ['sha1', 'sha256', 'sha512', 'md5', 'crc32'],
    completion: 'await',
    completionConcurrency: 16,
    hookTimeoutMs: 3_600_000,
    concatenation: true,
    keepPartials: false,
    maxPartials: 64,
    cors: false,
    downloads: false,
    termination: true,
    isOpen: true,
    location: undefined,
    expiration: undefined,
    generateId: undefined,
    absoluteLocation: false,
    publicUrl: undefined,
    hooks: {},
    durability: 'completed',
    claimWaitMs: 15_000,
    leaseMs: 10_000,
    maxActiveBodies: expect.any(Number),
    memoryBudget: 64 * 1024 * 1024,
    segmentBytes: 16 * 1024 * 1024,
    segmentMs: 1000,
    stallTimeoutMs: 60_000,
    minBytesPerSecond: 1,
    logger: console,
    onError: expect.any(Function),
    now: Date.now,
  })
  expect(given).toEqual({ storage })
})

test.each([
  [1, 2],
  [2, 2],
  [3, 3],
  [4, 4],
  [64, 4],
])('with %d processors %d bodies are read at the same time', (processors, bodies) => {
  const spy = jest.spyOn(os, 'availableParallelism').mockReturnValue(processors)
  expect(resolveOptions({ storage }).maxActiveBodies).toBe(bodies)
  spy.mockRestore()
})

test.each([
  ['/files', '/files'],
  ['/files/', '/files'],
  ['/files//', '/files'],
  ['/', ''],
  ['/a/b/c', '/a/b/c'],
])('basePath %s routes below %p', (basePath, expected) => {
  expect(startServer({ basePath }).tus.basePath).toBe(expected)
})

test('a base path of one\u2019s own is where uploads are created and found', async () => {
  const { handle } = startServer({ basePath: '/api/v1/uploads' })
  const created = await handle('POST', '/api/v1/uploads', { 'Upload-Length': '5' })
  expect(created.headers.Location).toMatch(/^\/api\/v1\/uploads\/[0-9a-f]{40}$/)
  expect((await handle('HEAD', String(created.headers.Location))).status).toBe(200)
  expect((await handle('POST', '/files', { 'Upload-Length': '5' })).status).toBe(404)
})

test('the base path may be the root', async () => {
  const { handle } = startServer({ basePath: '/' })
  const created = await handle('POST', '/', { 'Upload-Length': '5' })
  expect(created.headers.Location).toMatch(/^\/[0-9a-f]{40}$/)
  expect((await handle('HEAD', String(created.headers.Location))).status).toBe(200)
})

test.each([-1, Number.NaN, 'many'])('a bufferLimit of %p is a TypeError', (bufferLimit) => {
  const { tus } = startServer()
  expect(() => tusMiddleware(tus, { bufferLimit: bufferLimit as number })).toThrow(TypeError)
})
