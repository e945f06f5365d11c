// X-HTTP-Method-Override (rule 6).

import type { Case, Request } from './case.js'
import { create, created, forEach, head, options, patch, standsAt, step, storedUpTo, terminate } from './requests.js'

function disguised(request: Request, as: string, override = request.method): Request {
  return { ...request, method: as, headers: { ...request.headers, 'X-HTTP-Method-Override': override } }
}

export const methodOverride: readonly Case[] = [
  {
    title: 'MUST 6: a POST with an override is a PATCH',
    steps: [
      step(create(5), created),
      step(disguised(patch(0, 'hel'), 'POST'), storedUpTo(3)),
      step(disguised(patch(3, 'lo', {}, { chunked: true }), 'POST'), storedUpTo(5)),
      { stored: 'hello' },
    ],
  },
  {
    title: 'MUST 6: a POST with an override is a HEAD',
    steps: [
      step(create(5), created),
      step(disguised(head(), 'POST'), {
        status: 200,
        headers: { 'Upload-Offset': '0', 'Upload-Length': '5', 'Cache-Control': 'no-store' },
      }),
    ],
  },
  {
    title: 'MUST 6: a GET with an override is a HEAD, whatever the client has cached',
    steps: [
      step(create(5), created),
      step(disguised(head('{upload}', { 'If-None-Match': '*' }), 'GET'), {
        status: 200,
        headers: { 'Upload-Offset': '0', 'Cache-Control': 'no-store' },
      }),
    ],
  },
  {
    title: 'MUST 6: a POST with an override is a DELETE',
    steps: [
      step(create(5), created),
      step(disguised(terminate(), 'POST'), { status: 204 }),
      step(head(), { status: 404 }),
    ],
  },
  {
    title: 'MUST 6: a POST with an override is OPTIONS',
    steps: [step(disguised(options(), 'POST'), { status: 204, headers: { 'Tus-Version': '1.0.0', Location: null } })],
  },
  {
    title: 'MUST 6: the actual method is ignored, whichever it is',
    steps: [
      step(create(5), created),
      step(disguised(patch(0, 'hel'), 'PUT'), storedUpTo(3)),
      step(disguised(head(), 'DELETE'), { status: 200, headers: { 'Upload-Offset': '3' } }),
      step(disguised(head(), 'PATCH'), { status: 200, headers: { 'Upload-Offset': '3' } }),
      standsAt(3, 5),
    ],
  },
  {
    title: 'MUST 6: an override in lower case counts',
    steps: [step(create(5), created), step(disguised(patch(0, 'hello'), 'POST', 'patch'), storedUpTo(5))],
  },
  ...forEach(['', ' ', '\t'], 'MUST 6: an empty override names no method, so the actual one counts', (override) => [
    step(disguised(create(5), 'POST', override), created),
    step(disguised(patch(0, 'hel'), 'PATCH', override), storedUpTo(3)),
    step(disguised(head(), 'HEAD', override), { status: 200, headers: { 'Upload-Offset': '3' } }),
    step(disguised(terminate(), 'DELETE', override), { status: 204 }),
    step(disguised(options(), 'OPTIONS', override), { status: 204, headers: { 'Tus-Version': '1.0.0' } }),
  ]),
  {
    title: 'MUST 6: a method that is overridden by an unknown one is not carried out',
    steps: [
      step(create(5), created),
      step(disguised(terminate(), 'DELETE', 'BREW'), { status: 405, passedOn: true }),
      step(disguised(terminate(), 'DELETE', 'DELETE, DELETE'), { status: 405, passedOn: true }),
      standsAt(0, 5),
    ],
  },
]
