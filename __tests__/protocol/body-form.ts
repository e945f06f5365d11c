// Bodies whose bytes are not those of the upload (RFC 9110, 8.4 and 14.4; RFC 9112, 6.1).

import type { Case, Headers } from './case.js'
import { create, created, createWith, forEach, patch, post, refused, standsAt, step, storedUpTo } from './requests.js'

const CODINGS = ['gzip', 'deflate', 'br', 'x-gzip', 'aws-chunked', 'identity, gzip', 'GZIP'] as const
const unsupported = { status: 415, headers: { 'Accept-Encoding': 'identity', 'Upload-Offset': null } } as const

export const bodyForm: readonly Case[] = [
  ...forEach(
    CODINGS,
    'MUST form: a body with a content coding is answered by 415, which says that there is none',
    (coding) => [
      step(create(5), created),
      step(patch(0, 'hello', { 'Content-Encoding': coding }), unsupported),
      step(patch(0, 'hello', { 'Content-Encoding': coding }, { chunked: true }), unsupported),
      standsAt(0, 5),
      step(createWith('hello', { 'Upload-Length': '5', 'Content-Encoding': coding }), {
        ...unsupported,
        headers: { ...unsupported.headers, Location: null },
      }),
    ],
  ),
  ...forEach(['identity', 'Identity', '', 'identity, identity'], 'MUST form: identity is no coding', (coding) => [
    step(create(5), created),
    step(patch(0, 'hello', { 'Content-Encoding': coding }), storedUpTo(5)),
    { stored: 'hello' },
  ]),
  {
    title: 'MUST form: a request without a body has no coding that matters',
    steps: [
      step(post({ 'Upload-Length': '5', 'Content-Encoding': 'gzip' }), created),
      step(patch(0, '', { 'Content-Encoding': 'gzip' }), storedUpTo(0)),
    ],
  },
  ...forEach(
    ['bytes 0-4/5', 'bytes 0-4/*', 'Bytes 0-99/100'],
    'MAY form: a range that begins at the offset says nothing new',
    (range) => [step(create(5), created), step(patch(0, 'hello', { 'Content-Range': range }), storedUpTo(5))],
  ),
  ...forEach(
    ['bytes 5-9/10', 'bytes */5', 'items 0-4/5', 'bytes 0-4', ''],
    'MAY form: a range that begins elsewhere, or can not be read, is answered by 400',
    (range) => {
      const headers: Headers = { 'Content-Range': range }
      return [
        step(create(10), created),
        step(patch(0, 'hello', headers), refused(400)),
        standsAt(0, 10),
        step(createWith('hello', { 'Upload-Length': '10', ...headers }), refused(400)),
      ]
    },
  ),
]
