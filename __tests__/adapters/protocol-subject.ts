// A host behind a socket as what a case runs against.

import request from 'supertest'
import type { Answer, Filled, Stalled, Subject } from '../protocol/run-case.js'
import { answerOf, idle, open, RawConnection, untilRead } from './client.js'
import { type Running, storedBytes } from './hosts.js'

/** A running host. */
export function socketSubject(app: Running, clock: { ms: number } | undefined): Subject {
  return {
    origin: `http://127.0.0.1:${app.port}`,
    passesOn: true,
    send: (call) => send(app, call),
    begin: (call) => begin(app, call),
    stored: async (id) => String(await storedBytes(app.storage, id)),
    async holdElsewhere(id) {
      expect(await app.storage.claim?.(id, { owner: 'another host', ttlMs: 60_000 })).toHaveProperty('fence')
    },
    pass(ms) {
      if (clock === undefined) throw new Error('a case in which time goes by needs a clock')
      clock.ms += ms
    },
    cleanUp: async () => (await app.tus.cleanUp()).expired,
  }
}

/** supertest, but for what it would mend or can't do: odd paths, trailers, bodies that lie, wait or break off. */
function send(app: Running, call: Filled): Promise<Answer | undefined> {
  const { method, path, cut, contentLength, trailers, waits } = call
  if (cut) return sendAndCut(app, call)
  if (waits) return sendWhenAsked(app, call)
  const verbatim = contentLength !== undefined || trailers !== undefined || decodedOf(path) !== path
  return verbatim || method === 'GET' ? sendVerbatim(app, call) : sendBySupertest(app, call)
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

function framingOf({ body, chunked, contentLength }: Filled): Record<string, string> {
  if (chunked) return { 'Transfer-Encoding': 'chunked' }
  return body === undefined ? {} : { 'Content-Length': contentLength ?? String(Buffer.byteLength(body)) }
}

async function sendVerbatim({ port }: Running, call: Filled): Promise<Answer> {
  const { method, path, headers, body, contentLength, trailers } = call
  const client = open(port, {
    method,
    path,
    headers: { ...headers, ...framingOf(call) },
    ...(body !== undefined && { body }),
    ...(trailers && { trailers }),
    open: contentLength !== undefined,
  })
  try {
    const answer = await answerOf(client)
    return method === 'GET' ? answer : { status: answer.status, headers: answer.headers }
  } finally {
    client.destroy()
  }
}

async function sendAndCut(app: Running, call: Filled): Promise<undefined> {
  const { method, path, headers, body = '' } = call
  const arriving = app.request(app.seen.length)
  const client = open(app.port, { method, path, headers: { ...headers, ...framingOf(call) }, open: true })
  client.on('error', () => {})
  if (body !== '') await new Promise((resolve) => client.write(body, resolve))
  const { closed } = await arriving
  client.destroy()
  await closed
  return undefined
}

async function openHead({ port }: Running, call: Filled, more: Record<string, string> = {}): Promise<RawConnection> {
  const connection = await RawConnection.open(port)
  const headers = Object.entries({ ...call.headers, ...framingOf(call), ...more }).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)]],
  )
  await connection.head(call.method, call.path, Object.fromEntries(headers))
  return connection
}

function framed(body: string, chunked = false, last = false): string {
  if (!chunked) return body
  const chunk = body === '' ? '' : `${Buffer.byteLength(body).toString(16)}\r\n${body}\r\n`
  return last ? `${chunk}0\r\n\r\n` : chunk
}

async function sendWhenAsked(app: Running, call: Filled): Promise<Answer> {
  const { body = '', chunked } = call
  const connection = await openHead(app, call, { Expect: '100-continue' })
  try {
    const first = await connection.answer()
    const asked = first.status === 100
    if (asked) await connection.write(framed(body, chunked, true))
    const { status, headers } = asked ? await connection.answer() : first
    return { status, headers, asked }
  } finally {
    connection.destroy()
  }
}

async function begin(app: Running, call: Filled): Promise<Stalled> {
  const { body = '', chunked } = call
  const arriving = app.request(app.seen.length)
  const connection = await openHead(app, call)
  const { req } = await arriving
  const bytes = framed(body, chunked)
  const headBytes = req.socket.bytesRead
  if (bytes !== '') await connection.write(bytes)
  await untilRead(req.socket, headBytes + Buffer.byteLength(bytes))
  await idle()
  return {
    async goOn(rest) {
      await connection.write(framed(rest, chunked, true))
      const { status, headers } = await connection.answer()
      connection.destroy()
      return { status, headers }
    },
    async cutOff() {
      await connection.closed
      expect(connection.received).toBe('')
    },
  }
}
