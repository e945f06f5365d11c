// Upload-Metadata (rule 17).

import type { Case } from './case.js'
import { create, created, forEach, head, patch, refused, step, storedUpTo } from './requests.js'

const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** Echoed as they are, byte for byte. */
const VALID = [
  'filename aGVsbG8udHh0',
  'is_confidential',
  'is_confidential,filename aGVsbG8udHh0',
  'filename aGVsbG8udHh0,is_confidential',
  // An empty value as tus-js-client sends it: with the space.
  'empty ,filename aGVsbG8udHh0',
  'z YQ==,a YQ==,m YQ==',
  'Key YQ==,key Yg==,KEY Yw==',
  'a YQ==, b Yg==',
  'a YQ== ,b Yg==',
  'a YQ==,\tb Yg==',
  'constructor YQ==',
  '__proto__ YQ==,toString Yg==,hasOwnProperty Yw==,prototype',
  'a/b=c;d:e"f\' YQ==',
  `name ${base64('r\u00e9sum\u00e9 \u2603 \ud83d\ude00.pdf')}`,
  `html ${base64('<script>alert(1)</script>')}`,
  `header ${base64('a\r\nSet-Cookie: x=y')}`,
  `traversal ${base64('../../etc/passwd')}`,
  'bytes AAECA/3+/w==',
  'unpadded YQ',
  'unpadded YWI',
  `long ${base64('x'.repeat(3000))}`,
  `${'k'.repeat(1000)} YQ==`,
  Array.from({ length: 200 }, (_, index) => `key${index} ${base64(String(index))}`).join(','),
  // Keys SHOULD be ASCII: these are not, and are echoed all the same.
  Buffer.from('\u00fcber YQ==').toString('latin1'),
  Buffer.from('\u00e0\u00c0\u00c5 YQ==').toString('latin1'),
] as const

const INVALID = [
  'filename not*base64',
  'filename a',
  'filename YQ=',
  'filename YQ===',
  'filename =YQ=',
  'filename YQ==YQ==',
  'filename Y-_=',
  'filename YQ== extra',
  'filename  YQ==',
  'filename\tYQ==',
  'filename YQ==,filename Yg==',
  'filename,filename',
  'filename,filename YQ==',
  '__proto__ YQ==,__proto__ Yg==',
  'constructor,constructor',
  ',',
  ',filename YQ==',
  'filename YQ==,',
  'filename YQ==,,other Yg==',
  'filename YQ==, ,other Yg==',
] as const

export const metadata: readonly Case[] = [
  ...forEach(VALID, 'MUST 17: metadata is echoed as the client sent it', (value) => [
    step(create(5, { 'Upload-Metadata': value }), created),
    step(head(), { status: 200, headers: { 'Upload-Metadata': value } }),
  ]),
  ...forEach(INVALID, 'MUST 17: malformed metadata is refused', (value) => [
    step(create(5, { 'Upload-Metadata': value }), { ...refused(400), headers: { Location: null } }),
  ]),
  {
    title: 'MUST 17: the value and the space before it are optional at the end, too',
    steps: [
      step(create(5, { 'Upload-Metadata': 'filename aGVsbG8udHh0,empty ' }), created),
      // HTTP itself drops the space at the end of a header.
      step(head(), { status: 200, headers: { 'Upload-Metadata': /^filename aGVsbG8udHh0,empty ?$/ } }),
    ],
  },
  {
    title: 'MUST 17: metadata that comes in several headers is one list',
    steps: [
      step(create(5, { 'Upload-Metadata': ['a YQ==', 'b Yg=='] }), created),
      step(head(), { status: 200, headers: { 'Upload-Metadata': 'a YQ==, b Yg==' } }),
      step(create(5, { 'Upload-Metadata': ['a YQ==', 'a Yg=='] }), refused(400)),
    ],
  },
  {
    title: 'MUST 17: metadata stays as it is while the upload goes on',
    steps: [
      step(create(5, { 'Upload-Metadata': 'b Yg==,a YQ==' }), created),
      step(patch(0, 'hello', { 'Upload-Metadata': 'c Yw==' }), storedUpTo(5)),
      step(head(), { status: 200, headers: { 'Upload-Metadata': 'b Yg==,a YQ==' } }),
    ],
  },
  {
    title: 'MUST 17: no metadata, no header',
    steps: [step(create(5), created), step(head(), { status: 200, headers: { 'Upload-Metadata': null } })],
  },
  {
    title: 'MAY 17: an empty header is no metadata',
    steps: [
      step(create(5, { 'Upload-Metadata': '' }), created),
      step(head(), { status: 200, headers: { 'Upload-Offset': '0' } }),
    ],
  },
]
