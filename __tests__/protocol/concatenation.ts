// The concatenation extension (rules 23 to 26).

import { TusError } from '../../src/errors.js'
import type { Case, Expect, Headers, Request, Step } from './case.js'
import {
  create,
  created,
  createWith,
  forEach,
  head,
  options,
  patch,
  post,
  refused,
  step,
  storedUpTo,
  terminate,
} from './requests.js'

/** Creates a partial upload, whole. */
export function partial(name: string, content: string, headers: Headers = {}): Step {
  const length = String(Buffer.byteLength(content))
  const request = createWith(content, { 'Upload-Concat': 'partial', 'Upload-Length': length, ...headers }, { as: name })
  return step(request, { ...created, headers: { ...created.headers, 'Upload-Offset': length } })
}

/** Creates a final upload. */
export function final(urls: string, headers: Headers = {}, rest: Partial<Request> = {}): Request {
  return post({ 'Upload-Concat': `final;${urls}`, ...headers }, { as: 'final', ...rest })
}

/** The final upload is there, with so many bytes. */
export function isWhole(length: number, headers: Expect['headers'] = {}): Step {
  return step(head('{final}'), {
    status: 200,
    headers: {
      'Upload-Offset': String(length),
      'Upload-Length': String(length),
      'Upload-Defer-Length': null,
      ...headers,
    },
  })
}

const nothingCreated: Expect = { ...refused(400), headers: { Location: null } }
const hello = [partial('a', 'hello'), partial('b', ' world')]

