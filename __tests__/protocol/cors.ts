// CORS: what pages of other origins may do.

import { TusError } from '../../src/errors.js'
import type { Case, Headers, Request } from './case.js'
import { create, created, head, patch, step, storedUpTo } from './requests.js'

const APP = 'https://app.example'
const ELSEWHERE = 'https://elsewhere.example'

function preflight(origin: string, headers: Headers = {}): Request {
  return {
    method: 'OPTIONS',
    path: '/files',
    headers: {
      Origin: origin,
      'Access-Control-Request-Method': 'PATCH',
      'Access-Control-Request-Headers': 'tus-resumable,upload-offset,content-type',
      ...headers,
    },
  }
}

const PRIVATE = { 'Access-Control-Request-Private-Network': 'true' }
const NOT_PRIVATE = { 'Access-Control-Allow-Private-Network': null }

const NOTHING = {
  'Access-Control-Allow-Origin': null,
  'Access-Control-Allow-Methods': null,
  'Access-Control-Expose-Headers': null,
  'Access-Control-Allow-Credentials': null,
}

export const cors: readonly Case[] = [
  {
    title: 'MAY CORS: off by default, so that the application can see to it',
    steps: [
      step(preflight(APP), { status: 204, headers: NOTHING }),
      step(create(5, { Origin: APP }), { status: 201, headers: NOTHING }),
    ],
  },
  {
    title: 'MUST CORS: a preflight allows every method and header that clients send',
    options: { cors: {} },
    steps: [
      step(preflight(APP), {
        status: 204,
        headers: {
          'Access-Control-Allow-Origin': '*',
          'Access-Control-Allow-Methods': /^(?=.*POST)(?=.*HEAD)(?=.*PATCH)(?=.*DELETE)(?=.*OPTIONS)(?=.*GET)/,
          'Access-Control-Allow-Headers':
            /^(?=.*Authorization)(?=.*Content-Type)(?=.*Tus-Resumable)(?=.*Upload-Checksum)(?=.*Upload-Concat)(?=.*Upload-Defer-Length)(?=.*Upload-Length)(?=.*Upload-Metadata)(?=.*Upload-Offset)(?=.*X-HTTP-Method-Override)/,
          'Access-Control-Max-Age': '86400',
        },
      }),
    ],
  },
  {
    title: 'MUST CORS: every answer exposes every header that clients read, errors included',
    options: { cors: {}, maxSize: 5 },
    steps: [
      ...[create(5, { Origin: APP }), create(6, { Origin: APP }), head('/files/none', { Origin: APP })].map(
        (request, index) =>
          step(request, {
            status: [201, 413, 404][index] as number,
            headers: {
              'Access-Control-Allow-Origin': '*',
              'Access-Control-Expose-Headers':
                /^(?=.*Location)(?=.*Tus-Checksum-Algorithm)(?=.*Tus-Extension)(?=.*Tus-Max-Size)(?=.*Tus-Resumable)(?=.*Tus-Version)(?=.*Upload-Defer-Length)(?=.*Upload-Length)(?=.*Upload-Metadata)(?=.*Upload-Offset)/,
            },
          }),
      ),
    ],
  },
  {
    title: 'MUST CORS: one origin may, another one may not, and caches are told',
    options: { cors: { origin: APP } },
    steps: [
      step(create(5, { Origin: APP }), {
        status: 201,
        headers: { 'Access-Control-Allow-Origin': APP, Vary: /Origin/ },
      }),
      step(patch(0, 'hello', { Origin: ELSEWHERE }), {
        ...storedUpTo(5),
        headers: { 'Access-Control-Allow-Origin': null, Vary: /Origin/ },
      }),
      step(preflight(ELSEWHERE), { status: 204, headers: { ...NOTHING, Vary: /Origin/ } }),
      step(create(5), { ...created, headers: { 'Access-Control-Allow-Origin': null, Vary: /Origin/ } }),
    ],
  },
  {
    title:
      'MUST CORS: a preflight is answered before the application is asked, and a refusal of the application can be read',
    options: {
      cors: {},
      onIncomingRequest: () => {
        throw new TusError('ERR_UNAUTHORIZED')
      },
    },
    steps: [
      step(preflight(APP), { status: 204, headers: { 'Access-Control-Allow-Origin': '*' } }),
      step(create(5, { Origin: APP }), {
        status: 401,
        headers: { 'Access-Control-Allow-Origin': '*', Location: null },
      }),
    ],
  },
  {
    title: 'MUST CORS: a server on a private network says that pages of public ones may reach it, if it is told to',
    options: { cors: { origin: APP, privateNetwork: true } },
    steps: [
      step(preflight(APP, PRIVATE), { status: 204, headers: { 'Access-Control-Allow-Private-Network': 'true' } }),
      step(preflight(APP), { status: 204, headers: { 'Access-Control-Allow-Private-Network': null } }),
      step(preflight(ELSEWHERE, PRIVATE), { status: 204, headers: { ...NOTHING, ...NOT_PRIVATE } }),
      step(create(5, { Origin: APP, ...PRIVATE }), { status: 201, headers: NOT_PRIVATE }),
    ],
  },
  {
    title: 'MUST CORS: a server on a private network stays there by default',
    options: { cors: {} },
    steps: [step(preflight(APP, PRIVATE), { status: 204, headers: NOT_PRIVATE })],
  },
  {
    title: 'MUST CORS: each of a list',
    options: { cors: { origin: [APP, 'https://second.example'] } },
    steps: [
      step(create(5, { Origin: 'https://second.example' }), {
        status: 201,
        headers: { 'Access-Control-Allow-Origin': 'https://second.example' },
      }),
      step(create(5, { Origin: `${APP}.evil.example` }), {
        status: 201,
        headers: { 'Access-Control-Allow-Origin': null },
      }),
    ],
  },
  {
    title: 'MUST CORS: credentials, a time to remember, and headers of the application',
    options: {
      cors: {
        origin: APP,
        credentials: true,
        maxAge: 60,
        allowedHeaders: ['X-Yours'],
        exposedHeaders: ['X-Mine'],
      },
    },
    steps: [
      step(preflight(APP), {
        status: 204,
        headers: {
          'Access-Control-Allow-Credentials': 'true',
          'Access-Control-Max-Age': '60',
          'Access-Control-Allow-Headers': /Authorization.*X-Yours/,
        },
      }),
      step(create(5, { Origin: APP }), {
        status: 201,
        headers: { 'Access-Control-Allow-Credentials': 'true', 'Access-Control-Expose-Headers': /X-Mine/ },
      }),
    ],
  },
]
