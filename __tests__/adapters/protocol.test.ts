// The protocol tests again, over real sockets, through every host.

import request from 'supertest'
import type { Case } from '../protocol/case.js'
import { type Answer, type Filled, runCase } from '../protocol/run-case.js'
import { SUITES } from '../protocol/suites.js'
import { answerOf, open } from './client.js'
import { HOSTS, type Host, type Running, start, storedBytes } from './hosts.js'

/** supertest, but for what it would mend: paths that URLs don't have, bodies that lie or break off. */
function sendTo(app: Running, call: Filled): Promise<Answer | undefined> {
  const { path, cut, contentLength } = call
  if (cut) return sendAndCut(app, call)
  if (contentLength !== undefined || decodedOf(path) !== path) return sendVerbatim(app, call)
  return sendBySupertest(app, call)
}

function decodedOf(path: string): string {
  const { pathname, search } = new URL(path, 'http://localhost')
  return path.endsWith('?') ? `${pathname}?` : pathname + search
}

async function sendBySupertest(
  { server, seen }: Running,
  { method, path, headers, body, chunked }: Filled,
): Promise<Answer> {
  const call = Reflect.get(request(server), method.toLowerCase()).call(request(server), path) as request.Test
  for (const [name, value] of Object.entries(headers)) if (value !== undefined) call.set(name, value as string)
  if (chunked) {
    // A first write makes it chunked, even one of nothing.
    call.write(Buffer.from(body ?? ''))
  } else if (body !== undefined) call.send(Buffer.from(body))
  const response = await call
  expect(seen.at(-1)?.req.headers['transfer-encoding']).toBe(chunked ? 'chunked' : undefined)
  return { status: response.status, headers: response.headers }
}

async function sendVerbatim(
  { port }: Running,
  { method, path, headers, body, contentLength }: Filled,
): Promise<Answer> {
  const stated = contentLength === undefined ? {} : { 'Content-Length': contentLength }
  const client = open(port, {
    method,
    path,
    headers: { ...headers, ...stated },
    ...(body !== undefined && { body }),
    open: contentLength !== undefined,
  })
  try {
    return await answerOf(client)
  } finally {
    client.destroy()
  }
}

async function sendAndCut(
  app: Running,
  { method, path, headers, body = '', contentLength }: Filled,
): Promise<undefined> {
  const stated = contentLength === undefined ? {} : { 'Content-Length': contentLength }
  const arriving = app.request(app.seen.length)
  const client = open(app.port, { method, path, headers: { ...headers, ...stated }, open: true })
  client.on('error', () => {})
  if (body !== '') await new Promise((resolve) => client.write(body, resolve))
  const { closed } = await arriving
  client.destroy()
  await closed
  return undefined
}

async function replay(host: Host, testCase: Case): Promise<void> {
  const app = await start(host, { tus: { ...testCase.options } })
  await runCase(testCase, {
    send: (call) => sendTo(app, call),
    stored: async (id) => String(await storedBytes(app.storage, id)),
    passesOn: true,
  })
  expect(app.errors).toEqual([])
  expect(app.warnings).toEqual([])
}

describe.each(HOSTS)('$name', (host) => {
  describe.each(SUITES)('%s', (_suite, cases) => {
    test.each(cases)('$title', (testCase) => replay(host, testCase))
  })
})
