// From a path to a resource.

import fc from 'fast-check'
import { isUploadId, routeOf } from '../../src/route.js'
import { startServer } from './support.js'

const collection = { kind: 'collection' }
const upload = (id: string) => ({ kind: 'upload', id })

test.each([
  ['/files', '/files', collection],
  ['/files/', '/files', collection],
  ['/files?x=/y', '/files', collection],
  ['/files/abc', '/files', upload('abc')],
  ['/files/abc/', '/files', upload('abc')],
  ['/files/abc?x=/y', '/files', upload('abc')],
  ['/files/abc/?x=/y', '/files', upload('abc')],
  ['/files/abc/def', '/files', undefined],
  ['/files/abc//', '/files', undefined],
  ['/files//abc', '/files', undefined],
  ['/filesystem', '/files', undefined],
  ['/file', '/files', undefined],
  ['/', '/files', undefined],
  ['', '/files', undefined],
  ['*', '/files', undefined],
  ['files', '/files', undefined],
  ['', '', collection],
  ['/', '', collection],
  ['/abc', '', upload('abc')],
  ['*', '', undefined],
  ['?/abc', '', collection],
] as const)('%p below %p', (path, basePath, expected) => {
  expect(routeOf(path, basePath)).toEqual(expected)
})

test('any path and any base path lead to the collection, to one segment, or nowhere', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (path, basePath) => {
      const route = routeOf(path, basePath)
      if (route?.kind === 'upload') expect(route.id).not.toMatch(/[/?]/)
    }),
  )
})

test('every id leads back to itself', () => {
  const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,200}$/)
  fc.assert(
    fc.property(id, fc.constantFrom('', '/', '?a', '/?a/b'), (value, rest) => {
      expect(isUploadId(value)).toBe(true)
      expect(routeOf(`/files/${value}${rest}`, '/files')).toEqual(upload(value))
    }),
  )
})

test('an id has no character that means anything in a path, a URL, or a query', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1 }), (value) => {
      expect(isUploadId(value)).toBe(/^[A-Za-z0-9_-]+$/.test(value) && value.length <= 200)
    }),
  )
  for (const value of ['', '.', '..', 'a/b', 'a\\b', 'a.b', 'a\n', '\0', '%2e', 'a b', 'é', 'a'.repeat(201)]) {
    expect({ value, valid: isUploadId(value) }).toEqual({ value, valid: false })
  }
})

describe('what the server serves', () => {
  test.each([
    ['POST', '/files', true],
    ['post', '/files', true],
    ['OPTIONS', '/files', true],
    ['HEAD', '/files', false],
    ['GET', '/files', false],
    ['PATCH', '/files', false],
    ['DELETE', '/files', false],
    ['HEAD', '/files/abc', true],
    ['PATCH', '/files/abc', true],
    ['DELETE', '/files/abc', true],
    ['OPTIONS', '/files/abc', true],
    ['POST', '/files/abc', false],
    ['GET', '/files/abc', false],
    ['PUT', '/files/abc', false],
    ['HEAD', '/files/abc/def', false],
    ['POST', '/other', false],
  ] as const)('%s %s: %p', (method, path, expected) => {
    expect(startServer().tus.serves(method, path)).toBe(expected)
  })

  test('by the method that overrides', () => {
    const { tus } = startServer()
    expect(tus.serves('POST', '/files/abc', { 'x-http-method-override': 'PATCH' })).toBe(true)
    expect(tus.serves('PATCH', '/files/abc', { 'x-http-method-override': 'GET' })).toBe(false)
  })

  test('and what it does not serve is answered by 404 or 405 with Allow', async () => {
    const { handle } = startServer()
    expect((await handle('GET', '/elsewhere')).status).toBe(404)
    expect(await handle('GET', '/files')).toMatchObject({ status: 405, headers: { Allow: 'OPTIONS, POST' } })
    expect(await handle('GET', '/files/abc')).toMatchObject({
      status: 405,
      headers: { Allow: 'OPTIONS, HEAD, PATCH, DELETE' },
    })
  })
})
