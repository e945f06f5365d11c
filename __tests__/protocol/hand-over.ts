// Two requests for one upload: who goes on, and with what offset.

import type { Case, Step } from './case.js'
import {
  CHUNK_TYPE,
  create,
  created,
  createWith,
  forEach,
  head,
  patch,
  standsAt,
  step,
  storedUpTo,
  terminate,
} from './requests.js'

/** A body of unstated length that stalls. */
const stalls = { chunked: true } as const

const retryLater = { status: 423, headers: { 'Retry-After': /^[0-9]+$/, 'Upload-Offset': null } }

/** A PATCH of which three bytes have arrived. */
const halfWay: readonly Step[] = [step(create(11), created), { begin: patch(0, 'hel', {}, stalls) }]

export const handOver: readonly Case[] = [
  {
    title: 'MUST 7: a HEAD while a body stalls gets the offset of all that arrived, and the client goes on from there',
    steps: [
      ...halfWay,
      standsAt(3, 11),
      { cutOff: true },
      step(patch(3, 'lo world'), storedUpTo(11)),
      { stored: 'hello world' },
    ],
  },
  {
    title: 'MUST 7: a HEAD while a body of stated length stalls gets the offset of all that arrived',
    steps: [
      step(create(11), created),
      { begin: patch(0, 'hel', {}, { contentLength: '11' }) },
      standsAt(3, 11),
      { cutOff: true },
      step(patch(3, 'lo world'), storedUpTo(11)),
      { stored: 'hello world' },
    ],
  },
  ...forEach([0, 1, 4, 11], 'MUST 10: a PATCH at another offset is answered by 409 and disturbs nobody', (offset) => [
    ...halfWay,
    step(patch(offset, 'X'.repeat(Math.min(5, 11 - offset))), { status: 409 }),
    { goOn: 'lo world', expect: storedUpTo(11) },
    { stored: 'hello world' },
  ]),
  {
    title: 'MUST 10: of two PATCHes at one offset exactly one wins',
    steps: [
      ...halfWay,
      step(patch(0, 'HELLO WORLD'), { status: 409 }),
      { goOn: 'lo', expect: storedUpTo(5) },
      step(patch(0, 'HELLO WORLD'), { status: 409 }),
      step(patch(5, ' world'), storedUpTo(11)),
      { stored: 'hello world' },
    ],
  },
  {
    title: 'SHOULD 12: a PATCH that goes on where a stalled one is takes over, and what arrived is kept',
    steps: [
      ...halfWay,
      step(patch(3, 'lo world'), storedUpTo(11)),
      { cutOff: true },
      standsAt(11, 11),
      { stored: 'hello world' },
    ],
  },
  {
    title: 'SHOULD 12: a PATCH takes over from one that stalls before its first byte',
    steps: [
      step(create(5), created),
      { begin: patch(0, '', {}, stalls) },
      step(patch(0, 'hello'), storedUpTo(5)),
      { cutOff: true },
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 22: a DELETE does not wait for a body that stalls',
    steps: [...halfWay, step(terminate(), { status: 204 }), { cutOff: true }, step(head(), { status: 404 })],
  },
  {
    title: 'MUST 18: the body of a creation is under the same lock',
    options: { generateId: () => 'known' },
    steps: [
      { begin: createWith('hel', { 'Upload-Length': '11' }, stalls) },
      step(patch(0, 'HELLO', {}, { path: '/files/known' }), { status: 409 }),
      step(head('/files/known'), { status: 200, headers: { 'Upload-Offset': '3', 'Upload-Length': '11' } }),
      { cutOff: true },
      step(patch(3, 'lo world', {}, { path: '/files/known' }), storedUpTo(11)),
    ],
  },
  {
    title: 'MUST clients: an upload that nobody lets go of is answered by 423 with Retry-After, by HEAD too',
    options: { claimWaitMs: 0 },
    steps: [
      step(create(5), created),
      { heldElsewhere: 'upload' },
      step(head(), retryLater),
      step(patch(0, 'hello'), retryLater),
      step(terminate(), retryLater),
    ],
  },
  {
    title: 'MUST clients: a PATCH that can not match gets 409 although nobody lets go',
    options: { claimWaitMs: 0 },
    steps: [
      step(create(5), created),
      step(patch(0, 'hel', { 'Content-Type': CHUNK_TYPE }), storedUpTo(3)),
      { heldElsewhere: 'upload' },
      step(patch(1, 'ello'), { status: 409 }),
    ],
  },
]
