// Headers with a grammar: what is written is read back, and nothing that a client sends makes a parser throw.

import fc from 'fast-check'
import { parseContentLength, parseInteger } from '../../src/headers/integer.js'
import { formatUploadMetadata, parseUploadMetadata } from '../../src/index.js'
import { normalizeHeaders } from '../../src/request.js'

/** What comes over a socket: each character is a byte. */
const headerText = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)) })
const anything = fc.oneof(fc.string({ unit: 'binary' }), headerText)

describe('integers', () => {
  test('every safe integer is read back', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (value) => expect(parseInteger(String(value))).toBe(value)))
    expect(parseInteger('9007199254740991')).toBe(Number.MAX_SAFE_INTEGER)
  })

  test('nothing else is, and nothing throws', () => {
    fc.assert(
      fc.property(anything, (value) => {
        const parsed = parseInteger(value)
        if (parsed === undefined) return
        expect(value).toMatch(/^[0-9]+$/)
        expect(Number.isSafeInteger(parsed) && parsed >= 0).toBe(true)
      }),
    )
    for (const value of [undefined, '', ' 5', '5 ', '+5', '-5', '5.0', '1e3', '0x1', '\u0665', '9007199254740992']) {
      expect({ value, parsed: parseInteger(value) }).toEqual({ value, parsed: undefined })
    }
  })

  test('a Content-Length may be larger than any limit', () => {
    expect(parseContentLength('18446744073709551615')).toBeGreaterThan(Number.MAX_SAFE_INTEGER)
    expect(parseContentLength('00000000000000000005')).toBe(5)
    expect(parseContentLength('5, 5')).toBeUndefined()
    expect(parseContentLength(undefined)).toBeUndefined()
  })
})

describe('Upload-Metadata', () => {
  const key = fc.stringMatching(/^[!-+\--~]{1,20}$/)
  const value = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string(), fc.constant(''))

  test('what is written is read back', () => {
    fc.assert(
      fc.property(fc.dictionary(key, value, { noNullPrototype: false }), (metadata) => {
        const parsed = parseUploadMetadata(formatUploadMetadata(metadata))
        expect(parsed).toEqual(Object.assign(Object.create(null), metadata))
        expect(Object.getPrototypeOf(parsed)).toBe(null)
      }),
    )
  })

  test('what is read and written is the same again', () => {
    const pair = fc.tuple(key, fc.option(fc.base64String(), { nil: undefined }))
    const header = fc
      .uniqueArray(pair, { selector: ([name]) => name })
      .map((pairs) => pairs.map(([name, data]) => (data ? `${name} ${data}` : name)).join(','))
    fc.assert(
      fc.property(header, (text) => {
        const once = parseUploadMetadata(text)
        expect(once).toBeDefined()
        expect(parseUploadMetadata(formatUploadMetadata(once ?? {}))).toEqual(once)
      }),
    )
  })

  test('no input makes the parser throw', () => {
    const nasty = fc
      .array(fc.constantFrom(' ', ',', '=', '\t', 'a', 'YQ==', '__proto__', '\u00e0', '\u2028', '\0'))
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(fc.oneof(anything, nasty), (text) => {
        const parsed = parseUploadMetadata(text)
        for (const name of Object.keys(parsed ?? {})) expect(name).toMatch(/^[!-+\--~\x80-\xff]+$/)
      }),
      { numRuns: 1000 },
    )
  })

  test.each([
    ['a long value', `a ${'A'.repeat(12 * 1024 * 1024)}`, true],
    ['a long value that is none', `a ${'A'.repeat(12 * 1024 * 1024)}!`, false],
    ['a long key', 'k'.repeat(100_000), true],
    ['spaces in the middle', `a${' '.repeat(100_000)}b`, false],
    ['spaces at the end', `a${' '.repeat(100_000)}`, true],
    ['many pairs', Array.from({ length: 100_000 }, (_, index) => `k${index} YQ==`).join(','), true],
    ['many commas', ','.repeat(100_000), false],
  ] as const)('%s is dealt with in no time', (_name, text, valid) => {
    const start = performance.now()
    expect(parseUploadMetadata(text) !== undefined).toBe(valid)
    expect(performance.now() - start).toBeLessThan(5000)
  })

  test('values are read as UTF-8, and keys of Object.prototype are keys like others', () => {
    const parsed = parseUploadMetadata('__proto__ YQ==,constructor,toString Yg==,name w6ljbGFpci5wZGY=')
    expect(Object.entries(parsed ?? {})).toEqual([
      ['__proto__', 'a'],
      ['constructor', ''],
      ['toString', 'b'],
      ['name', '\u00e9clair.pdf'],
    ])
    expect(parsed?.hasOwnProperty).toBeUndefined()
  })

  test.each(['', ' ', 'a b', 'a,b', 'a\tb', 'a\nb', '\0', '\u00e9', '\u2603'])(
    '%p is no key that could be written',
    (name) => {
      expect(() => formatUploadMetadata({ [name]: 'x' })).toThrow(TypeError)
    },
  )
})

describe('the headers of a request', () => {
  test('have names in lower case and lists in one value', () => {
    expect({ ...normalizeHeaders({ 'Upload-Offset': '5', 'X-A': ['1', '2'], 'x-none': undefined }) }).toEqual({
      'upload-offset': '5',
      'x-a': '1, 2',
    })
  })

  test('have nothing of Object.prototype', () => {
    const headers = normalizeHeaders({ __proto__: { 'Upload-Offset': '5' }, Constructor: 'x' } as never)
    expect(headers.tostring).toBeUndefined()
    expect(headers.constructor).toBe('x')
  })
})
