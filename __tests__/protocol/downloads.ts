// GET, which is none of tus: RFC 9110 says what it means.

import type { Case, Request, Step } from './case.js'
import { partial } from './concatenation.js'
import { create, created, forEach, head, patch, standsAt, step, storedUpTo } from './requests.js'

const on = { options: { downloads: true } } as const

function get(headers: Request['headers'] = {}): Request {
  return { method: 'GET', path: '{upload}', headers }
}

/** A HEAD as browsers, CDNs and download managers send it. */
function plainHead(headers: Request['headers'] = {}): Request {
  return { method: 'HEAD', path: '{upload}', headers }
}

function finished(metadata?: string): readonly Step[] {
  return [step(create(11, { 'Upload-Metadata': metadata }), created), step(patch(0, 'hello world'), storedUpTo(11))]
}

const named = (name: string): string => `filename ${Buffer.from(name).toString('base64')}`

export const downloads: readonly Case[] = [
  {
    title: 'MAY downloads: GET is the application\u2019s unless they are on',
    steps: [...finished(), step(get(), { status: 405, passedOn: true })],
  },
  {
    title: 'MAY downloads: GET sends a finished upload, whether it knows of tus or not',
    ...on,
    steps: [
      ...finished(),
      step(get(), {
        status: 200,
        body: 'hello world',
        headers: { 'Content-Length': '11', 'Accept-Ranges': 'bytes', ETag: /^"[^"]+"$/ },
      }),
      step(get({ 'Tus-Resumable': '0.2.2' }), { status: 200, body: 'hello world' }),
    ],
  },
  {
    title: 'MUST downloads: HEAD without a word of tus has the headers of GET',
    ...on,
    steps: [
      ...finished(`${named('a.txt')},filetype ${Buffer.from('text/plain').toString('base64')}`),
      step(plainHead(), {
        status: 200,
        headers: {
          'Content-Length': '11',
          'Content-Type': /^text\/plain/,
          'Content-Disposition': /a\.txt/,
          'Accept-Ranges': 'bytes',
          'Cache-Control': 'private, no-transform',
          ETag: /^"[^"]+"$/,
          'Upload-Offset': null,
          'Content-Range': null,
        },
      }),
      step(plainHead({ Range: 'bytes=0-4' }), {
        status: 200,
        headers: { 'Content-Length': '11', 'Content-Range': null },
      }),
      step(plainHead({ 'If-None-Match': '*' }), { status: 304 }),
      standsAt(11, 11),
    ],
  },
  {
    title: 'MUST downloads: HEAD without a word of tus is 404 where GET is',
    ...on,
    steps: [
      step(create(11), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(plainHead(), { status: 404, headers: { 'Upload-Offset': null } }),
      step({ ...plainHead(), path: '/files/unknown' }, { status: 404 }),
      standsAt(5, 11),
    ],
  },
  {
    title: 'MUST downloads: HEAD that speaks tus, and any HEAD where downloads are off, keeps the rules of tus',
    ...on,
    steps: [
      ...finished(),
      step(head(), { status: 200, headers: { 'Upload-Offset': '11', 'Cache-Control': 'no-store', ETag: null } }),
      step(plainHead({ 'Tus-Resumable': '0.2.2' }), { status: 412, headers: { 'Tus-Version': '1.0.0' } }),
      step({ ...plainHead({ 'X-HTTP-Method-Override': 'HEAD' }), method: 'POST' }, { status: 412 }),
    ],
  },
  {
    title: 'MUST downloads: HEAD without a word of tus is 412 where they are off',
    steps: [...finished(), step(plainHead(), { status: 412, headers: { 'Tus-Version': '1.0.0' } })],
  },
  {
    title: 'MUST downloads: an unfinished upload is not sent',
    ...on,
    steps: [
      step(create(11), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(get(), { status: 404, headers: { 'Upload-Offset': null } }),
      standsAt(5, 11),
    ],
  },
  ...forEach(
    [{}, { Range: 'bytes=0-1' }, { Range: 'bytes=9-' }, { 'If-None-Match': '*' }, { 'If-Range': '"x"' }],
    'MUST downloads: a partial upload is not sent, complete or not, since no finish hook ever sees it',
    (headers) => [
      partial('a', 'hello'),
      step({ ...get(headers), path: '{a}' }, { status: 404, headers: { ETag: null, 'Content-Range': null } }),
      step(head('{a}'), { status: 200, headers: { 'Upload-Offset': '5' } }),
    ],
  ).map((testCase) => ({ ...testCase, ...on })),
  ...forEach(
    [
      ['bytes=0-4', 'hello', '0-4'],
      ['bytes=6-', 'world', '6-10'],
      ['bytes=-3', 'rld', '8-10'],
      ['bytes=9-99', 'ld', '9-10'],
    ] as const,
    'SHOULD downloads: a range is sent alone',
    ([range, body, sent]) => [
      ...finished(),
      step(get({ Range: range }), {
        status: 206,
        body,
        headers: { 'Content-Range': `bytes ${sent}/11`, 'Content-Length': String(body.length) },
      }),
    ],
  ).map((testCase) => ({ ...testCase, ...on })),
  {
    title: 'SHOULD downloads: a range that is not there is answered by 416',
    ...on,
    steps: [
      ...finished(),
      step(get({ Range: 'bytes=11-' }), { status: 416, headers: { 'Content-Range': 'bytes */11' } }),
    ],
  },
  {
    title: 'MUST downloads: a range of another file is not sent, but the whole of this one',
    ...on,
    steps: [
      ...finished(),
      step(get({ Range: 'bytes=0-4', 'If-Range': '"another"' }), { status: 200, body: 'hello world' }),
    ],
  },
  {
    title: 'MUST downloads: HEAD stays what tus makes of it',
    ...on,
    steps: [
      ...finished(),
      step(head('{upload}', { Range: 'bytes=0-4' }), {
        status: 200,
        headers: { 'Upload-Offset': '11', 'Upload-Length': '11', 'Cache-Control': 'no-store', 'Content-Range': null },
      }),
    ],
  },
  ...forEach(
    ['a\r\nSet-Cookie: x=y', '"; evil="x', '\u0000', '\u2603 \ud83d\ude00'],
    'SHOULD 17: metadata is sanitised before it is used in a header',
    (name) => [
      ...finished(named(name)),
      step(get(), {
        status: 200,
        headers: {
          'Content-Disposition': /^attachment(; filename="?[^\r\n]*"?)?(; filename\*=UTF-8''[\w%.!~*'()-]+)?$/,
          'X-Content-Type-Options': 'nosniff',
          'Set-Cookie': null,
        },
      }),
    ],
  ).map((testCase) => ({ ...testCase, ...on })),
]
