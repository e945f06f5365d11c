// What fast-check puts into requests: paths in every encoding, headers with the values that they may have and those that
// they may not.
import fc from 'fast-check'
import type { Draft } from './fuzz-requests.js'

const latin1 = fc.string({ unit: fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code)) })
/** Anything at all. */
export const anyByte = fc.string({ unit: fc.integer({ min: 0, max: 0xff }).map((code) => String.fromCharCode(code)) })
const long = fc.nat(20_000).map((size) => 'a'.repeat(size))

const integer = fc.oneof(
  fc.nat(40).map(String),
  fc.constantFrom('-1', '+5', '1e3', '0x10', '05', '9007199254740991', '9007199254740992', '99999999999999999999'),
  fc.constantFrom('', ' ', '5, 5', '5;', '٥', 'NaN', 'Infinity', '1.0', '5 5'),
)
const base64 = fc.oneof(
  fc.base64String({ maxLength: 80 }),
  fc.constantFrom('', '=', 'Y', 'YQ', 'YQ=', 'Y!==', '====', 'a a'),
)
const key = fc.oneof(
  fc.constantFrom('filename', 'filetype', '__proto__', 'constructor', 'infected', 'a', '\xe4', '=', '"', ';'),
  fc.nat(3000).map(String),
)
const pair = fc.tuple(key, base64).map(([name, value]) => `${name} ${value}`)
const metadata = fc.oneof(
  { weight: 3, arbitrary: fc.array(pair, { maxLength: 4 }).map((pairs) => pairs.join(',')) },
  fc.integer({ min: 100, max: 1500 }).map((count) => Array.from({ length: count }, (_, index) => `k${index}`).join()),
  fc.integer({ min: 100, max: 15_000 }).map((size) => `filename ${'QUFB'.repeat(size / 4)}`),
  fc.constantFrom(',', ' ', ',,', 'a,a', 'a  b', 'a b c', ',a', 'a,', 'filename Li4vLi4vZXRjL3Bhc3N3ZA=='),
  latin1,
)
const concat = fc.oneof(
  fc.constantFrom('partial', 'final', 'final;', 'final; ', 'partial;', 'final;/files/', 'final;{0}', 'final;{0} {0}'),
  fc.constantFrom('final;{1} {2}', 'final;http://other.example{0}', 'final;../../etc/passwd', 'final;{0}?a#b  {1}'),
  fc.nat(400).map((count) => `final;${'{0} '.repeat(count)}`),
  latin1,
)
const checksum = fc.oneof(
  fc.constantFrom(
    'sha1',
    'sha1 ',
    'sha1 !',
    'sha3 YQ==',
    'md5 1B2M2Y8AsgTpgAmY7PhCfg==',
    'crc32 AAAAAA==',
    'SHA1 YQ==',
  ),
  fc.tuple(fc.constantFrom('sha1', 'sha256', 'sha512', 'md5', 'crc32'), base64).map((parts) => parts.join(' ')),
  latin1,
)
const range = fc.constantFrom(
  'bytes=0-',
  'bytes=-1',
  'bytes=5-2',
  'bytes=0-0,2-2',
  'bytes=99999-',
  'lines=1',
  'bytes=a-b',
)
const method = fc.constantFrom(
  'GET',
  'HEAD',
  'POST',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'PUT',
  'TRACE',
  'PROPFIND',
  'SEARCH',
)

