// Where the middleware may be mounted, and that Location names the mount that the client used.

import connect, { type Server } from 'connect'
import express, { Router } from 'express'
import express4 from 'express4'
import { type TusServer, tusListener, tusMiddleware } from '../../src/index.js'
import { create, offsetOf, patch, RawConnection, send, TUS } from './client.js'
import { CONNECT, EXPRESS_4, EXPRESS_5, FRAMEWORKS, HOSTS, type HostOptions, NODE_HTTP, start } from './hosts.js'

/** Creates an upload there, sends it, asks for it and terminates it, by the Location that came back. */
async function useUploads(port: number, path: string, location: RegExp): Promise<void> {
  const created = await create(port, 10, path)
  expect(created).toMatch(location)
  expect((await patch(port, created, 0, 'hello')).status).toBe(204)
  expect(await offsetOf(port, created)).toBe(5)
  const trailing = `${created}/?token=a/b`
  expect((await patch(port, trailing, 5, 'world')).status).toBe(204)
  expect(await offsetOf(port, trailing)).toBe(10)
  expect((await send(port, { method: 'OPTIONS', path: created })).status).toBe(204)
  expect((await send(port, { method: 'DELETE', path: created, headers: TUS })).status).toBe(204)
  expect((await send(port, { method: 'HEAD', path: created, headers: TUS })).status).toBe(404)
}

const ID = '[0-9a-f]{40}$'

describe.each(HOSTS)('$name', (host) => {
  test.each(['/files', '/uploads', '/a/b/c', '/api/v1.0/up-loads_x', '/files/files'])('under %s', async (mount) => {
    const { port } = await start(host, { mount })
    await useUploads(port, mount, new RegExp(`^${mount}/${ID}`))
  })

  test('with a slash at the end, a query string, and both', async () => {
    const { port } = await start(host)
    for (const path of ['/files/', '/files?a=/b', '/files/?a=/b', '/files?', '/files/?']) {
      await useUploads(port, path, new RegExp(`^/files/${ID}`))
    }
  })

  test('where the mount ends with a slash itself', async () => {
    const { port } = await start(host, { mount: '/files/' })
    await useUploads(port, '/files', new RegExp(`^/files/${ID}`))
    await useUploads(port, '/files/', new RegExp(`^/files/${ID}`))
  })

  test('with two slashes nobody is confused', async () => {
    const { port } = await start(host)
    for (const path of ['//files', '//files//', '//example.com/files', '/files//abc', '/files/abc//']) {
      const { status, headers } = await send(port, { method: 'POST', path, headers: { ...TUS, 'Upload-Length': '5' } })
      expect({ path, status, location: headers.location }).toEqual({ path, status: 404, location: undefined })
      expect((await send(port, { method: 'HEAD', path, headers: TUS })).status).toBe(404)
    }
  })

  test('with two slashes at the end the collection keeps its Location, if it is one', async () => {
    const { port } = await start(host)
    const answer = await send(port, { method: 'POST', path: '/files//', headers: { ...TUS, 'Upload-Length': '5' } })
    // Express 4 takes one of them for its own.
    expect(answer.status).toBe(host === EXPRESS_4 ? 201 : 404)
    if (host === EXPRESS_4) expect(answer.headers.location).toMatch(new RegExp(`^/files/${ID}`))
  })

  test('with a URL in absolute form, as proxies send it', async () => {
    const { port } = await start(host)
    const connection = await RawConnection.open(port)
    await connection.head('POST', 'http://example.com:8080/files?a=b', {
      ...TUS,
      'Upload-Length': 5,
      'Content-Length': 0,
    })
    const { status, headers } = await connection.answer()
    expect({ status, location: headers.location }).toEqual({
      status: 201,
      location: expect.stringMatching(`^/files/${ID}`),
    })
    await connection.head('HEAD', `http://example.com:8080${headers.location}`, TUS)
    expect((await connection.answer('HEAD')).headers['upload-offset']).toBe('0')
    connection.destroy()
  })
})

