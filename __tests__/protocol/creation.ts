// The creation extension (rules 14, 16).

import type { Case } from './case.js'
import {
  create,
  createDeferred,
  created,
  createWith,
  forEach,
  head,
  patch,
  post,
  refused,
  standsAt,
  step,
  storedUpTo,
} from './requests.js'

const nothingCreated = { ...refused(400), headers: { Location: null } }

export const creation: readonly Case[] = [
  {
    title: 'MUST 16: an upload is created at a Location below the collection',
    steps: [
      step(create(5), {
        ...created,
        headers: { ...created.headers, 'Content-Type': null, ETag: null, 'Upload-Offset': null },
      }),
      standsAt(0, 5),
    ],
  },
  {
    title: 'MUST 16: each upload has a Location of its own',
    steps: [
      step(create(5, {}, { as: 'a' }), created),
      step(create(7, {}, { as: 'b' }), created),
      step(patch(0, 'hello', {}, { path: '{a}' }), storedUpTo(5)),
      step(head('{b}'), { status: 200, headers: { 'Upload-Offset': '0', 'Upload-Length': '7' } }),
      step(head('{a}'), { status: 200, headers: { 'Upload-Offset': '5', 'Upload-Length': '5' } }),
    ],
  },
  {
    title: 'MUST 16: an id that is taken is refused, and nothing of its upload is overwritten',
    options: { generateId: () => 'same' },
    steps: [
      step(create(5, { 'Upload-Metadata': 'a YQ==' }), created),
      step(patch(0, 'hel'), storedUpTo(3)),
      step(create(7), { ...refused(409), headers: { Location: null } }),
      step(createWith('X', { 'Upload-Length': '1' }), { ...refused(409), headers: { Location: null } }),
      step(head(), {
        status: 200,
        headers: { 'Upload-Offset': '3', 'Upload-Length': '5', 'Upload-Metadata': 'a YQ==' },
      }),
      { stored: 'hel' },
    ],
  },
  {
    title: 'MAY 16: Location has scheme and host where asked',
    options: { absoluteLocation: true },
    steps: [
      step(create(5), { status: 201, headers: { Location: /^http:\/\/[^/]+\/files\/[A-Za-z0-9_-]+$/ } }),
      step(patch(0, 'hello'), storedUpTo(5)),
      standsAt(5, 5),
    ],
  },
  {
    title: 'MAY 16: Location is below another URL where asked',
    options: { publicUrl: 'https://cdn.example/up/' },
    steps: [step(create(5), { status: 201, headers: { Location: /^https:\/\/cdn\.example\/up\/[A-Za-z0-9_-]+$/ } })],
  },
  {
    title: 'MUST 14: an upload of length 0 is complete at once',
    steps: [
      step(create(0), { ...created, headers: { ...created.headers, 'Upload-Offset': '0' } }),
      standsAt(0, 0),
      step(patch(0), storedUpTo(0)),
      step(patch(0, 'x'), refused(413)),
      { stored: '' },
    ],
  },
  {
    title: 'MUST 14: neither Upload-Length nor Upload-Defer-Length is refused',
    steps: [step(post({}), nothingCreated)],
  },
  {
    title: 'MUST 14: both Upload-Length and Upload-Defer-Length are refused',
    steps: [
      step(create(5, { 'Upload-Defer-Length': '1' }), nothingCreated),
      step(create(0, { 'Upload-Defer-Length': '1' }), nothingCreated),
      step(post({ 'Upload-Length': '', 'Upload-Defer-Length': '1' }), nothingCreated),
    ],
  },
  ...forEach(
    ['0', '2', '', '01', '1.0', '+1', '-1', 'true', 'yes', '1 1', ['1', '1']] as const,
    'MUST 14: Upload-Defer-Length is 1 or refused',
    (value) => [step(post({ 'Upload-Defer-Length': value }), nothingCreated)],
  ),
  {
    title: 'MUST 16: a length over the maximum is answered by 413',
    options: { maxSize: 10 },
    steps: [
      step(create(11), { ...refused(413), headers: { Location: null } }),
      step(create(Number.MAX_SAFE_INTEGER), { ...refused(413), headers: { Location: null } }),
      step(create(10), created),
      standsAt(0, 10),
    ],
  },
  {
    title: 'MUST 16: a maximum of zero takes empty uploads alone',
    options: { maxSize: 0 },
    steps: [step(create(1), refused(413)), step(create(0), created)],
  },
  {
    title: 'MUST 16: an upload of deferred length can not grow over the maximum',
    options: { maxSize: 10 },
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(patch(5, ' world'), refused(413)),
      step(patch(5, ' world', {}, { chunked: true }), refused(413)),
      standsAt(5),
      step(patch(5, ' word'), storedUpTo(10)),
      step(patch(10, '!', {}, { chunked: true }), refused(413)),
      standsAt(10),
      { stored: 'hello word' },
    ],
  },
  {
    title: 'MAY 14: a POST without a body may have any content type',
    steps: [
      step(create(5, { 'Content-Type': 'application/x-www-form-urlencoded' }), created),
      step(create(5, { 'Content-Type': 'text/plain' }, { body: '' }), created),
    ],
  },
  {
    title: 'MAY 14: a POST to an upload is not a creation',
    steps: [
      step(create(5), created),
      step(create(5, {}, { path: '{upload}' }), { status: 405, passedOn: true, headers: { Location: null } }),
    ],
  },
]