export const concatenation: readonly Case[] = [
  {
    title: 'MUST 23: OPTIONS advertises concatenation',
    steps: [step(options(), { status: 204, headers: { 'Tus-Extension': /(^|,)concatenation(,|$)/ } })],
  },
  {
    title: 'MUST 23: OPTIONS does not advertise concatenation where it is off',
    options: { concatenation: false },
    steps: [step(options(), { status: 204, headers: { 'Tus-Extension': /^((?!concatenation).)*$/ } })],
  },
  {
    title: 'MUST 23: a final upload has the bytes of its partial uploads, and their length, at once',
    options: { downloads: true },
    steps: [
      ...hello,
      step(final('{a} {b}'), created),
      isWhole(11),
      { stored: 'hello world', of: 'final' },
      step({ method: 'GET', path: '{final}' }, { status: 200, body: 'hello world' }),
      step({ method: 'GET', path: '{final}', headers: { Range: 'bytes=3-7' } }, { status: 206, body: 'lo wo' }),
    ],
  },
  {
    title:
      'MUST 23: the answer that creates a partial or a final upload echoes Upload-Concat, that of another has none',
    steps: [
      step(create(5, { 'Upload-Concat': 'partial' }, { as: 'a' }), {
        status: 201,
        headers: { 'Upload-Concat': 'partial' },
      }),
      step(final('{a}', {}, { as: 'waiting' }), { status: 201, headers: { 'Upload-Concat': 'final;{a}' } }),
      step(createWith('hello', { 'Upload-Concat': 'partial', 'Upload-Length': '5' }, { as: 'b' }), {
        status: 201,
        headers: { 'Upload-Concat': 'partial', 'Upload-Offset': '5' },
      }),
      step(final('{b} {b}'), { status: 201, headers: { 'Upload-Concat': 'final;{b} {b}' } }),
      step(create(5), { status: 201, headers: { 'Upload-Concat': null } }),
    ],
  },
  {
    title: 'MUST 23: partial uploads are uploaded like others, with Upload-Concat or without',
    steps: [
      step(create(5, { 'Upload-Concat': 'partial' }, { as: 'a' }), created),
      step(patch(0, 'hel', { 'Upload-Concat': 'partial' }, { path: '{a}' }), storedUpTo(3)),
      step(patch(3, 'lo', {}, { path: '{a}', chunked: true }), storedUpTo(5)),
      step(final('{a}'), created),
      isWhole(5),
      { stored: 'hello', of: 'final' },
    ],
  },
  {
    title: 'MUST 23: their order is that of the list',
    steps: [...hello, step(final('{b} {a}'), created), isWhole(11), { stored: ' worldhello', of: 'final' }],
  },
  ...forEach(
    ['{a} {b}', '{origin}{a} {origin}{b}', '{a} {origin}{b}'],
    'MUST 23: URLs may be absolute or relative',
    (urls) => [...hello, step(final(urls), created), isWhole(11), { stored: 'hello world', of: 'final' }],
  ),
  {
    title: 'MUST 23: URLs may be what Location is where it has scheme and host',
    options: { absoluteLocation: true },
    steps: [
      step(createWith('hello', { 'Upload-Concat': 'partial', 'Upload-Length': '5' }, { as: 'a' }), {
        status: 201,
        headers: { Location: /^http:/ },
      }),
      step(final('{origin}{a}'), { status: 201 }),
      isWhole(5),
    ],
  },
  {
    title: 'MUST 23: URLs may be what Location is where it is below another URL',
    options: { publicUrl: 'https://cdn.example/up' },
    steps: [
      step(createWith('hello', { 'Upload-Concat': 'partial', 'Upload-Length': '5' }, { as: 'a' }), {
        status: 201,
        headers: { Location: /^https:\/\/cdn\.example\/up\// },
      }),
      step(final('https://cdn.example{a}'), { status: 201 }),
      { stored: 'hello', of: 'final' },
    ],
  },
  {
    title: 'MUST 23: partial uploads without bytes count for nothing',
    steps: [
      partial('a', 'hello'),
      step(create(0, { 'Upload-Concat': 'partial' }, { as: 'empty' }), created),
      step(final('{empty} {a} {empty}'), created),
      isWhole(5),
      { stored: 'hello', of: 'final' },
      step(create(0, { 'Upload-Concat': 'partial' }, { as: 'empty' }), created),
      step(final('{empty}'), created),
      isWhole(0),
    ],
  },
  {
    title: 'MUST 23: a final upload with an Upload-Length is refused',
    steps: [...hello, step(final('{a} {b}', { 'Upload-Length': '11' }), nothingCreated)],
  },
  ...forEach(
    ['', 'part', 'Partial', 'partial;{a}', '{a}', 'final', 'final;', 'final; ', 'final {a}', 'final,{a}', 'FINAL;{a}'],
    'MUST 23: a malformed Upload-Concat is refused',
    (value) => [
      partial('a', 'hello'),
      step(post({ 'Upload-Concat': value }), nothingCreated),
      step(create(5, { 'Upload-Concat': value }), nothingCreated),
    ],
  ),
  ...forEach(
    [
      '/files/0123456789abcdef',
      '{a} /files/0123456789abcdef',
      '{a} {whole}',
      '{whole}',
      '{earlier}',
      '/files',
      '{a}/..',
    ],
    'MUST 23: a list that names something that is no partial upload is refused',
    (urls) => [
      ...hello,
      step(createWith('whole', { 'Upload-Length': '5' }, { as: 'whole' }), { status: 201 }),
      step(final('{b}', {}, { as: 'earlier' }), created),
      step(final(urls), nothingCreated),
    ],
  ),
  {
    title: 'MUST 16, 23: a sum over the maximum is answered by 413',
    options: { maxSize: 10 },
    steps: [
      partial('a', 'hello'),
      partial('b', ' world'),
      step(final('{a} {b}'), { ...refused(413), headers: { Location: null } }),
      step(final('{a} {a}'), created),
      isWhole(10),
    ],
  },
  {
    title: 'MUST 23: each partial upload that is named has to be one that the client may use',
    options: {
      onIncomingRequest: ({ request, upload }) => {
        const owner = upload?.metadata.owner
        if (owner !== undefined && owner !== request.headers['x-user']) throw new TusError('ERR_FORBIDDEN')
      },
    },
    steps: [
      partial('a', 'hello', { 'Upload-Metadata': `owner ${Buffer.from('ann').toString('base64')}` }),
      partial('b', ' world', { 'Upload-Metadata': `owner ${Buffer.from('bob').toString('base64')}` }),
      step(final('{b} {a}', { 'X-User': 'bob' }), { ...refused(403), headers: { Location: null } }),
      step(final('{b}', { 'X-User': 'bob' }), created),
      isWhole(6),
    ],
  },
  {
    title: 'MUST 24: metadata of partial uploads is not passed on',
    steps: [
      partial('a', 'hello', { 'Upload-Metadata': 'a YQ==' }),
      step(final('{a}'), created),
      isWhole(5, { 'Upload-Metadata': null }),
      partial('b', 'hello', { 'Upload-Metadata': 'a YQ==' }),
      step(final('{b}', { 'Upload-Metadata': 'b Yg==,c Yw==' }), created),
      isWhole(5, { 'Upload-Metadata': 'b Yg==,c Yw==' }),
    ],
  },
  {
    title: 'SHOULD 24: partial uploads are not processed, final ones are',
    options: { onUploadComplete: () => ({ headers: { 'X-Processed': 'yes' } }) },
    steps: [
      step(create(5, { 'Upload-Concat': 'partial' }, { as: 'a' }), created),
      step(patch(0, 'hello', {}, { path: '{a}' }), { status: 204, headers: { 'X-Processed': null } }),
      step(final('{a}'), { ...created, headers: { ...created.headers, 'X-Processed': 'yes' } }),
      step(create(5), created),
      step(patch(0, 'hello'), { status: 204, headers: { 'X-Processed': 'yes' } }),
    ],
  },
  {
    title: 'MAY 24: a partial upload may come several times in one list',
    steps: [
      ...hello,
      step(final('{a} {b} {a} {a}'), created),
      isWhole(21),
      { stored: 'hello worldhellohello', of: 'final' },
    ],
  },
  {
    title: 'MAY 24: a partial upload may be used by several final ones where they are kept',
    options: { concatenation: { keepPartials: true } },
    steps: [
      ...hello,
      step(final('{a} {b}'), created),
      isWhole(11),
      step(final('{b} {a}'), created),
      isWhole(11),
      { stored: ' worldhello', of: 'final' },
      step(head('{a}'), { status: 200, headers: { 'Upload-Offset': '5' } }),
    ],
  },
  ...forEach([0, 5, 11, 12], 'MUST 25: a PATCH of a final upload is answered by 403 and changes nothing', (offset) => [
    ...hello,
    step(final('{a} {b}'), created),
    step(patch(offset, 'X', {}, { path: '{final}' }), refused(403)),
    step(patch(offset, 'X', {}, { path: '{final}', chunked: true }), refused(403)),
    step(patch(offset, undefined, {}, { path: '{final}' }), refused(403)),
    isWhole(11),
    { stored: 'hello world', of: 'final' },
  ]),
  {
    title: 'MUST 25: a body for a final upload is refused before it is asked for',
    steps: [
      ...hello,
      step(final('{a} {b}'), created),
      step(patch(11, 'X', {}, { path: '{final}', waits: true }), { ...refused(403), asked: false }),
    ],
  },
  {
    title: 'MUST 26: HEAD echoes Upload-Concat of a partial upload, with its offset',
    steps: [
      step(create(5, { 'Upload-Concat': 'partial' }, { as: 'a' }), created),
      step(patch(0, 'hel', {}, { path: '{a}' }), storedUpTo(3)),
      step(head('{a}'), {
        status: 200,
        headers: { 'Upload-Concat': 'partial', 'Upload-Offset': '3', 'Upload-Length': '5' },
      }),
    ],
  },
  ...forEach(
    ['{a} {b}', '{origin}{b} {a} {a}'],
    'MUST 26: HEAD echoes Upload-Concat of a final upload as received',
    (urls) => [
      ...hello,
      step(final(urls), created),
      step(head('{final}'), { status: 200, headers: { 'Upload-Concat': `final;${urls}` } }),
    ],
  ),
  {
    title: 'MUST 26: HEAD of an upload that is neither has no Upload-Concat',
    steps: [step(create(5), created), step(head(), { status: 200, headers: { 'Upload-Concat': null } })],
  },
  {
    title: 'MUST 22: a final upload is terminated like others',
    steps: [
      ...hello,
      step(final('{a} {b}'), created),
      step(terminate('{final}'), { status: 204 }),
      step(head('{final}'), { status: 404 }),
    ],
  },
]
