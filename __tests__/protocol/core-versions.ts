// Tus-Resumable and Tus-Version (rules 2, 3), for every method.

import type { Case, Request, Step } from './case.js'
import {
  create,
  created,
  forEach,
  head,
  patch,
  post,
  refused,
  standsAt,
  step,
  storedUpTo,
  terminate,
} from './requests.js'

const UNSUPPORTED = [
  '',
  '0.2.2',
  '1',
  '1.0',
  '1.0.0.0',
  '1.0.1',
  '2.0.0',
  'v1.0.0',
  '1.0.0, 0.2.2',
  '0.2.2,1.0.0',
  ['1.0.0', '1.0.0'],
  undefined,
] as const

const precondition = { status: 412, headers: { 'Tus-Version': /(^|,)1\.0\.0(,|$)/, 'Upload-Offset': null } }

function without(request: Request, version: string | readonly string[] | undefined): Request {
  return { ...request, headers: { ...request.headers, 'Tus-Resumable': version } }
}

/** Every kind of answer there is; that it carries Tus-Resumable is checked for every step of every case. */
const everyAnswer: readonly Step[] = [
  step(create(5), { ...created, headers: { ...created.headers, 'Tus-Resumable': '1.0.0' } }),
  step(head(), { status: 200, headers: { 'Tus-Resumable': '1.0.0' } }),
  step(patch(0, 'he'), { status: 204, headers: { 'Tus-Resumable': '1.0.0' } }),
  step(patch(0, 'he'), { status: 409, headers: { 'Tus-Resumable': '1.0.0' } }),
  step(patch('x', 'he'), { status: 400, headers: { 'Tus-Resumable': '1.0.0' } }),
  step(patch(2, 'he', { 'Content-Type': 'text/plain' }), { status: 415, headers: { 'Tus-Resumable': '1.0.0' } }),
  step(patch(2, 'more than there is'), { status: 413, headers: { 'Tus-Resumable': '1.0.0' } }),
  step(post({}), { status: 400, headers: { 'Tus-Resumable': '1.0.0' } }),
  step(without(head(), undefined), { status: 412, headers: { 'Tus-Resumable': '1.0.0' } }),
  step(terminate(), { status: 204, headers: { 'Tus-Resumable': '1.0.0' } }),
  step(head(), { status: 404, headers: { 'Tus-Resumable': '1.0.0' } }),
]

export const versions: readonly Case[] = [
  { title: 'MUST 2: every answer carries Tus-Resumable, errors included', steps: everyAnswer },
  ...forEach(UNSUPPORTED, 'MUST 3: a POST of an unsupported version is answered by 412 with Tus-Version', (version) => [
    step(without(create(5), version), { ...precondition, headers: { ...precondition.headers, Location: null } }),
  ]),
  ...forEach(UNSUPPORTED, 'MUST 3: a request of an unsupported version changes nothing', (version) => [
    step(create(5), created),
    step(patch(0, 'he'), storedUpTo(2)),
    step(without(patch(2, 'llo'), version), precondition),
    step(without(terminate(), version), precondition),
    step(without(head(), version), { ...precondition, headers: { ...precondition.headers, 'Upload-Length': null } }),
    standsAt(2, 5),
    { stored: 'he' },
  ]),
  {
    title: 'MUST 3: the version is checked before anything else is',
    steps: [
      step(
        without(patch('x', 'hello', { 'Content-Type': 'text/plain' }, { path: '/files/unknown' }), '0.1'),
        precondition,
      ),
      step(without(post({}), '0.1'), precondition),
    ],
  },
  {
    title: 'MAY 2: the sentence that goes with a refusal is text',
    steps: [step(without(create(5), '0.1'), refused(412))],
  },
]
