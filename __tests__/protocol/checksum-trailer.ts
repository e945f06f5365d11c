// The checksum-trailer extension (rule 21).

import { createHash } from 'node:crypto'
import type { Case, Request } from './case.js'
import {
  create,
  createDeferred,
  created,
  createWith,
  forEach,
  options,
  patch,
  refused,
  standsAt,
  step,
  storedUpTo,
} from './requests.js'

const SHA1 = createHash('sha1').update('hello').digest('base64')
const OTHER = createHash('sha1').update('other').digest('base64')
const DIGESTS = [
  `sha1 ${SHA1}`,
  ...['sha256', 'sha512', 'md5'].map((name) => `${name} ${createHash(name).update('hello').digest('base64')}`),
  'crc32 NhCmhg==',
] as const

/** A chunked body with its checksum behind it. */
function behind(checksum: string | undefined, rest: Partial<Request> = {}): Partial<Request> {
  return { chunked: true, trailers: checksum === undefined ? {} : { 'Upload-Checksum': checksum }, ...rest }
}

const announced = { Trailer: 'Upload-Checksum' }

export const checksumTrailer: readonly Case[] = [
  {
    title: 'MUST 21: OPTIONS advertises checksum-trailer',
    steps: [step(options(), { status: 204, headers: { 'Tus-Extension': /(^|,)checksum-trailer(,|$)/ } })],
  },
  ...forEach(DIGESTS, 'MUST 21: a body that matches the checksum behind it is stored', (checksum) => [
    step(create(5), created),
    step(patch(0, 'hello', announced, behind(checksum)), storedUpTo(5)),
    { stored: 'hello' },
  ]),
  ...forEach(DIGESTS, 'MUST 21: a body that does not match is discarded with 460, and may come again', (checksum) => [
    step(create(5), created),
    step(patch(0, 'hellO', announced, behind(checksum)), refused(460)),
    standsAt(0, 5),
    step(patch(0, 'hello', announced, behind(checksum)), storedUpTo(5)),
    { stored: 'hello' },
  ]),
  ...forEach(
    [undefined, '', 'sha1', 'sha1 !', 'sha3 aGVsbG8='],
    'MUST 21: an announced checksum that does not come, is none, or of an unknown algorithm discards the body with 400',
    (checksum) => [
      step(create(5), created),
      step(patch(0, 'hello', announced, behind(checksum)), refused(400)),
      standsAt(0, 5),
      step(patch(0, 'hello'), storedUpTo(5)),
    ],
  ),
  ...forEach(
    ['upload-checksum', 'X-Other, Upload-Checksum', 'UPLOAD-CHECKSUM,X-Other'],
    'MUST 21: it may be announced in any case and beside others',
    (trailer) => [
      step(create(5), created),
      step(patch(0, 'hellO', { Trailer: trailer }, behind(`sha1 ${SHA1}`)), refused(460)),
      step(patch(0, 'hello', { Trailer: trailer }, behind(`sha1 ${SHA1}`)), storedUpTo(5)),
    ],
  ),
  {
    title: 'MUST 21: the middle and the end of an upload are verified, too',
    steps: [
      step(create(10), created),
      step(patch(0, 'hello', announced, behind(`sha1 ${SHA1}`)), storedUpTo(5)),
      step(patch(5, 'hellO', announced, behind(`sha1 ${SHA1}`)), refused(460)),
      standsAt(5, 10),
      step(patch(5, 'hello', announced, behind(`sha1 ${SHA1}`)), storedUpTo(10)),
      { stored: 'hellohello' },
    ],
  },
  {
    title: 'MUST 21: a body that is discarded does not declare a length',
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hellO', { ...announced, 'Upload-Length': '5' }, behind(`sha1 ${SHA1}`)), refused(460)),
      standsAt(0),
      step(patch(0, 'hello', { ...announced, 'Upload-Length': '5' }, behind(`sha1 ${SHA1}`)), storedUpTo(5)),
      standsAt(5, 5),
    ],
  },
  {
    title: 'MUST 18, 21: the body of a creation is verified too',
    steps: [
      step(createWith('hellO', { ...announced, 'Upload-Length': '5' }, behind(`sha1 ${SHA1}`)), {
        ...refused(460),
        headers: { Location: null },
      }),
      step(createWith('hello', { ...announced, 'Upload-Length': '5' }, behind(`sha1 ${SHA1}`)), {
        ...created,
        headers: { ...created.headers, 'Upload-Offset': '5' },
      }),
      { stored: 'hello' },
    ],
  },
  ...forEach(DIGESTS, 'MUST 21: a checksum that was not announced is verified, too', (checksum) => [
    step(create(5), created),
    step(patch(0, 'hellO', {}, behind(checksum)), refused(460)),
    standsAt(0, 5),
    step(patch(0, 'hello', {}, behind(checksum)), storedUpTo(5)),
    { stored: 'hello' },
  ]),
  ...forEach(
    ['', 'sha1', 'sha1 !', 'sha3 aGVsbG8='],
    'MUST 21: one that was not announced and is none, or of an unknown algorithm, discards the body with 400',
    (checksum) => [
      step(create(5), created),
      step(patch(0, 'hello', {}, behind(checksum)), refused(400)),
      standsAt(0, 5),
    ],
  ),
  {
    title: 'MUST 18, 21: nothing is created by a body that does not match a checksum that was not announced',
    steps: [
      step(createWith('hellO', { 'Upload-Length': '5' }, behind(`sha1 ${SHA1}`)), {
        ...refused(460),
        headers: { Location: null },
      }),
    ],
  },
  ...forEach([{}, announced], 'MUST 21: a checksum behind a body counts beside one before it', (headers) => [
    step(create(5), created),
    step(patch(0, 'hello', { ...headers, 'Upload-Checksum': `sha1 ${SHA1}` }, behind(`sha1 ${OTHER}`)), refused(460)),
    step(patch(0, 'hellO', { ...headers, 'Upload-Checksum': `sha1 ${OTHER}` }, behind(`sha1 ${SHA1}`)), refused(460)),
    step(patch(0, 'hello', { ...headers, 'Upload-Checksum': `sha1 ${SHA1}` }, behind('sha1 !')), refused(400)),
    standsAt(0, 5),
    step(patch(0, 'hello', { ...headers, 'Upload-Checksum': `sha1 ${SHA1}` }, behind(`sha1 ${SHA1}`)), storedUpTo(5)),
  ]),
  {
    title: 'MUST 21: beside one before it, another algorithm is verified if it was announced, else refused with 400',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello', { 'Upload-Checksum': DIGESTS[0] }, behind(DIGESTS[1])), refused(400)),
      standsAt(0, 5),
      step(patch(0, 'hello', { ...announced, 'Upload-Checksum': DIGESTS[0] }, behind(DIGESTS[1])), storedUpTo(5)),
    ],
  },
  {
    title: 'MUST 21: where checksums are switched off, one behind a body means nothing',
    options: { checksumAlgorithms: [] },
    steps: [step(create(5), created), step(patch(0, 'hello', {}, behind(`sha1 ${OTHER}`)), storedUpTo(5))],
  },
  {
    title: 'SHOULD 12: a body whose checksum was to come is not kept if it breaks off',
    steps: [
      step(create(10), created),
      step(patch(0, 'hel', announced, { chunked: true, cut: true }), { status: 400 }),
      standsAt(0, 10),
    ],
  },
]
