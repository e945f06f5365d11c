// OPTIONS (rules 4, 5, 13 and what each extension advertises).

import { TusError } from '../../src/errors.js'
import type { Case } from './case.js'
import { create, created, forEach, options, patch, refused, step, storedUpTo } from './requests.js'

const described = { status: 204, headers: { 'Tus-Version': /^1\.0\.0(,[0-9.]+)*$/ } }

export const optionsMethod: readonly Case[] = [
  {
    title: 'MUST 13: OPTIONS is answered with Tus-Version',
    steps: [step(options(), described), step(options('/files/'), described)],
  },
  {
    title: 'MUST 13: OPTIONS of an upload is answered too, whether it is there or not',
    steps: [
      step(create(5), created),
      step(options('{upload}'), described),
      step(options('/files/0123456789abcdef'), described),
    ],
  },
  ...forEach(['0.2.2', '', 'nonsense', '1.0.0'], 'MUST 13: OPTIONS ignores Tus-Resumable', (version) => [
    step(options('/files', { 'Tus-Resumable': version }), described),
  ]),
  {
    title: 'MUST 4: Tus-Version and Tus-Extension are lists with commas and nothing between',
    steps: [
      step(options(), {
        status: 204,
        headers: { 'Tus-Version': /^[^\s,]+(,[^\s,]+)*$/, 'Tus-Extension': /^[a-z-]+(,[a-z-]+)*$/ },
      }),
    ],
  },
  ...(
    [
      [14, 'creation'],
      [15, 'creation-defer-length'],
      [18, 'creation-with-upload'],
      [22, 'termination'],
    ] as const
  ).map(([rule, extension]) => ({
    title: `MUST ${rule}: OPTIONS advertises ${extension}`,
    steps: [step(options(), { status: 204, headers: { 'Tus-Extension': new RegExp(`(^|,)${extension}(,|$)`) } })],
  })),
  {
    title: 'SHOULD 5: Tus-Max-Size is sent where there is a limit',
    options: { maxSize: 1073741824 },
    steps: [step(options(), { status: 204, headers: { 'Tus-Max-Size': '1073741824' } })],
  },
  {
    title: 'SHOULD 5: Tus-Max-Size is not sent where there is no limit',
    steps: [step(options(), { status: 204, headers: { 'Tus-Max-Size': null } })],
  },
  {
    title: 'SHOULD 5: Tus-Max-Size is not sent where the limit is not the same for all',
    options: { maxSize: ({ headers }) => (headers['x-plan'] === 'free' ? 5 : undefined) },
    steps: [
      step(options(), { status: 204, headers: { 'Tus-Max-Size': null } }),
      step(create(6, { 'X-Plan': 'free' }), refused(413)),
      step(create(6), created),
      step(patch(0, 'hello!', { 'X-Plan': 'free' }), refused(413)),
      step(patch(0, 'hello!'), storedUpTo(6)),
    ],
  },
  {
    title: 'MUST 5: Tus-Max-Size may be zero',
    options: { maxSize: 0 },
    steps: [step(options(), { status: 204, headers: { 'Tus-Max-Size': '0' } })],
  },
  {
    title: 'MUST 13: OPTIONS that is no preflight is one of the requests that the application may refuse',
    options: {
      onIncomingRequest: ({ request, upload }) => {
        if (request.method === 'OPTIONS' && request.headers.authorization !== 'Bearer x') {
          throw new TusError('ERR_UNAUTHORIZED', { headers: { 'X-Length': String(upload?.length) } })
        }
      },
    },
    steps: [
      step(create(5), created),
      step(options(), refused(401)),
      step(options('{upload}'), { status: 401, headers: { 'Tus-Version': null, 'X-Length': '5' } }),
      step(options('/files/unknown'), { status: 401, headers: { 'X-Length': 'undefined' } }),
      step(options('/files', { Origin: 'https://app.example' }), refused(401)),
      step(options('/files', { 'Access-Control-Request-Method': 'POST' }), refused(401)),
      step(options('/files/unknown', { Authorization: 'Bearer x' }), described),
      step(options('/files', { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST' }), described),
    ],
  },
  {
    title: 'SHOULD 13: the answer to OPTIONS is empty',
    steps: [step(options(), { status: 204, headers: { 'Content-Type': null, ETag: null } })],
  },
]
