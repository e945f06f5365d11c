// The checksum extension (rule 20).

import { createHash } from 'node:crypto'
import type { Case, Expect, Request } from './case.js'
import {
  create,
  createDeferred,
  created,
  createWith,
  forEach,
  head,
  options,
  patch,
  refused,
  standsAt,
  step,
  storedUpTo,
} from './requests.js'

const DIGESTS: Readonly<Record<string, string>> = {
  sha1: createHash('sha1').update('hello').digest('base64'),
  sha256: createHash('sha256').update('hello').digest('base64'),
  sha512: createHash('sha512').update('hello').digest('base64'),
  md5: createHash('md5').update('hello').digest('base64'),
  // CRC-32 of "hello" is 0x3610a686.
  crc32: Buffer.from('3610a686', 'hex').toString('base64'),
}

function patchWith(checksum: string, body = 'hello', rest: Partial<Request> = {}): Request {
  return patch(0, body, { 'Upload-Checksum': checksum }, rest)
}

const unchanged = (status: number): Expect => ({ ...refused(status), headers: { 'Tus-Resumable': '1.0.0' } })

export const checksum: readonly Case[] = [
  {
    title: 'MUST 20: OPTIONS names the algorithms, and sha1 is one of them',
    steps: [
      step(options(), {
        status: 204,
        headers: { 'Tus-Checksum-Algorithm': /(^|,)sha1(,|$)/, 'Tus-Extension': /(^|,)checksum(,|$)/ },
      }),
    ],
  },
  ...forEach(Object.keys(DIGESTS), 'MUST 20: a body that matches is stored', (name) => [
    step(create(11), created),
    step(patchWith(`${name} ${DIGESTS[name]}`), storedUpTo(5)),
    step(patch(5, ' world'), storedUpTo(11)),
    { stored: 'hello world' },
  ]),
  ...forEach(
    Object.keys(DIGESTS),
    'MUST 20: a body that does not match is discarded with 460, and may come again',
    (name) => [
      step(create(5), created),
      step(patchWith(`${name} ${DIGESTS[name]}`, 'hellO'), unchanged(460)),
      standsAt(0, 5),
      step(patchWith(`${name} ${DIGESTS[name]}`), storedUpTo(5)),
      { stored: 'hello' },
    ],
  ),
  {
    title: 'MUST 20: a body of unstated length is verified as a whole',
    steps: [
      step(create(5), created),
      step(patchWith(`sha1 ${DIGESTS.sha1}`, 'hellO', { chunked: true }), unchanged(460)),
      standsAt(0, 5),
      step(patchWith(`sha1 ${DIGESTS.sha1}`, 'hello', { chunked: true }), storedUpTo(5)),
    ],
  },
  ...forEach(
    ['sha3 aGVsbG8=', 'SHA-1 aGVsbG8=', 'none aGVsbG8='],
    'MUST 20: an unknown algorithm is answered by 400',
    (value) => [
      step(create(5), created),
      step(patchWith(value), unchanged(400)),
      standsAt(0, 5),
      step(patch(0, 'hello'), storedUpTo(5)),
    ],
  ),
  ...forEach(
    ['', 'sha1', 'sha1 ', 'sha1 !', 'sha1 aGVsbG8', `${DIGESTS.sha1}`, 'sha1,aGVsbG8='],
    'MUST 20: a malformed checksum is answered by 400',
    (value) => [step(create(5), created), step(patchWith(value), unchanged(400)), standsAt(0, 5)],
  ),
  {
    title: 'MUST 20: a digest of another length is a mismatch',
    steps: [step(create(5), created), step(patchWith(`sha1 ${DIGESTS.md5}`), unchanged(460)), standsAt(0, 5)],
  },
  {
    title: 'SHOULD 12: a chunk with a checksum that breaks off is not kept',
    steps: [
      step(create(10), created),
      step(patchWith(`sha1 ${DIGESTS.sha1}`, 'hel', { contentLength: '5', cut: true }), { status: 400 }),
      standsAt(0, 10),
    ],
  },
  {
    title: 'MUST 18, 20: the body of a creation is verified too',
    steps: [
      step(createWith('hello', { 'Upload-Length': '5', 'Upload-Checksum': `sha1 ${DIGESTS.sha1}` }), {
        ...created,
        headers: { ...created.headers, 'Upload-Offset': '5' },
      }),
      { stored: 'hello' },
      step(createWith('hellO', { 'Upload-Length': '5', 'Upload-Checksum': `sha1 ${DIGESTS.sha1}` }), {
        ...refused(460),
        headers: { Location: null },
      }),
    ],
  },
  {
    title: 'MUST 20: a chunk that is discarded does not declare a length',
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hellO', { 'Upload-Checksum': `sha1 ${DIGESTS.sha1}`, 'Upload-Length': '5' }), unchanged(460)),
      standsAt(0),
      step(patch(0, 'hello', { 'Upload-Checksum': `sha1 ${DIGESTS.sha1}`, 'Upload-Length': '5' }), storedUpTo(5)),
      standsAt(5, 5),
    ],
  },
  {
    title: 'MUST 20: the offset and the length come before the checksum',
    steps: [
      step(create(5), created),
      step(patch(3, 'hello', { 'Upload-Checksum': `sha1 ${DIGESTS.sha1}` }), refused(409)),
      step(patch(0, 'hello!', { 'Upload-Checksum': `sha1 ${DIGESTS.sha1}` }, { chunked: true }), refused(413)),
      standsAt(0, 5),
    ],
  },
  {
    title: 'MUST 20: Tus-Checksum-Algorithm is a list with commas and nothing between, in lower case',
    options: { checksumAlgorithms: ['sha256', 'sha1'] },
    steps: [
      step(options(), { status: 204, headers: { 'Tus-Checksum-Algorithm': 'sha256,sha1' } }),
      step(create(5), created),
      step(patchWith(`md5 ${DIGESTS.md5}`), unchanged(400)),
      step(patchWith(`sha256 ${DIGESTS.sha256}`), storedUpTo(5)),
    ],
  },
  {
    title: 'MUST 20: an empty body has a checksum as well',
    steps: [
      step(create(5), created),
      step(patchWith(`sha1 ${createHash('sha1').digest('base64')}`, '', { chunked: true }), storedUpTo(0)),
      step(patchWith(`sha1 ${DIGESTS.sha1}`, '', { chunked: true }), unchanged(460)),
      standsAt(0, 5),
    ],
  },
  {
    title: 'MAY 20: where checksums are off they are neither offered nor looked at',
    options: { checksumAlgorithms: [] },
    steps: [
      step(options(), {
        status: 204,
        headers: { 'Tus-Checksum-Algorithm': null, 'Tus-Extension': /^((?!checksum).)*$/ },
      }),
      step(create(5), created),
      step(patchWith(`sha1 ${DIGESTS.md5}`), storedUpTo(5)),
      step(head(), { status: 200 }),
    ],
  },
]
