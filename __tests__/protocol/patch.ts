// PATCH (rules 9 to 12).

import type { Case } from './case.js'
import {
  CHUNK_TYPE,
  create,
  createDeferred,
  created,
  forEach,
  patch,
  refused,
  standsAt,
  step,
  storedUpTo,
} from './requests.js'

const OTHER_TYPES = [
  undefined,
  '',
  'application/octet-stream',
  'application/offset',
  'application/offset+octet-streams',
  'application/offset+octet-stream, text/plain',
  'text/plain; application/offset+octet-stream',
  'multipart/form-data; boundary=x',
  'application/json',
  'application/x-www-form-urlencoded',
] as const

const SAME_TYPES = [
  'Application/Offset+Octet-Stream',
  'APPLICATION/OFFSET+OCTET-STREAM',
  'application/offset+octet-stream; charset=utf-8',
  'application/offset+octet-stream;x=y',
  'application/offset+octet-stream ; x="y;z"',
] as const

/** A cut after every byte of the body has arrived that the upload can take, but not the end of the body. */
const lastByteCut = { chunked: true, cut: true } as const

export const patchMethod: readonly Case[] = [
  ...forEach(OTHER_TYPES, 'SHOULD 9: another content type is answered by 415', (type) => [
    step(create(5), created),
    step(patch(0, 'hello', { 'Content-Type': type }), refused(415)),
    standsAt(0, 5),
  ]),
  ...forEach(SAME_TYPES, 'SHOULD 9: case and parameters of the content type do not matter', (type) => [
    step(create(5), created),
    step(patch(0, 'hello', { 'Content-Type': type }), storedUpTo(5)),
    { stored: 'hello' },
  ]),
  {
    title: 'SHOULD 9: an unknown upload is answered by 404',
    steps: [
      step(patch(0, 'hello', {}, { path: '/files/0123456789abcdef' }), {
        status: 404,
        headers: { 'Upload-Offset': null },
      }),
    ],
  },
  ...forEach(
    [0, 2, 4, 6, 11, Number.MAX_SAFE_INTEGER],
    'MUST 10: another offset is answered by 409 and stores nothing',
    (offset) => [
      step(create(11), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(patch(offset, 'X'), refused(409)),
      step(patch(offset, 'X', {}, { chunked: true }), refused(409)),
      step(patch(offset), refused(409)),
      standsAt(5, 11),
      { stored: 'hello' },
    ],
  ),
  {
    title: 'MUST 10: the same chunk sent again is answered by 409 once it is stored',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(patch(0, 'hello'), refused(409)),
      standsAt(5, 5),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 11: Upload-Offset of the answer is the old one and the bytes stored',
    steps: [
      step(create(11), created),
      step(patch(0, 'h'), storedUpTo(1)),
      step(patch(1, 'ello '), storedUpTo(6)),
      step(patch(6, 'world'), storedUpTo(11)),
      { stored: 'hello world' },
    ],
  },
  {
    title: 'MUST 11: a body of unstated length is stored like any other',
    steps: [
      step(create(11), created),
      step(patch(0, 'hello ', {}, { chunked: true }), storedUpTo(6)),
      step(patch(6, 'world', {}, { chunked: true }), storedUpTo(11)),
      { stored: 'hello world' },
    ],
  },
  {
    title: 'MUST 11: an empty chunk moves nothing',
    steps: [
      step(create(5), created),
      step(patch(0), storedUpTo(0)),
      step(patch(0, ''), storedUpTo(0)),
      step(patch(0, '', {}, { chunked: true }), storedUpTo(0)),
      step(patch(0, 'hel'), storedUpTo(3)),
      step(patch(3), storedUpTo(3)),
      standsAt(3, 5),
    ],
  },
  {
    title: 'MUST 11: an empty chunk at the end of a complete upload is answered like the one that completed it',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(patch(5), storedUpTo(5)),
      step(patch(5, '', {}, { chunked: true }), storedUpTo(5)),
      step(patch(5, undefined, { 'Upload-Length': '5' }), storedUpTo(5)),
      standsAt(5, 5),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 11: bytes after the end of a complete upload are refused',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(patch(5, '!'), refused(413)),
      step(patch(5, '!', {}, { chunked: true }), refused(413)),
      standsAt(5, 5),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 11: the bytes are those that were sent, whatever they are',
    steps: [
      step(create(14), created),
      step(patch(0, '\u0000\r\n\r\n0\r\n\u00e9\u20ac\u0000'), storedUpTo(14)),
      { stored: '\u0000\r\n\r\n0\r\n\u00e9\u20ac\u0000' },
    ],
  },
  {
    title: 'MUST 10: a body that states to run past the length is refused as a whole',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello!'), refused(413)),
      standsAt(0, 5),
      step(patch(0, 'hel'), storedUpTo(3)),
      step(patch(3, 'lo!'), refused(413)),
      standsAt(3, 5),
      step(patch(3, 'lo'), storedUpTo(5)),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 10: a body that runs past the length without a word never completes the upload',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello!', {}, { chunked: true }), refused(413)),
      standsAt(0, 5),
      step(patch(0, 'hello', {}, { chunked: true }), storedUpTo(5)),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 10: a Content-Length beyond all bounds is refused',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello', {}, { contentLength: '9007199254740993' }), refused(413)),
      step(patch(0, 'hello', {}, { contentLength: '18446744073709551615' }), refused(413)),
      standsAt(0, 5),
    ],
  },
  {
    title: 'MUST 10: a body that is larger than one request may bring is refused as a whole',
    options: { maxChunkSize: 4 },
    steps: [
      step(create(11), created),
      step(patch(0, 'hello'), refused(413)),
      step(patch(0, 'hello', {}, { chunked: true }), refused(413)),
      standsAt(0, 11),
      step(patch(0, 'hell', {}, { chunked: true }), storedUpTo(4)),
      step(patch(4, 'o wo'), storedUpTo(8)),
      step(patch(8, 'rld'), storedUpTo(11)),
      { stored: 'hello world' },
    ],
  },
  {
    title: 'SHOULD 12: what arrived before a connection broke is kept',
    steps: [
      step(create(11), created),
      step(patch(0, 'hello ', {}, { contentLength: '11', cut: true }), { status: 400 }),
      standsAt(6, 11),
      step(patch(6, 'wor', {}, { chunked: true, cut: true }), { status: 400 }),
      standsAt(9, 11),
      step(patch(9, 'ld'), storedUpTo(11)),
      { stored: 'hello world' },
    ],
  },
  {
    title: 'SHOULD 12: a connection that breaks before the first byte changes nothing',
    steps: [
      step(create(5), created),
      step(patch(0, '', {}, { contentLength: '5', cut: true }), { status: 400 }),
      standsAt(0, 5),
      step(patch(0, 'hello'), storedUpTo(5)),
      { stored: 'hello' },
    ],
  },
  {
    title: 'SHOULD 12: a body of the right size that broke off before its end does not complete the upload',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello', {}, lastByteCut), { status: 400 }),
      standsAt(4, 5),
      step(patch(4, 'o'), storedUpTo(5)),
      standsAt(5, 5),
      { stored: 'hello' },
    ],
  },
  {
    title: 'SHOULD 12: nor does an empty one that broke off declare the length',
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(patch(5, '', { 'Upload-Length': '5' }, lastByteCut), { status: 400 }),
      standsAt(5),
      step(patch(5, undefined, { 'Upload-Length': '5' }), storedUpTo(5)),
      standsAt(5, 5),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MAY 9: other headers of an upload are ignored',
    steps: [
      step(create(5), created),
      step(
        patch(0, 'hello', {
          'Upload-Metadata': '!!! not metadata',
          'Upload-Defer-Length': '7',
          'X-Unknown': CHUNK_TYPE,
        }),
        storedUpTo(5),
      ),
      step(patch(5, undefined, { 'Upload-Metadata': 'a Yg==' }), storedUpTo(5)),
      standsAt(5, 5),
    ],
  },
]