describe.each(FRAMEWORKS)('$name', (host) => {
  test('at the root, where the base path of the server counts', async () => {
    const { port } = await start(host, { mount: '/' })
    await useUploads(port, '/files', new RegExp(`^/files/${ID}`))
    expect((await send(port, { method: 'POST', path: '/', headers: { ...TUS, 'Upload-Length': '5' } })).status).toBe(
      404,
    )
  })

  test('at the root, with the root as base path', async () => {
    const { port } = await start(host, { mount: '/', tus: { basePath: '/' } })
    await useUploads(port, '/', new RegExp(`^/${ID}`))
  })

  test('in another case than it was mounted in', async () => {
    const { port } = await start(host)
    await useUploads(port, '/FILES', new RegExp(`^/FILES/${ID}`))
  })

  test('under several mounts at once, which share their uploads', async () => {
    const app = (tus: TusServer) => {
      const application = (host === CONNECT ? connect() : host === EXPRESS_4 ? express4() : express()) as Server
      return application.use('/a', tusMiddleware(tus)).use('/b/c', tusMiddleware(tus))
    }
    const { port } = await start(host, { app })
    const created = await create(port, 5, '/a')
    expect(created).toMatch(new RegExp(`^/a/${ID}`))
    expect(await offsetOf(port, created.replace('/a/', '/b/c/'))).toBe(0)
    await useUploads(port, '/b/c', new RegExp(`^/b/c/${ID}`))
  })

  test('whatever the base path of the server is', async () => {
    const { port } = await start(host, { mount: '/uploads', tus: { basePath: '/somewhere/else' } })
    await useUploads(port, '/uploads', new RegExp(`^/uploads/${ID}`))
  })
})

const NESTED: ReadonlyArray<readonly [string, HostOptions['app'], typeof EXPRESS_5]> = [
  [
    'Express 5',
    (tus) => {
      const users = Router()
      users.use('/:user/files', tusMiddleware(tus))
      const api = Router()
      api.use('/users', users)
      return express().use('/api/:version', api)
    },
    EXPRESS_5,
  ],
  [
    'Express 4',
    (tus) => {
      const users = express4.Router()
      users.use('/:user/files', tusMiddleware(tus))
      const api = express4.Router()
      api.use('/users', users)
      return express4().use('/api/:version', api)
    },
    EXPRESS_4,
  ],
  [
    'Connect',
    (tus) => {
      const users = connect()
        .use('/a%20b/files', tusMiddleware(tus))
        .use('/42/files', tusMiddleware(tus))
        .use('/caf%C3%A9/files', tusMiddleware(tus)) as never
      const api = connect().use('/users', users) as never
      return connect().use('/api/v1', api)
    },
    CONNECT,
  ],
]

describe.each(NESTED)('%s, in nested routers', (_name, app, host) => {
  test.each(['/api/v1/users/42/files', '/api/v1/users/a%20b/files', '/api/v1/users/caf%C3%A9/files'])(
    'under %s',
    async (path) => {
      const { port } = await start(host, { ...(app && { app }) })
      await useUploads(port, path, new RegExp(`^${path}/${ID}`))
      await useUploads(port, `${path}/?x=y`, new RegExp(`^${path}/${ID}`))
    },
  )
})