/** Values of headers, each after its kind. */
const VALUES: Readonly<Record<string, fc.Arbitrary<string>>> = {
  'Tus-Resumable': fc.constantFrom('1.0.0', '0.2.2', '1.0.0, 1.0.0', '', '1'),
  'Content-Type': fc.constantFrom('application/offset+octet-stream', 'text/plain', 'application/json', ';', 'a/b; c="'),
  'Upload-Offset': integer,
  'Upload-Length': integer,
  'Upload-Defer-Length': fc.constantFrom('1', '0', '', 'true', '1, 1'),
  'Upload-Metadata': metadata,
  'Upload-Concat': concat,
  'Upload-Checksum': checksum,
  'X-HTTP-Method-Override': fc.oneof(method, fc.constantFrom('', ' patch ', 'PATCH, POST', '__proto__')),
  Range: range,
  'If-None-Match': fc.constantFrom('*', '"a"', 'W/"a"', 'a'),
  'If-Range': fc.constantFrom('"a"', 'Wed, 21 Oct 2015 07:28:00 GMT', 'x'),
  'If-Match': fc.constantFrom('*', '"a"'),
  Origin: fc.constantFrom('https://app.example', 'null', '*', ''),
  'Access-Control-Request-Method': method,
  'Access-Control-Request-Headers': latin1,
  'X-Forwarded-Host': fc.constantFrom('evil.example', 'a b', '"'),
  'X-Forwarded-Proto': fc.constantFrom('https', 'javascript'),
  'Content-Encoding': fc.constantFrom('gzip', 'identity', 'x'),
  'Content-Disposition': latin1,
  'X-Refuse': fc.constant('1'),
  Cookie: latin1,
  // These say how the message is to be read.
  'Content-Length': integer,
  'Transfer-Encoding': fc.constantFrom(
    'chunked',
    'identity',
    'gzip, chunked',
    'chunked, chunked',
    ' chunked',
    'xchunked',
  ),
  Connection: fc.constantFrom('close', 'keep-alive', 'Upgrade', 'Upload-Offset', ''),
  Expect: fc.constantFrom('100-continue', '200-ok', ''),
  Upgrade: fc.constantFrom('websocket', 'h2c', 'tus/2'),
  Host: fc.constantFrom('', 'a b', 'localhost', 'evil.example:99999', '[::1', '@'),
  Trailer: fc.constantFrom('Upload-Checksum', 'Content-Length'),
  'HTTP2-Settings': fc.constant('AAMAAABkAAQAAP__'),
}
/** The headers that mean something to somebody. */
export const NAMES = Object.keys(VALUES)
const token = fc.oneof(
  fc.constantFrom(...NAMES),
  fc.constantFrom('x', 'X-Y', '__proto__', 'constructor', 'a b', '', ':', '\xe4'),
)
/** A header. */
export const field = fc
  .oneof(
    {
      weight: 12,
      arbitrary: fc.constantFrom(...NAMES).chain((name) => fc.tuple(fc.constant(name), VALUES[name] ?? latin1)),
    },
    { weight: 2, arbitrary: fc.tuple(token, latin1) },
    { weight: 1, arbitrary: fc.tuple(token, fc.oneof(anyByte, long)) },
  )
  .map(([name, value]) => ({ name, value }))

const SEGMENTS = [
  'files',
  '{0}',
  '{1}',
  '..',
  '.',
  '',
  '%2e%2e',
  '%2E.',
  '%252e%252e',
  '%c0%ae%c0%ae',
  '%00',
  '%',
  '%zz',
  '%2f',
]
const MORE_SEGMENTS = [
  '..%2f..',
  '..\\..',
  '%5c..%5c',
  '.resumable-upload',
  'uploads.sqlite',
  'secret.txt',
  '\xe9',
  '%e9',
  '%F0%9F%92%A9',
  ';a=1',
  '~',
  ':',
  '@',
  '*',
  '__proto__',
]
const segment = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...SEGMENTS, ...MORE_SEGMENTS) },
  fc.webPath({ size: 'small' }).map((path) => path.slice(1)),
  latin1.map((text) => text.replace(/ /g, '+')),
  latin1.map(encodeURIComponent),
  fc.constant('a'.repeat(250)),
  fc.constant('a'.repeat(9000)),
)
const path = fc
  .tuple(
    fc.constantFrom('/files/', '/files/', '/files', '/', '//files/', '/FILES/', '/files/../files/'),
    fc.array(segment, { maxLength: 4 }),
  )
  .map(([prefix, segments]) => `${prefix}${segments.join('/')}`)
/** What stands after the method. `{0}` is the path of the first upload, `{percent 0}` the same in percent signs. */
export const target = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      '{0}/',
      '{0}?a=b',
      '{0}#c',
      '{0}//',
      '{0}/x',
      '/files',
      '/files/',
      '/files?x',
      '{percent 0}',
      '{0}%00',
      '{0}%20',
    ),
  },
  { weight: 3, arbitrary: path },
  { weight: 1, arbitrary: fc.tuple(path, fc.webQueryParameters()).map(([one, query]) => `${one}?${query}`) },
  { weight: 1, arbitrary: path.map((one) => `http://evil.example${one}`) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '*',
      'http://evil.example',
      'localhost:80',
      'files',
      '?',
      '#',
      'file:///etc/passwd',
      '\\files',
    ),
  },
)
/** How a body says where it ends. */
export const framing: fc.Arbitrary<Draft['framing']> = fc.constantFrom(
  'length',
  'chunks',
  'none',
  'too short',
  'too long',
  'bad chunks',
  'length and chunks',
)
/** What stands after the target. */
export const version = fc.constantFrom('HTTP/1.0', 'HTTP/1.1', 'HTTP/2.0', 'HTTP/1.2', 'HTTP/0.9', 'ICE/1.0', '')
/** A method, known or not. */
export const anyMethod = fc.oneof(
  { weight: 4, arbitrary: method },
  fc.constantFrom('CONNECT', 'patch', 'PRI', 'M-SEARCH', 'SOURCE', '', 'G\0T'),
  latin1,
)
