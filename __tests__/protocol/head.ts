// HEAD (rules 7, 8).

import { TusError } from '../../src/errors.js'
import type { Case } from './case.js'
import {
  create,
  createDeferred,
  created,
  forEach,
  head,
  patch,
  standsAt,
  step,
  storedUpTo,
  terminate,
} from './requests.js'

/** What can't be an id, in every disguise. None of it may lead anywhere. */
const NO_IDS = [
  '/files/..',
  '/files/.',
  '/files/%2e%2e',
  '/files/%2E%2E%2f%2E%2E%2Fetc%2Fpasswd',
  '/files/..%2f..%2fetc%2fpasswd',
  '/files/..%5c..%5cwindows',
  '/files/..\\..\\windows',
  '/files/%252e%252e%252f',
  '/files/%00',
  '/files/a%00b',
  '/files/a%20b',
  '/files/a.b',
  '/files/a:b',
  '/files/~root',
  '/files/%C3%A9',
  '/files/%ff',
  '/files/%',
  '/files/%zz',
  '/files/.resumable-upload',
  '/files/..;/',
  `/files/${'a'.repeat(201)}`,
  `/files/${'a'.repeat(5000)}`,
] as const

/** What could be ids, and are the names of other things. */
const UNKNOWN_IDS = [
  '/files/0123456789abcdef',
  '/files/__proto__',
  '/files/constructor',
  '/files/toString',
  '/files/-',
] as const

const missing = { status: 404, headers: { 'Upload-Offset': null, 'Upload-Length': null, 'Cache-Control': 'no-store' } }

export const headMethod: readonly Case[] = [
  {
    title: 'MUST 7: Upload-Offset is there at zero, in the middle, and at the end',
    steps: [
      step(create(11), created),
      standsAt(0, 11),
      step(patch(0, 'hello'), storedUpTo(5)),
      standsAt(5, 11),
      step(patch(5, ' world'), storedUpTo(11)),
      standsAt(11, 11),
    ],
  },
  {
    title: 'MUST 7: Upload-Offset and Upload-Length are there for an upload of no bytes',
    steps: [step(create(0), created), standsAt(0, 0)],
  },
  {
    title: 'MUST 7: Upload-Length is there as soon as it is known',
    steps: [
      step(createDeferred(), created),
      standsAt(0),
      step(patch(0, 'hello', { 'Upload-Length': '11' }), storedUpTo(5)),
      standsAt(5, 11),
    ],
  },
  {
    title: 'MUST 7: no answer may be cached',
    steps: [
      step(create(5), created),
      step(head(), { status: 200, headers: { 'Cache-Control': 'no-store' } }),
      step(head('/files/unknown'), { status: 404, headers: { 'Cache-Control': 'no-store' } }),
      step(head('{upload}', { 'Tus-Resumable': '0.1' }), { status: 412, headers: { 'Cache-Control': 'no-store' } }),
    ],
  },
  {
    title: 'MUST 7: conditions of a cache change nothing',
    steps: [
      step(create(5), created),
      step(head('{upload}', { 'If-None-Match': '*' }), { status: 200, headers: { 'Upload-Offset': '0' } }),
      step(head('{upload}', { 'If-Modified-Since': 'Fri, 01 Jan 2100 00:00:00 GMT' }), {
        status: 200,
        headers: { 'Upload-Offset': '0' },
      }),
    ],
  },
  {
    title: 'SHOULD 7: the answer is empty, without a content type and an entity tag',
    steps: [
      step(create(5), created),
      step(head(), { status: 200, headers: { 'Content-Type': null, ETag: null, 'Upload-Metadata': null } }),
    ],
  },
  {
    title: 'SHOULD 7: asking changes nothing',
    steps: [
      step(create(5), created),
      step(patch(0, 'hel'), storedUpTo(3)),
      standsAt(3, 5),
      standsAt(3, 5),
      step(patch(3, 'lo'), storedUpTo(5)),
      { stored: 'hello' },
    ],
  },
  ...forEach(UNKNOWN_IDS, 'SHOULD 8: an unknown upload is answered by 404 without Upload-Offset', (path) => [
    step(head(path), missing),
  ]),
  ...forEach(NO_IDS, 'SHOULD 8: what can not be an id is answered by 404 without Upload-Offset', (path) => [
    step(head(path), missing),
    step(patch(0, 'x', {}, { path }), { status: 404, headers: { 'Upload-Offset': null } }),
    step(terminate(path), { status: 404 }),
  ]),
  {
    title: 'SHOULD 8: a terminated upload is answered by 404 without Upload-Offset',
    steps: [step(create(5), created), step(terminate(), { status: 204 }), step(head(), missing)],
  },
  {
    title: 'SHOULD 8: an upload that the application keeps from a client is answered by 403 without Upload-Offset',
    options: {
      onIncomingRequest: ({ request, upload }) => {
        if (upload !== undefined && request.headers['x-user'] !== 'ann') throw new TusError('ERR_FORBIDDEN')
      },
    },
    steps: [
      step(create(5), created),
      step(head('{upload}', { 'X-User': 'bob' }), { ...missing, status: 403 }),
      step(patch(0, 'hello', { 'X-User': 'bob' }), { status: 403, headers: { 'Upload-Offset': null } }),
      step(terminate('{upload}', { 'X-User': 'bob' }), { status: 403 }),
      step(patch(0, 'hello', { 'X-User': 'ann' }), storedUpTo(5)),
      step(head('{upload}', { 'X-User': 'ann' }), { status: 200, headers: { 'Upload-Offset': '5' } }),
      { stored: 'hello' },
    ],
  },
  {
    title: 'SHOULD 8: the collection has no offset',
    steps: [
      step(head('/files'), { status: 405, passedOn: true, headers: { 'Upload-Offset': null } }),
      step(head('/files/'), { status: 405, passedOn: true, headers: { 'Upload-Offset': null } }),
    ],
  },
]
