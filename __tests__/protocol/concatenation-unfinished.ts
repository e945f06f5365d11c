// The concatenation-unfinished extension (rule 27), and what the others say of it.

import type { Case, Step } from './case.js'
import { final, isWhole, partial } from './concatenation.js'
import {
  create,
  createDeferred,
  created,
  forEach,
  head,
  options,
  patch,
  refused,
  step,
  storedUpTo,
  terminate,
} from './requests.js'

const HOUR = 3_600_000

const unfinished = (name: string, length: number): Step =>
  step(create(length, { 'Upload-Concat': 'partial' }, { as: name }), created)

/** The final upload is not assembled yet. */
function isPending(length: number | undefined): Step {
  return step(head('{final}'), {
    status: 200,
    headers: { 'Upload-Offset': null, 'Upload-Length': length === undefined ? null : String(length) },
  })
}

const send = (name: string, offset: number, body: string, headers = {}): Step =>
  step(patch(offset, body, headers, { path: `{${name}}` }), storedUpTo(offset + Buffer.byteLength(body)))

export const concatenationUnfinished: readonly Case[] = [
  {
    title: 'MUST 27: OPTIONS advertises concatenation-unfinished',
    steps: [step(options(), { status: 204, headers: { 'Tus-Extension': /(^|,)concatenation-unfinished(,|$)/ } })],
  },
  {
    title:
      'MAY 27: a final upload may be created before its partial uploads are complete, and is whole with the last of them',
    options: { downloads: true },
    steps: [
      unfinished('a', 5),
      unfinished('b', 6),
      send('b', 0, ' wor'),
      step(final('{a} {b}'), created),
      isPending(11),
      send('a', 0, 'hello'),
      isPending(11),
      step({ method: 'GET', path: '{final}' }, { status: 404 }),
      send('b', 4, 'ld'),
      isWhole(11),
      { stored: 'hello world', of: 'final' },
      step({ method: 'GET', path: '{final}' }, { status: 200, body: 'hello world' }),
    ],
  },
  {
    title: 'SHOULD 26: HEAD of a final upload has no Upload-Offset before it is assembled',
    steps: [partial('a', 'hello'), unfinished('b', 6), step(final('{a} {b}'), created), isPending(11)],
  },
  {
    title: 'MUST 26: HEAD of a final upload has Upload-Length as soon as it can be calculated',
    steps: [
      unfinished('a', 5),
      step(createDeferred({ 'Upload-Concat': 'partial' }, { as: 'b' }), created),
      step(final('{a} {b}'), created),
      isPending(undefined),
      send('b', 0, ' wo'),
      isPending(undefined),
      send('b', 3, 'r', { 'Upload-Length': '6' }),
      isPending(11),
      send('a', 0, 'hello'),
      isPending(11),
      send('b', 4, 'ld'),
      isWhole(11),
      { stored: 'hello world', of: 'final' },
    ],
  },
  {
    title: 'MUST 26: HEAD echoes Upload-Concat before and after',
    steps: [
      unfinished('a', 5),
      step(final('{a}'), created),
      step(head('{final}'), { status: 200, headers: { 'Upload-Concat': 'final;{a}' } }),
      send('a', 0, 'hello'),
      isWhole(5, { 'Upload-Concat': 'final;{a}' }),
    ],
  },
  {
    title: 'MUST 27: a length that turns out to be what is there makes it whole',
    steps: [
      step(createDeferred({ 'Upload-Concat': 'partial' }, { as: 'a' }), created),
      send('a', 0, 'hello'),
      step(final('{a} {a}'), created),
      isPending(undefined),
      step(patch(5, undefined, { 'Upload-Length': '5' }, { path: '{a}' }), storedUpTo(5)),
      isWhole(10),
      { stored: 'hellohello', of: 'final' },
    ],
  },
  {
    title: 'MAY 27: several final uploads may wait for one partial upload',
    steps: [
      unfinished('a', 5),
      step(final('{a}', {}, { as: 'one' }), created),
      step(final('{a} {a}', {}, { as: 'two' }), created),
      send('a', 0, 'hello'),
      step(head('{one}'), { status: 200, headers: { 'Upload-Offset': '5', 'Upload-Length': '5' } }),
      step(head('{two}'), { status: 200, headers: { 'Upload-Offset': '10', 'Upload-Length': '10' } }),
      { stored: 'hello', of: 'one' },
      { stored: 'hellohello', of: 'two' },
    ],
  },
  ...forEach(
    [0, 3, 5],
    'MUST 25: a PATCH of a final upload that waits is answered by 403 and changes nothing',
    (offset) => [
      unfinished('a', 5),
      send('a', 0, 'hel'),
      step(final('{a}'), created),
      step(patch(offset, 'X', {}, { path: '{final}' }), refused(403)),
      step(patch(offset, undefined, { 'Upload-Length': '5' }, { path: '{final}' }), refused(403)),
      isPending(5),
      step(head('{a}'), { status: 200, headers: { 'Upload-Offset': '3' } }),
      send('a', 3, 'lo'),
      isWhole(5),
      { stored: 'hello', of: 'final' },
    ],
  ),
  {
    title: 'MUST 16, 27: declared lengths whose sum is over the maximum are answered by 413',
    options: { maxSize: 10 },
    steps: [
      unfinished('a', 5),
      unfinished('b', 6),
      step(final('{a} {b}'), { ...refused(413), headers: { Location: null } }),
      step(final('{a} {a}'), created),
      isPending(10),
    ],
  },
  {
    title: 'MUST 16, 27: a sum that turns out to be over the maximum never becomes an upload',
    options: { maxSize: 10 },
    steps: [
      unfinished('a', 5),
      step(createDeferred({ 'Upload-Concat': 'partial' }, { as: 'b' }), created),
      step(final('{a} {b}'), created),
      send('b', 0, ' world', { 'Upload-Length': '6' }),
      step(patch(0, 'hello', {}, { path: '{a}' }), { status: 204 }),
      step(head('{final}'), { status: 413, headers: { 'Upload-Offset': null } }),
    ],
  },
  {
    title: 'MUST 27: a partial upload that a final one waits for can not be terminated, its final one can',
    steps: [
      partial('a', 'hello'),
      unfinished('b', 6),
      step(final('{a} {b}'), created),
      step(terminate('{a}'), refused(409)),
      step(terminate('{b}'), refused(409)),
      step(head('{a}'), { status: 200, headers: { 'Upload-Offset': '5' } }),
      isPending(11),
      step(terminate('{final}'), { status: 204 }),
      step(head('{final}'), { status: 404 }),
      step(terminate('{a}'), { status: 204 }),
      send('b', 0, ' world'),
    ],
  },
  {
    title: 'SHOULD 19, 27: a partial upload that a final one waits for is not removed when its time is over',
    clock: Date.UTC(2026, 10, 22),
    options: { expiration: { unfinishedAfterMs: HOUR } },
    steps: [
      unfinished('a', 5),
      unfinished('b', 6),
      step(final('{a} {b}'), created),
      { passMs: HOUR / 2 },
      send('a', 0, 'hello'),
      { passMs: HOUR * 0.75 },
      { cleanUp: 0 },
      step(head('{b}'), { status: 200, headers: { 'Upload-Offset': '0' } }),
      send('b', 0, ' world'),
      isWhole(11),
      { stored: 'hello world', of: 'final' },
    ],
  },
]