describe.each([
  ['Express 5', EXPRESS_5, express],
  ['Express 4', EXPRESS_4, express4],
] as const)('%s', (_name, host, framework) => {
  test('with parameters that are slashes in disguise', async () => {
    const { port } = await start(host, { app: (tus) => framework().use('/:user/files', tusMiddleware(tus)) })
    for (const user of ['a%2Fb', '%2F%2Fevil.example', '..%2F..', '%0d%0aX-Evil:1']) {
      await useUploads(port, `/${user}/files`, new RegExp(`^/${user.replace('.', '\\.')}/files/${ID}`))
    }
  })

  test('as a route of its own, with the base path in the URL', async () => {
    const pattern = framework === express ? '/files{/*splat}' : '/files*'
    const { port } = await start(host, { app: (tus) => framework().all(pattern, tusMiddleware(tus)) })
    await useUploads(port, '/files', new RegExp(`^/files/${ID}`))
    await useUploads(port, '/files/', new RegExp(`^/files/${ID}`))
  })

  test('as a route in a router', async () => {
    const pattern = framework === express ? '{/*splat}' : '*'
    const router = framework.Router()
    const app = (tus: TusServer) => {
      router.all(pattern, tusMiddleware(tus))
      return framework().use('/api/uploads', router)
    }
    const { port } = await start(host, { app })
    await useUploads(port, '/api/uploads', new RegExp(`^/api/uploads/${ID}`))
  })

  test('of a mounted application', async () => {
    const app = (tus: TusServer) => framework().use('/outer', framework().use('/inner', tusMiddleware(tus)))
    const { port } = await start(host, { app })
    await useUploads(port, '/outer/inner', new RegExp(`^/outer/inner/${ID}`))
  })

  test('behind a handler that guards it', async () => {
    const app = (tus: TusServer) =>
      framework().use(
        '/files',
        (req, res, next) => (req.get('Authorization') === 'Bearer x' ? next() : res.sendStatus(401)),
        tusMiddleware(tus),
      )
    const { port } = await start(host, { app })
    const headers = { ...TUS, 'Upload-Length': '5' }
    expect((await send(port, { method: 'POST', path: '/files', headers })).status).toBe(401)
    expect(
      (await send(port, { method: 'POST', path: '/files', headers: { ...headers, Authorization: 'Bearer x' } })).status,
    ).toBe(201)
  })

  test.each(['//evil.example/files', '/\\evil.example/files', '/%5Cevil.example/files', '///evil.example/files'])(
    'never names another host: %s',
    async (path) => {
      const app = (tus: TusServer) => framework().use(/[^a-z]+[^/]*\/files/i, tusMiddleware(tus))
      const { port } = await start(host, { app })
      const headers = { ...TUS, 'Upload-Length': '5' }
      const { status, headers: answered } = await send(port, { method: 'POST', path, headers })
      expect(status).toBe(201)
      expect(new URL(String(answered.location), 'http://localhost').host).toBe('localhost')
    },
  )

  test.each([
    [{ 'X-Forwarded-Proto': 'javascript' }, undefined],
    [{ 'X-Forwarded-Proto': 'https://evil.example/#' }, undefined],
    [{ 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'user@evil.example' }, undefined],
    [{ 'X-Forwarded-Host': 'evil.example/a' }, undefined],
    [{ 'X-Forwarded-Host': 'evil.example\\a' }, undefined],
    [{ 'X-Forwarded-Host': 'a.example:99999' }, undefined],
    [{ 'X-Forwarded-Proto': 'HTTPS', 'X-Forwarded-Host': 'public.example:8443' }, 'https://public.example:8443'],
    [{ 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'public.example, inner' }, 'https://public.example'],
  ])('behind a trusted proxy that says %j the origin is %p', async (forwarded, origin) => {
    const app = (tus: TusServer) => framework().set('trust proxy', true).use('/files', tusMiddleware(tus))
    const { port } = await start(host, { app, tus: { absoluteLocation: true } })
    const headers = { ...TUS, 'Upload-Length': '5', ...(forwarded as Record<string, string>) }
    const answer = await send(port, { method: 'POST', path: '/files', headers })
    expect(answer.status).toBe(201)
    expect(answer.headers.location).toMatch(new RegExp(`^${origin ?? ''}/files/${ID}`))
  })
})

/** Patterns that take the id of an upload themselves, so that nothing is left below the mount. */
const GREEDY: ReadonlyArray<readonly [string, typeof EXPRESS_5, HostOptions['app']]> = [
  ['Express 5', EXPRESS_5, (tus) => express().use('/files{/*rest}', tusMiddleware(tus))],
  ['Express 5', EXPRESS_5, (tus) => express().use('/files{*rest}', tusMiddleware(tus))],
  ['Express 5', EXPRESS_5, (tus) => express().use(['/elsewhere', '/files{/*rest}'], tusMiddleware(tus))],
  ['Express 5', EXPRESS_5, (tus) => express().use(['/files', '/files/*rest'], tusMiddleware(tus))],
  ['Express 5', EXPRESS_5, (tus) => express().use(/^\/files(\/.*)?$/, tusMiddleware(tus))],
  ['Express 5', EXPRESS_5, (tus) => express().use(/^\/files(?<rest>\/.*)?$/, tusMiddleware(tus))],
  ['Express 5', EXPRESS_5, (tus) => express().use('/*rest', tusMiddleware(tus))],
  ['Express 4', EXPRESS_4, (tus) => express4().use('/files*', tusMiddleware(tus))],
  ['Express 4', EXPRESS_4, (tus) => express4().use(['/files', '/files/*'], tusMiddleware(tus))],
  ['Express 4', EXPRESS_4, (tus) => express4().use('/files/:rest(*)?', tusMiddleware(tus))],
  ['Express 4', EXPRESS_4, (tus) => express4().use(/^\/files(\/.*)?$/, tusMiddleware(tus))],
  ['Express 4', EXPRESS_4, (tus) => express4().use('*', tusMiddleware(tus))],
]

