// The expiration extension (rule 19).

import type { Case, Expect } from './case.js'
import {
  create,
  createDeferred,
  created,
  createWith,
  forEach,
  head,
  options,
  patch,
  standsAt,
  step,
  storedUpTo,
  terminate,
} from './requests.js'

const HOUR = 3_600_000
const CLOCK = Date.UTC(2026, 10, 22)
const AT_ONE = 'Sun, 22 Nov 2026 01:00:00 GMT'
const AT_HALF_PAST_ONE = 'Sun, 22 Nov 2026 01:30:00 GMT'

/** Unfinished uploads expire after an hour, and are remembered for a day. */
const hourly = { clock: CLOCK, options: { expiration: { unfinishedAfterMs: HOUR, rememberMs: 24 * HOUR } } } as const

function expiring(expect: Expect, at: string | null): Expect {
  return { ...expect, headers: { ...expect.headers, 'Upload-Expires': at } }
}

const gone = { status: 410, headers: { 'Upload-Offset': null, 'Upload-Length': null } }
const forgotten = { status: 404, headers: { 'Upload-Offset': null, 'Upload-Length': null } }

export const expiration: readonly Case[] = [
  {
    title: 'MUST 19: OPTIONS advertises expiration where uploads expire',
    ...hourly,
    steps: [step(options(), { status: 204, headers: { 'Tus-Extension': /(^|,)expiration(,|$)/ } })],
  },
  {
    title: 'MUST 19: OPTIONS does not advertise expiration where they do not',
    steps: [step(options(), { status: 204, headers: { 'Tus-Extension': /^((?!expiration).)*$/ } })],
  },
  {
    title: 'MUST 19: the answer to a creation tells when the upload expires, as an HTTP date',
    ...hourly,
    steps: [
      step(create(5), expiring(created, AT_ONE)),
      step(createDeferred(), expiring(created, AT_ONE)),
      step(createWith('hel', { 'Upload-Length': '5' }), expiring(created, AT_ONE)),
    ],
  },
  {
    title: 'MUST 19: the answer to every PATCH tells when the upload expires, and each puts it off',
    ...hourly,
    steps: [
      step(create(5), created),
      step(patch(0, 'h'), expiring(storedUpTo(1), AT_ONE)),
      { passMs: HOUR / 2 },
      step(patch(1, 'el', {}, { chunked: true }), expiring(storedUpTo(3), AT_HALF_PAST_ONE)),
      { passMs: HOUR - 1 },
      standsAt(3, 5),
      step(patch(3, 'lo'), storedUpTo(5)),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 19: the answer to a PATCH that is refused tells it as well',
    ...hourly,
    steps: [
      step(create(5), created),
      step(patch(0, 'he'), expiring(storedUpTo(2), AT_ONE)),
      step(patch(1, 'llo'), expiring({ status: 409 }, AT_ONE)),
      step(patch(2, 'llo!'), expiring({ status: 413 }, AT_ONE)),
      step(patch(2, 'llo!', {}, { chunked: true }), expiring({ status: 413 }, AT_ONE)),
      step(patch(2, 'llo', { 'Upload-Length': '6' }), expiring({ status: 400 }, AT_ONE)),
      step(patch(2, 'llo', { 'Upload-Checksum': 'sha1 AAAA' }), expiring({ status: 460 }, AT_ONE)),
      step(patch(2, 'llo', { 'Upload-Checksum': 'sha3 AAAA' }), expiring({ status: 400 }, AT_ONE)),
      standsAt(2, 5),
    ],
  },
  {
    title: 'MAY 19: HEAD tells when the upload expires',
    ...hourly,
    steps: [
      step(create(5), created),
      { passMs: HOUR / 2 },
      step(head(), { status: 200, headers: { 'Upload-Expires': AT_ONE } }),
      step(patch(0, 'hel'), storedUpTo(3)),
      step(head(), { status: 200, headers: { 'Upload-Expires': AT_HALF_PAST_ONE } }),
    ],
  },
  {
    title: 'MUST 19: there is no Upload-Expires where uploads do not expire',
    steps: [
      step(create(5), expiring(created, null)),
      step(patch(0, 'hel'), expiring(storedUpTo(3), null)),
      step(head(), { status: 200, headers: { 'Upload-Expires': null } }),
    ],
  },
  {
    title: 'MUST 19: a finished upload does not expire unless asked',
    ...hourly,
    steps: [
      step(create(5), created),
      step(patch(0, 'hello'), expiring(storedUpTo(5), null)),
      { passMs: 1000 * HOUR },
      { cleanUp: 0 },
      step(head(), { status: 200, headers: { 'Upload-Offset': '5', 'Upload-Expires': null } }),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MAY 19: a finished upload expires where asked',
    clock: CLOCK,
    options: { expiration: { unfinishedAfterMs: HOUR, finishedAfterMs: 1.5 * HOUR } },
    steps: [
      step(create(5), expiring(created, AT_ONE)),
      step(patch(0, 'hello'), expiring(storedUpTo(5), AT_HALF_PAST_ONE)),
      { passMs: 1.25 * HOUR },
      { cleanUp: 0 },
      standsAt(5, 5),
      { passMs: HOUR / 4 },
      step(head(), gone),
      { cleanUp: 1 },
      step(head(), gone),
    ],
  },
  {
    title: 'MAY 19: a finished upload whose hook has not succeeded does not expire, and is told no time',
    clock: CLOCK,
    options: {
      expiration: { unfinishedAfterMs: HOUR, finishedAfterMs: HOUR },
      completion: 'background',
      onUploadComplete: () => new Promise(() => {}),
    },
    steps: [
      step(create(5), expiring(created, AT_ONE)),
      step(patch(0, 'hello'), expiring(storedUpTo(5), null)),
      { passMs: 100 * HOUR },
      step(head(), { status: 200, headers: { 'Upload-Offset': '5', 'Upload-Expires': null } }),
      { stored: 'hello' },
    ],
  },
  {
    title: 'SHOULD 19: an upload that has expired is answered by 410, removed or not, and by 404 once it is forgotten',
    ...hourly,
    steps: [
      step(create(5), created),
      step(patch(0, 'hel'), storedUpTo(3)),
      { passMs: HOUR - 1 },
      standsAt(3, 5),
      { passMs: 1 },
      step(head(), gone),
      step(patch(3, 'lo'), gone),
      { cleanUp: 1 },
      step(head(), gone),
      step(patch(3, 'lo'), gone),
      step(terminate(), gone),
      { passMs: 24 * HOUR },
      step(head(), forgotten),
      step(patch(3, 'lo'), forgotten),
      step(terminate(), forgotten),
    ],
  },
  ...forEach([409, 413, 415, 400], 'SHOULD 19: a request that is refused puts nothing off', (status) => [
    step(create(5), created),
    step(
      {
        409: patch(3, 'lo'),
        413: patch(0, 'hello!'),
        415: patch(0, 'hello', { 'Content-Type': 'text/plain' }),
        400: patch('x', 'hello'),
      }[status] ?? head(),
      { status },
    ),
    { passMs: HOUR },
    step(head(), gone),
  ]).map((testCase) => ({ ...testCase, ...hourly })),
  {
    title: 'SHOULD 19: an upload whose connection broke expires after what it brought',
    ...hourly,
    steps: [
      step(create(5), created),
      { passMs: HOUR / 2 },
      step(patch(0, 'hel', {}, { contentLength: '5', cut: true }), { status: 400 }),
      step(head(), { status: 200, headers: { 'Upload-Offset': '3', 'Upload-Expires': AT_HALF_PAST_ONE } }),
    ],
  },
  {
    title: 'SHOULD 19: removing those that have expired leaves the others alone',
    ...hourly,
    steps: [
      step(create(5, {}, { as: 'old' }), created),
      { passMs: HOUR / 2 },
      step(create(5, {}, { as: 'young' }), created),
      step(patch(0, 'hel', {}, { path: '{young}' }), storedUpTo(3)),
      { passMs: HOUR / 2 },
      { cleanUp: 1 },
      step(head('{old}'), gone),
      step(patch(3, 'lo', {}, { path: '{young}' }), storedUpTo(5)),
      { stored: 'hello', of: 'young' },
    ],
  },
]
