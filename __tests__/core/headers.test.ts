// Headers with a grammar: what is written is read back, and nothing that a client sends makes a parser throw.

import fc from 'fast-check'
import { parseContentLength, parseInteger } from '../../src/headers/integer.js'
import { CHUNK_TYPE, isChunkType } from '../../src/headers/media-type.js'
import { announcesChecksum, formatUploadChecksum, parseUploadChecksum } from '../../src/headers/upload-checksum.js'
import { formatUploadConcat, parseUploadConcat } from '../../src/headers/upload-concat.js'
import { formatUploadMetadata, parseUploadMetadata } from '../../src/index.js'
import { methodOf, normalizeHeaders } from '../../src/request.js'
import { idOfUrl, isUploadId, routeOf } from '../../src/route.js'
import { runs } from '../support/runs.js'

/** What comes over a socket: each character is a byte. */
const headerText = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)) })
const anything = fc.oneof(fc.string({ unit: 'binary' }), headerText)

/** Pieces of a header in any order: nearly right, and wrong in every way. */
function piecesOf(...pieces: readonly string[]): fc.Arbitrary<string> {
  const odd = ['', ' ', '  ', '\t', ',', ';', '=', '/', '\r\n', '\0', '\u00e0', '\u2028', '\ud800', '__proto__']
  return fc.array(fc.constantFrom(...pieces, ...odd), { maxLength: 12 }).map((parts) => parts.join(''))
}

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

  test('a Content-Length is digits and nothing else, and nothing throws', () => {
    fc.assert(
      fc.property(fc.oneof(anything, piecesOf('0', '5', '18446744073709551615', '-', '+', '.', 'e')), (value) => {
        const parsed = parseContentLength(value)
        expect(parsed).toEqual(/^[0-9]+$/.test(value) ? Number(value) : undefined)
      }),
    )
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
      runs(1000),
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

describe('Upload-Checksum', () => {
  const algorithm = fc.stringMatching(/^[a-z0-9-]{1,20}$/)
  const digest = fc.uint8Array({ minLength: 1, maxLength: 70 }).map((bytes) => Buffer.from(bytes))

  test('what is written is read back', () => {
    fc.assert(
      fc.property(fc.record({ algorithm, digest }), (checksum) =>
        expect(parseUploadChecksum(formatUploadChecksum(checksum))).toEqual(checksum),
      ),
    )
  })

  test('what is read is written as it was, but for white space around it and the case of the algorithm', () => {
    fc.assert(
      fc.property(algorithm, digest, fc.stringMatching(/^[ \t]{0,3}$/), (name, bytes, space) => {
        const header = `${name.toUpperCase()} ${bytes.toString('base64')}`
        const parsed = parseUploadChecksum(`${space}${header}${space}`)
        expect(parsed && formatUploadChecksum(parsed)).toBe(`${name} ${bytes.toString('base64')}`)
      }),
    )
  })

  test('no input makes the parser throw, and what it reads is whole', () => {
    fc.assert(
      fc.property(fc.oneof(anything, piecesOf('sha1', 'SHA-256', 'YQ==', 'YWI=', 'YWJj', 'a', '+', '-')), (text) => {
        const parsed = parseUploadChecksum(text)
        if (parsed === undefined) return
        expect(formatUploadChecksum(parsed).toLowerCase().trimEnd()).toBe(text.trim().toLowerCase())
        expect(parsed.digest.length).toBeGreaterThan(0)
      }),
      runs(1000),
    )
  })

  test('a Trailer header announces it in any case and place, and nothing throws', () => {
    const name = fc.mixedCase(fc.constant('upload-checksum'))
    const others = fc.array(fc.stringMatching(/^[a-zA-Z-]{1,10}$/))
    fc.assert(
      fc.property(name, others, others, (mine, before, after) =>
        expect(announcesChecksum([...before, mine, ...after].join(', '))).toBe(true),
      ),
    )
    fc.assert(
      fc.property(fc.oneof(anything, fc.constant(undefined)), (text) => {
        const announced = announcesChecksum(text)
        if (announced) expect(text?.toLowerCase()).toContain('upload-checksum')
      }),
    )
  })

  test.each([
    ['a long digest', 'sha1 '.padEnd(1_000_000, 'A')],
    ['a long algorithm', 'a'.repeat(1_000_000)],
    ['many spaces', ' '.repeat(1_000_000)],
    ['many of them', 'sha1 '.repeat(200_000)],
  ])('%s: dealt with in no time', (_name, text) => {
    const start = performance.now()
    parseUploadChecksum(text)
    announcesChecksum(text)
    expect(performance.now() - start).toBeLessThan(5000)
  })
})

describe('Upload-Concat', () => {
  const url = fc.oneof(
    fc.webUrl({ withQueryParameters: true, withFragments: true }).filter((text) => /^[\x21-\x7e]+$/.test(text)),
    fc.stringMatching(/^[\x21-\x7e]{1,30}$/),
  )
  const concat = fc.oneof(
    fc.constant({ kind: 'partial' } as const),
    fc.record({ kind: fc.constant('final' as const), urls: fc.array(url, { minLength: 1 }) }),
  )

  test('what is written is read back', () => {
    fc.assert(fc.property(concat, (value) => expect(parseUploadConcat(formatUploadConcat(value))).toEqual(value)))
  })

  test('more spaces than needed make no difference', () => {
    const spaces = fc.stringMatching(/^ {1,3}$/)
    const spaced = fc.array(fc.tuple(url, spaces), { minLength: 1 })
    fc.assert(
      fc.property(fc.constantFrom('', ' '), spaced, (before, pairs) => {
        const parsed = parseUploadConcat(`final;${before}${pairs.flat().join('')}`)
        expect(parsed).toEqual({ kind: 'final', urls: pairs.map(([each]) => each) })
      }),
    )
  })

  test('no input makes the parser throw, and no URL is lost or made up', () => {
    fc.assert(
      fc.property(fc.oneof(anything, piecesOf('partial', 'final', 'final;', '/files/a', 'https://x/b?c#d')), (text) => {
        const parsed = parseUploadConcat(text)
        if (parsed?.kind === 'partial') expect(text.trim()).toBe('partial')
        if (parsed?.kind !== 'final') return
        expect(text.trim().startsWith('final;')).toBe(true)
        expect(parsed.urls).toEqual(text.trim().slice('final;'.length).trim().split(/ +/))
        for (const each of parsed.urls) expect(each).toMatch(/^[\x21-\x7e]+$/)
      }),
      runs(1000),
    )
  })

  test.each([
    ['many URLs', `final;${'/files/a '.repeat(100_000)}b`, true],
    ['many spaces', `final;a${' '.repeat(100_000)}b`, true],
    ['many spaces before the end', `final;${'a '.repeat(50_000)}\0`, false],
    ['many spaces and nothing else', `final;${' '.repeat(100_000)}\0`, false],
  ] as const)('%s are dealt with in no time', (_name, text, valid) => {
    const start = performance.now()
    expect(parseUploadConcat(text) !== undefined).toBe(valid)
    expect(performance.now() - start).toBeLessThan(5000)
  })
})

describe('URLs of uploads', () => {
  const id = fc.stringMatching(/^[A-Za-z0-9_-]{1,200}$/)

  test('an id is found again in the URLs that are made of it', () => {
    const base = fc.oneof(
      fc.constantFrom('', '/', '/files/', '/a/b/', './', '../up/'),
      fc.webUrl().map((url) => `${url}/`),
    )
    const end = fc.constantFrom('', '/', '?a=b', '?a=/b/c', '#x/y', '/?x#/y')
    fc.assert(fc.property(base, id, end, (before, name, after) => expect(idOfUrl(before + name + after)).toBe(name)))
    fc.assert(
      fc.property(id, fc.constantFrom('', '/', '?x=/y'), (name, after) =>
        expect(routeOf(`/files/${name}${after}`, '/files')).toEqual({ kind: 'upload', id: name }),
      ),
    )
  })

  test('nothing throws, and what is found is an id', () => {
    const nearly = piecesOf('/files', '/', '..', '%2e', '%', '?', '#', 'abc', 'https://', '\\')
    fc.assert(
      fc.property(fc.oneof(anything, nearly), (text) => {
        const found = idOfUrl(text)
        if (found !== undefined) expect(isUploadId(found)).toBe(true)
        const route = routeOf(text, '/files')
        if (route?.kind === 'upload') expect(route.id).not.toMatch(/[/?]/)
      }),
      runs(1000),
    )
  })
})

describe('the content type of a chunk', () => {
  test('is the same in any case, with any parameters and white space around it', () => {
    const parameters = fc.oneof(
      fc.constant(''),
      headerText.map((text) => `;${text}`),
    )
    fc.assert(
      fc.property(
        fc.mixedCase(fc.constant(CHUNK_TYPE)),
        fc.stringMatching(/^[ \t]{0,3}$/),
        parameters,
        (type, space, rest) => expect(isChunkType(`${space}${type}${space}${rest}`)).toBe(true),
      ),
    )
  })

  test('is no other one, and nothing throws', () => {
    fc.assert(
      fc.property(fc.oneof(anything, piecesOf('application', 'offset', '+', 'octet-stream', CHUNK_TYPE)), (text) => {
        if (isChunkType(text)) expect(text.split(';')[0]?.trim().toLowerCase()).toBe(CHUNK_TYPE)
      }),
    )
    expect(isChunkType(undefined)).toBe(false)
  })
})

describe('the headers of a request', () => {
  test('of any kind make nothing throw, and X-HTTP-Method-Override takes the place of the method', () => {
    const value = fc.oneof(anything, fc.array(anything), fc.constant(undefined))
    fc.assert(
      fc.property(fc.dictionary(anything, value), fc.oneof(anything, fc.constant(undefined)), (headers, override) => {
        for (const [name, text] of Object.entries(normalizeHeaders(headers))) {
          expect(name).toBe(name.toLowerCase())
          expect(typeof text).toBe('string')
        }
        expect(methodOf('GET', override)).toBe((override?.trim() || 'GET').toUpperCase())
      }),
    )
  })

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
