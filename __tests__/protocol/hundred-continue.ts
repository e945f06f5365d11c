// 100 Continue: what is refused is refused before its body is sent.

import type { Case, Request } from './case.js'
import {
  create,
  createDeferred,
  created,
  createWith,
  forEach,
  patch,
  refused,
  standsAt,
  step,
  storedUpTo,
} from './requests.js'

const waits = { waits: true } as const
const unasked = (status: number) => ({ ...refused(status), asked: false })

const CHUNKED = [false, true] as const

export const hundredContinue: readonly Case[] = [
  ...forEach(CHUNKED, 'MUST 11: a chunk that is taken is asked for; chunked', (chunked) => [
    step(create(11), created),
    step(patch(0, 'hello ', {}, { ...waits, chunked }), { ...storedUpTo(6), asked: true }),
    step(patch(6, 'world', {}, { ...waits, chunked }), { ...storedUpTo(11), asked: true }),
    { stored: 'hello world' },
  ]),
  ...forEach(CHUNKED, 'SHOULD 18: the body of a creation that is taken is asked for; chunked', (chunked) => [
    step(createWith('hello', { 'Upload-Length': '5' }, { ...waits, chunked }), {
      ...created,
      asked: true,
      headers: { ...created.headers, 'Upload-Offset': '5' },
    }),
    { stored: 'hello' },
  ]),
  {
    title: 'SHOULD 18: a creation that is refused is refused before its body is asked for',
    options: { maxSize: 10, maxMetadataSize: 100 },
    steps: [
      step(createWith('hello', {}, waits), unasked(400)),
      step(createWith('hello', { 'Upload-Length': 'x' }, waits), unasked(400)),
      step(createWith('hello', { 'Upload-Length': '11' }, waits), unasked(413)),
      step(createWith('hello', { 'Upload-Length': '4' }, waits), unasked(413)),
      step(createWith('hello world', { 'Upload-Defer-Length': '1' }, waits), unasked(413)),
      step(createWith('hello', { 'Upload-Length': '5', 'Upload-Metadata': ',' }, waits), unasked(400)),
      step(createWith('hello', { 'Upload-Length': '5', 'Upload-Metadata': 'k'.repeat(101) }, waits), unasked(413)),
      step(createWith('hello', { 'Upload-Length': '5', 'Upload-Checksum': 'sha3 YQ==' }, waits), unasked(400)),
      step(createWith('hello', { 'Upload-Length': '5', 'Content-Type': 'text/plain' }, waits), unasked(415)),
      step(createWith('hello', { 'Upload-Length': '5', 'Tus-Resumable': '0.1' }, waits), unasked(412)),
    ],
  },
  ...refusedChunk('MUST 3', 412, patch(3, 'lo', { 'Tus-Resumable': '0.2.2' })),
  ...refusedChunk('MUST 1', 400, patch('x', 'lo')),
  ...refusedChunk('SHOULD 9', 415, patch(3, 'lo', { 'Content-Type': 'text/plain' })),
  ...refusedChunk('SHOULD 9', 404, patch(3, 'lo', {}, { path: '/files/0123456789abcdef' })),
  ...refusedChunk('MUST 10', 409, patch(0, 'lo')),
  ...refusedChunk('MUST 10', 413, patch(3, 'lo!')),
  ...refusedChunk('MUST 15', 400, patch(3, 'lo', { 'Upload-Length': '6' })),
  ...refusedChunk('MUST 20', 400, patch(3, 'lo', { 'Upload-Checksum': 'sha3 YQ==' })),
  {
    title: 'MUST 16: a chunk that would make the upload too large is refused with 413 before it is asked for',
    options: { maxSize: 4 },
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hello', {}, waits), unasked(413)),
      step(patch(0, 'hell', { 'Upload-Length': '5' }, waits), unasked(413)),
      standsAt(0),
    ],
  },
  {
    title: 'SHOULD 19: a chunk of an upload that has expired is refused with 410 before it is asked for',
    clock: Date.UTC(2026, 10, 22),
    options: { expiration: { unfinishedAfterMs: 1000 } },
    steps: [step(create(5), created), { passMs: 1000 }, step(patch(0, 'hello', {}, waits), unasked(410))],
  },
]

function refusedChunk(rule: string, status: number, request: Request): readonly Case[] {
  return [
    {
      title: `${rule}: a chunk that is refused with ${status} is refused before it is asked for`,
      steps: [
        step(create(5), created),
        step(patch(0, 'hel'), storedUpTo(3)),
        step({ ...request, waits: true }, unasked(status)),
        standsAt(3, 5),
        step(patch(3, 'lo'), storedUpTo(5)),
        { stored: 'hello' },
      ],
    },
  ]
}
