// Runs one case against whatever can answer requests.

import type { Case, Expect, Headers, Request } from './case.js'

/** An answer, whoever gave it. Names of headers are in lower case. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
}

/** A request with all names filled in. */
export interface Filled extends Request {
  readonly path: string
  readonly headers: Headers
}

/** What a case runs against. */
export interface Subject {
  /** Sends a request. `undefined` if the connection was cut, so that there is nobody to answer. */
  send(request: Filled): Promise<Answer | undefined>
  /** What a storage has of an upload. */
  stored(id: string): Promise<string>
  /** Whether an adapter stands between: it hands to the application what is not the server's. */
  readonly passesOn: boolean
}

/** Runs the steps of a case. */
export async function runCase({ steps }: Case, subject: Subject): Promise<void> {
  const paths = new Map<string, string>()
  const fill = (text: string): string => text.replace(/\{(\w+)\}/g, (_, name: string) => requirePath(paths, name))
  for (const [index, step] of steps.entries()) {
    if ('stored' in step) {
      const id =
        requirePath(paths, step.of ?? 'upload')
          .split('/')
          .at(-1) ?? ''
      expect({ step: index, stored: await subject.stored(id) }).toEqual({ step: index, stored: step.stored })
      continue
    }
    const { request } = step
    const headers = Object.fromEntries(
      Object.entries(request.headers ?? {}).map(([name, value]) => [
        name,
        typeof value === 'string' ? fill(value) : value,
      ]),
    )
    const answer = await subject.send({ ...request, path: fill(request.path ?? '/files'), headers })
    if (answer === undefined) {
      expect(request.cut).toBe(true)
      continue
    }
    check(index, answer, step.expect, subject.passesOn)
    if (answer.status === 201) paths.set(request.as ?? 'upload', String(answer.headers.location))
  }
}

function check(index: number, answer: Answer, wanted: Expect, passesOn: boolean): void {
  const elsewhere = wanted.passedOn === true && passesOn
  const found: Record<string, unknown> = {
    step: index,
    status: answer.status,
    'tus-resumable': answer.headers['tus-resumable'],
  }
  const expected: Record<string, unknown> = {
    step: index,
    status: elsewhere ? 404 : wanted.status,
    'tus-resumable': elsewhere ? undefined : '1.0.0',
  }
  for (const [name, value] of Object.entries(elsewhere ? {} : (wanted.headers ?? {}))) {
    const key = name.toLowerCase()
    found[key] = answer.headers[key]
    if (value === null) expected[key] = undefined
    else expected[key] = typeof value === 'string' ? value : expect.stringMatching(value)
  }
  expect(found).toEqual(expected)
}

function requirePath(paths: ReadonlyMap<string, string>, name: string): string {
  const path = paths.get(name)
  if (path === undefined) throw new Error(`no upload was created as ${name}`)
  return path
}
