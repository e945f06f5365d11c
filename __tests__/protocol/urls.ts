// What the URLs of the collection and of uploads may look like (rules 8, 9, 16).

import type { Case } from './case.js'
import { create, created, forEach, head, patch, post, standsAt, step, storedUpTo, terminate } from './requests.js'

const elsewhere = { status: 404, passedOn: true, headers: { 'Upload-Offset': null } }

export const urls: readonly Case[] = [
  ...forEach(
    ['/files', '/files/', '/files?', '/files?a=b', '/files/?a=/b/c', '/files?a=b?c'],
    'MUST 16: the collection takes a slash at its end and a query string',
    (path) => [step(post({ 'Upload-Length': '5' }, { path }), created), standsAt(0, 5)],
  ),
  ...forEach(
    ['{upload}', '{upload}/', '{upload}?', '{upload}?token=a/b', '{upload}/?x=%2e%2e'],
    'MUST 7: an upload takes a slash at its end and a query string',
    (path) => [
      step(create(5), created),
      step(head(path), { status: 200, headers: { 'Upload-Offset': '0' } }),
      step(patch(0, 'hello', {}, { path }), storedUpTo(5)),
      step(terminate(path), { status: 204 }),
    ],
  ),
  {
    title: 'SHOULD 8: what lies below an upload is nobody\u2019s',
    steps: [
      step(create(5), created),
      step(head('{upload}/more'), elsewhere),
      step(patch(0, 'hello', {}, { path: '{upload}/more' }), elsewhere),
      step(head('{upload}//'), elsewhere),
      standsAt(0, 5),
    ],
  },
  {
    title: 'SHOULD 8: ids differ by case',
    steps: [
      step(create(5), created),
      step(head('/files/ABCDEF'), { status: 404 }),
      step(head('/files/abcdef'), { status: 404 }),
    ],
  },
  ...forEach(
    ['/filesystem', '/file', '/', '/other/files', '/files2/abc'],
    'SHOULD 8: other paths are nobody\u2019s',
    (path) => [
      step(create(5, {}, { path }), { ...elsewhere, headers: { Location: null } }),
      step(head(path), elsewhere),
    ],
  ),
  ...forEach(['GET', 'PUT', 'TRACE', 'PROPFIND'], 'MAY 9: another method is nobody\u2019s', (method) => [
    step(create(5), created),
    step({ method, path: '{upload}', headers: { 'Tus-Resumable': '1.0.0' } }, { status: 405, passedOn: true }),
    step({ method, path: '/files', headers: { 'Tus-Resumable': '1.0.0' } }, { status: 405, passedOn: true }),
    standsAt(0, 5),
  ]),
]
