// Upload-Offset and Upload-Length (rule 1).

import type { Case } from './case.js'
import {
  create,
  createDeferred,
  created,
  forEach,
  patch,
  post,
  refused,
  standsAt,
  step,
  storedUpTo,
} from './requests.js'

const NO_INTEGERS = [
  '',
  '+5',
  '-1',
  '-0',
  '5.0',
  '5.',
  '.5',
  '1e3',
  '0x1',
  '0b1',
  '0o7',
  '1_000',
  '1,000',
  '5 5',
  '5;',
  '5 bytes',
  'five',
  'NaN',
  'Infinity',
  'null',
  'true',
  '\u00b2',
  '9007199254740992',
  '9007199254740993',
  '10000000000000000',
  '99999999999999999999',
  '1'.repeat(400),
  ['5', '5'],
  ['0', '5'],
] as const

export const integers: readonly Case[] = [
  ...forEach(NO_INTEGERS, 'MUST 1: Upload-Length of a POST is a non-negative integer', (value) => [
    step(post({ 'Upload-Length': value }), { ...refused(400), headers: { Location: null } }),
  ]),
  ...forEach(NO_INTEGERS, 'MUST 1: Upload-Offset is a non-negative integer', (value) => [
    step(create(5), created),
    step(patch(0, 'hello', { 'Upload-Offset': value }), refused(400)),
    standsAt(0, 5),
  ]),
  ...forEach(NO_INTEGERS, 'MUST 1: Upload-Length of a PATCH is a non-negative integer', (value) => [
    step(createDeferred(), created),
    step(patch(0, 'hello', { 'Upload-Length': value }), refused(400)),
    standsAt(0),
  ]),
  {
    title: 'MUST 1: a PATCH without Upload-Offset is refused',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello', { 'Upload-Offset': undefined }), refused(400)),
      standsAt(0, 5),
    ],
  },
  {
    title: 'MUST 1: the largest length is 2^53-1',
    steps: [step(create(Number.MAX_SAFE_INTEGER), created), standsAt(0, Number.MAX_SAFE_INTEGER)],
  },
  {
    title: 'MAY 1: leading zeros are digits like others',
    steps: [
      step(post({ 'Upload-Length': '007' }), created),
      standsAt(0, 7),
      step(patch('000', 'hel'), storedUpTo(3)),
      step(patch('0000000000000000000000000003', 'lo'), storedUpTo(5)),
      standsAt(5, 7),
    ],
  },
]