describe('a pattern whose wildcard takes the id', () => {
  test.each(GREEDY)('in %s serves what it has created (%#)', async (_name, host, app) => {
    const { port, warnings } = await start(host, { ...(app && { app }), tus: { downloads: true } })
    await useUploads(port, '/files', new RegExp(`^/files/${ID}`))
    await useUploads(port, '/files/?a=/b', new RegExp(`^/files/${ID}`))
    const created = await create(port, 5)
    expect((await patch(port, created, 0, 'hello')).status).toBe(204)
    expect(await send(port, { method: 'GET', path: created })).toMatchObject({ status: 200, body: 'hello' })
    const overridden = { ...TUS, 'X-HTTP-Method-Override': 'HEAD' }
    expect((await send(port, { method: 'POST', path: created, headers: overridden })).status).toBe(200)
    expect(warnings).toEqual([])
  })

  test.each([
    ['Express 5', EXPRESS_5, express, '/:tenant/files{/*rest}'],
    ['Express 4', EXPRESS_4, express4, '/:tenant/files*'],
  ] as const)('with a parameter before it, in a nested router of %s', async (_name, host, framework, pattern) => {
    const app = (tus: TusServer) => {
      const tenants = framework.Router({ mergeParams: true })
      tenants.use(pattern, tusMiddleware(tus))
      return framework().use('/api/:version', tenants)
    }
    const { port } = await start(host, { app })
    for (const tenant of ['acme', 'a%2Fb', '%2F%2Fevil.example']) {
      await useUploads(port, `/api/v1/${tenant}/files`, new RegExp(`^/api/v1/${tenant}/files/${ID}`))
    }
  })

  test('leaves requests for the mount itself to the next middleware', async () => {
    const app = (tus: TusServer) =>
      express()
        .use(/^\/(files|uploads)/, tusMiddleware(tus))
        .use('/files{/*rest}', (req, res) => void res.send(`next: ${req.method}`))
    const { port } = await start(EXPRESS_5, { app })
    await useUploads(port, '/files', new RegExp(`^/files/${ID}`))
    expect((await send(port, { method: 'GET', path: '/files' })).body).toBe('next: GET')
    expect((await send(port, { method: 'GET', path: '/files/a/b' })).body).toBe('next: GET')
  })
})

describe('a mount that can not be served', () => {
  test.each([
    ['a parameter takes the id', EXPRESS_5, (tus: TusServer) => express().use('/files{/:id}', tusMiddleware(tus))],
    ['a parameter takes the id', EXPRESS_4, (tus: TusServer) => express4().use('/files/:id?', tusMiddleware(tus))],
    [
      'an expression without groups does',
      EXPRESS_5,
      (tus: TusServer) => express().use(/^\/files.*/, tusMiddleware(tus)),
    ],
    [
      'a router takes all',
      EXPRESS_5,
      (tus: TusServer) => express().use('/files{/*x}', Router().use(tusMiddleware(tus))),
    ],
  ])('since %s is named once', async (_reason, host, app) => {
    const { port, warnings } = await start(host, { app })
    const created = await create(port, 5)
    expect((await patch(port, created, 0, 'hello')).status).toBe(404)
    expect((await send(port, { method: 'HEAD', path: created, headers: TUS })).status).toBe(404)
    expect(warnings).toEqual([
      expect.stringMatching(/PATCH \/files\/\w+ has no id below the mount.*app\.use\('\/files'/),
    ])
  })

  test('since it is a route outside of basePath is named at the first request, once', async () => {
    const { port, warnings } = await start(EXPRESS_5, {
      app: (tus) => express().all('/uploads{/*rest}', tusMiddleware(tus)),
    })
    const headers = { ...TUS, 'Upload-Length': '5' }
    for (const path of ['/uploads', '/uploads/abc']) {
      expect((await send(port, { method: 'POST', path, headers })).status).toBe(404)
    }
    expect(warnings).toEqual([
      expect.stringMatching(/the route \/uploads\{\/\*rest\} hands over POST \/uploads.*Set basePath/),
    ])
  })

  test('is not blamed for requests of others', async () => {
    const app = (tus: TusServer) =>
      express()
        .all('/*all', (_req, _res, next) => next())
        .use('/files', tusMiddleware(tus))
    const { port, warnings } = await start(EXPRESS_5, { app })
    await send(port, { method: 'DELETE', path: '/files' })
    await send(port, { method: 'HEAD', path: '/files/a/b', headers: TUS })
    expect(warnings).toEqual([])
  })
})

test('bare node:http below a path of its own, beside other routes', async () => {
  const app = (tus: TusServer) => {
    const uploads = tusListener(tus)
    return ((req, res) => (req.url?.startsWith('/api') ? uploads(req, res) : res.end('other'))) as ReturnType<
      typeof tusListener
    >
  }
  const { port } = await start(NODE_HTTP, { app, tus: { basePath: '/api/files' } })
  await useUploads(port, '/api/files', new RegExp(`^/api/files/${ID}`))
  expect((await send(port, { method: 'GET', path: '/files' })).body).toBe('other')
})
