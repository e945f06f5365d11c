// The creation-defer-length extension (rule 15).

import type { Case } from './case.js'
import { create, createDeferred, created, forEach, patch, refused, standsAt, step, storedUpTo } from './requests.js'

export const creationDeferLength: readonly Case[] = [
  {
    title: 'MUST 15: HEAD carries Upload-Defer-Length: 1 until the length is known',
    steps: [
      step(createDeferred(), created),
      standsAt(0),
      step(patch(0, 'hel'), storedUpTo(3)),
      standsAt(3),
      step(patch(3, 'lo', { 'Upload-Length': '11' }), storedUpTo(5)),
      standsAt(5, 11),
    ],
  },
  {
    title: 'MUST 15: the length may come with the first PATCH',
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hello', { 'Upload-Length': '5' }), storedUpTo(5)),
      standsAt(5, 5),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 15: the length may come with a PATCH in the middle',
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'h'), storedUpTo(1)),
      step(patch(1, 'ell', { 'Upload-Length': '5' }), storedUpTo(4)),
      step(patch(4, 'o'), storedUpTo(5)),
      standsAt(5, 5),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 15: the length may come with an empty PATCH at its end, as tus-js-client sends it',
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      standsAt(5),
      step(patch(5, undefined, { 'Upload-Length': '5' }), storedUpTo(5)),
      standsAt(5, 5),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 15: the length may come with an empty PATCH of unstated length',
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(patch(5, '', { 'Upload-Length': '5' }, { chunked: true }), storedUpTo(5)),
      standsAt(5, 5),
    ],
  },
  {
    title: 'MUST 15: the length may come with an empty PATCH in the middle',
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hel'), storedUpTo(3)),
      step(patch(3, undefined, { 'Upload-Length': '5' }), storedUpTo(3)),
      standsAt(3, 5),
      step(patch(3, 'lo'), storedUpTo(5)),
      standsAt(5, 5),
    ],
  },
  {
    title: 'MUST 15: the length may turn out to be zero',
    steps: [
      step(createDeferred(), created),
      step(patch(0, undefined, { 'Upload-Length': '0' }), storedUpTo(0)),
      standsAt(0, 0),
      step(patch(0, 'x'), refused(413)),
    ],
  },
  ...forEach(['4', '6', '0', '11'], 'MUST 15: the length never changes once it is known', (length) => [
    step(createDeferred(), created),
    step(patch(0, 'hel', { 'Upload-Length': '5' }), storedUpTo(3)),
    step(patch(3, 'lo', { 'Upload-Length': length }), refused(400)),
    step(patch(3, undefined, { 'Upload-Length': length }), refused(400)),
    standsAt(3, 5),
    step(patch(3, 'lo', { 'Upload-Length': '5' }), storedUpTo(5)),
    { stored: 'hello' },
  ]),
  {
    title: 'MUST 15: nor does a length that was known from the beginning',
    steps: [
      step(create(5), created),
      step(patch(0, 'hel', { 'Upload-Length': '6' }), refused(400)),
      step(patch(0, 'hel', { 'Upload-Length': '5' }), storedUpTo(3)),
      standsAt(3, 5),
    ],
  },
  {
    title: 'MUST 15: nor does that of a complete upload',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(patch(5, undefined, { 'Upload-Length': '6' }), refused(400)),
      step(patch(5, '!', { 'Upload-Length': '6' }), refused(400)),
      standsAt(5, 5),
    ],
  },
  {
    title: 'MUST 15: a length below what is stored is refused and stays unknown',
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(patch(5, undefined, { 'Upload-Length': '4' }), refused(400)),
      step(patch(5, 'x', { 'Upload-Length': '0' }), refused(400)),
      standsAt(5),
      step(patch(5, '!', { 'Upload-Length': '6' }), storedUpTo(6)),
      standsAt(6, 6),
    ],
  },
  {
    title: 'MUST 15: a body that runs past the length it declares is refused, and so is the length',
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hello', { 'Upload-Length': '4' }), refused(413)),
      standsAt(0),
      step(patch(0, 'hello', { 'Upload-Length': '4' }, { chunked: true }), refused(413)),
      standsAt(0),
      step(patch(0, 'hello', { 'Upload-Length': '5' }), storedUpTo(5)),
    ],
  },
  {
    title: 'MUST 15: a PATCH that is refused for its offset declares nothing',
    steps: [step(createDeferred(), created), step(patch(3, 'lo', { 'Upload-Length': '5' }), refused(409)), standsAt(0)],
  },
  {
    title: 'MUST 16: a length that comes late and is over the maximum is answered by 413',
    options: { maxSize: 10 },
    steps: [
      step(createDeferred(), created),
      step(patch(0, 'hello', { 'Upload-Length': '11' }), refused(413)),
      standsAt(0),
      step(patch(0, 'hello', { 'Upload-Length': '10' }), storedUpTo(5)),
      standsAt(5, 10),
    ],
  },
]
