// The creation-with-upload extension (rule 18).

import type { Case, Expect } from './case.js'
import { created, createWith, forEach, head, patch, refused, standsAt, step, storedUpTo } from './requests.js'

function createdAt(offset: number): Expect {
  return { ...created, headers: { ...created.headers, 'Upload-Offset': String(offset) } }
}

const nothing = { Location: null, 'Upload-Offset': null }

export const creationWithUpload: readonly Case[] = [
  {
    title: 'MUST 18: the answer carries Upload-Offset, and the upload goes on from there',
    steps: [
      step(createWith('hello', { 'Upload-Length': '11' }), createdAt(5)),
      standsAt(5, 11),
      step(patch(5, ' world'), storedUpTo(11)),
      { stored: 'hello world' },
    ],
  },
  {
    title: 'SHOULD 18: a whole upload is taken at once',
    steps: [step(createWith('hello', { 'Upload-Length': '5' }), createdAt(5)), standsAt(5, 5), { stored: 'hello' }],
  },
  {
    title: 'SHOULD 18: a body of unstated length is taken',
    steps: [
      step(createWith('hello', { 'Upload-Length': '5' }, { chunked: true }), createdAt(5)),
      standsAt(5, 5),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 18: an empty body leaves the upload at zero',
    steps: [step(createWith('', { 'Upload-Length': '5' }, { chunked: true }), createdAt(0)), standsAt(0, 5)],
  },
  {
    title: 'MUST 18: the length may be deferred, and come later',
    steps: [
      step(createWith('hello', { 'Upload-Defer-Length': '1' }), createdAt(5)),
      standsAt(5),
      step(patch(5, ' world', { 'Upload-Length': '11' }), storedUpTo(11)),
      { stored: 'hello world' },
    ],
  },
  {
    title: 'MUST 18: a length of zero takes an empty body, and no other',
    steps: [
      step(createWith('', { 'Upload-Length': '0' }, { chunked: true }), createdAt(0)),
      standsAt(0, 0),
      step(createWith('x', { 'Upload-Length': '0' }), { ...refused(413), headers: nothing }),
    ],
  },
  ...forEach(
    [undefined, '', 'application/octet-stream', 'text/plain', 'multipart/form-data; boundary=x'] as const,
    'MUST 18: a body of another content type is answered by 415',
    (type) => [
      step(createWith('hello', { 'Upload-Length': '5', 'Content-Type': type }), { ...refused(415), headers: nothing }),
    ],
  ),
  {
    title: 'MUST 18: case and parameters of the content type do not matter',
    steps: [
      step(
        createWith('hello', { 'Upload-Length': '5', 'Content-Type': 'Application/Offset+Octet-Stream;x=y' }),
        createdAt(5),
      ),
    ],
  },
  {
    title: 'MUST 18: a body that states to run past the length creates nothing',
    steps: [step(createWith('hello!', { 'Upload-Length': '5' }), { ...refused(413), headers: nothing })],
  },
  {
    title: 'MUST 18: a body that runs past the length without a word creates nothing',
    steps: [
      step(createWith('hello!', { 'Upload-Length': '5' }, { chunked: true }), {
        ...refused(413),
        headers: { Location: null },
      }),
    ],
  },
  {
    title: 'MUST 18: a Content-Length beyond all bounds is refused',
    steps: [
      step(createWith('hello', { 'Upload-Length': '5' }, { contentLength: '9007199254740993' }), refused(413)),
      step(createWith('hello', { 'Upload-Defer-Length': '1' }, { contentLength: '9007199254740993' }), refused(413)),
    ],
  },
  {
    title: 'MUST 18: a body over the maximum is refused, with a deferred length too',
    options: { maxSize: 4 },
    steps: [
      step(createWith('hello', { 'Upload-Length': '5' }), refused(413)),
      step(createWith('hello', { 'Upload-Defer-Length': '1' }), refused(413)),
      step(createWith('hello', { 'Upload-Defer-Length': '1' }, { chunked: true }), refused(413)),
      step(createWith('hell', { 'Upload-Defer-Length': '1' }, { chunked: true }), createdAt(4)),
      standsAt(4),
    ],
  },
  {
    title: 'MUST 18: a body that is larger than one request may bring is refused and creates nothing',
    options: { maxChunkSize: 4 },
    steps: [
      step(createWith('hello', { 'Upload-Length': '5' }), { ...refused(413), headers: nothing }),
      step(createWith('hello', { 'Upload-Length': '5' }, { chunked: true }), {
        ...refused(413),
        headers: { Location: null },
      }),
      step(createWith('hell', { 'Upload-Length': '5' }, { chunked: true }), createdAt(4)),
      step(patch(4, 'o'), storedUpTo(5)),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 18: metadata is kept with it',
    steps: [
      step(createWith('hello', { 'Upload-Length': '5', 'Upload-Metadata': 'filename aGVsbG8udHh0' }), createdAt(5)),
      step(head(), { status: 200, headers: { 'Upload-Metadata': 'filename aGVsbG8udHh0' } }),
    ],
  },
  {
    title: 'MAY 18: Upload-Offset of the request is ignored',
    steps: [step(createWith('hello', { 'Upload-Length': '11', 'Upload-Offset': '7' }), createdAt(5)), standsAt(5, 11)],
  },
  {
    title: 'SHOULD 12: a creation whose body breaks off is no success',
    steps: [
      step(createWith('hel', { 'Upload-Length': '5' }, { contentLength: '5', cut: true }), {
        status: 400,
        headers: { 'Upload-Offset': '3' },
      }),
    ],
  },
]
