// The termination extension (rule 22).

import type { Case } from './case.js'
import { create, createDeferred, created, head, patch, step, storedUpTo, terminate } from './requests.js'

const gone = { status: 404, headers: { 'Upload-Offset': null } }
const terminated = { status: 204, headers: { 'Upload-Offset': null, 'Content-Type': null, ETag: null } }
const everythingGone = [step(head(), gone), step(patch(0, 'hello'), gone), step(terminate(), gone)]

export const termination: readonly Case[] = [
  {
    title: 'MAY 22: it can be switched off: then it is not advertised, and DELETE removes nothing',
    options: { termination: false, downloads: true, cors: {} },
    steps: [
      step(create(5), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(terminate(), { status: 405, passedOn: true }),
      step(
        { ...terminate(), method: 'POST', headers: { ...terminate().headers, 'X-HTTP-Method-Override': 'DELETE' } },
        {
          status: 405,
          passedOn: true,
        },
      ),
      step({ method: 'GET', path: '{upload}', headers: {} }, { status: 200, body: 'hello' }),
      step(
        {
          method: 'OPTIONS',
          path: '{upload}',
          headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'DELETE' },
        },
        {
          status: 204,
          headers: { 'Tus-Extension': /^(?!.*termination)/, 'Access-Control-Allow-Methods': /^(?!.*DELETE)/ },
        },
      ),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 22: an upload without bytes is terminated',
    steps: [step(create(5), created), step(terminate(), terminated), ...everythingGone],
  },
  {
    title: 'MUST 22: an unfinished upload is terminated',
    steps: [
      step(create(5), created),
      step(patch(0, 'hel'), storedUpTo(3)),
      step(terminate(), terminated),
      ...everythingGone,
      step(patch(3, 'lo'), gone),
    ],
  },
  {
    title: 'MUST 22: a complete upload is terminated',
    steps: [
      step(create(5), created),
      step(patch(0, 'hello'), storedUpTo(5)),
      step(terminate(), terminated),
      ...everythingGone,
    ],
  },
  {
    title: 'MUST 22: an upload of deferred length is terminated',
    steps: [step(createDeferred(), created), step(terminate(), terminated), ...everythingGone],
  },
  {
    title: 'SHOULD 22: an upload that never was is answered by 404',
    steps: [step(terminate('/files/0123456789abcdef'), gone)],
  },
  {
    title: 'SHOULD 22: terminating one upload leaves the others alone',
    steps: [
      step(create(5, {}, { as: 'a' }), created),
      step(create(5, {}, { as: 'b' }), created),
      step(patch(0, 'hel', {}, { path: '{b}' }), storedUpTo(3)),
      step(terminate('{a}'), terminated),
      step(patch(3, 'lo', {}, { path: '{b}' }), storedUpTo(5)),
      { stored: 'hello', of: 'b' },
    ],
  },
  {
    title: 'MAY 22: the collection can not be terminated',
    steps: [
      step(create(5), created),
      step(terminate('/files'), { status: 405, passedOn: true }),
      step(terminate('/files/'), { status: 405, passedOn: true }),
      step(head(), { status: 200 }),
    ],
  },
]
