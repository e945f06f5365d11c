// Runs one case against whatever can answer requests.

import type { Case, Expect, Headers, Request, Step } from './case.js'

/** An answer, whoever gave it. Names of headers are in lower case. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | undefined>>
  /** Known where the request is a GET. */
  readonly body?: string
  /** Whether the body of a request that waits was asked for. */
  readonly asked?: boolean
}

/** A request with all names filled in. */
export interface Filled extends Request {
  readonly path: string
  readonly headers: Headers
}

/** A request that stalls in the middle of its body. */
export interface Stalled {
  /** Sends the rest. */
  goOn(rest: string): Promise<Answer>
  /** Settles when the server breaks the connection, without an answer. */
  cutOff(): Promise<void>
}

/** What a case runs against. */
export interface Subject {
  /** Scheme and host of the server. */
  readonly origin: string
  /** Sends a request. `undefined` if the connection was cut, so that there is nobody to answer. */
  send(request: Filled): Promise<Answer | undefined>
  /** Sends a request without the end of its body. Settles when all that was sent has arrived. */
  begin(request: Filled): Promise<Stalled>
  /** What a storage has of an upload. */
  stored(id: string): Promise<string>
  /** Takes the claim for an upload as somebody whom nobody can reach. */
  holdElsewhere(id: string): Promise<void>
  /** Lets time go by. */
  pass(ms: number): void
  /** Removes expired uploads; returns how many. */
  cleanUp(): Promise<number>
  /** Whether an adapter stands between: it hands to the application what is not the server's. */
  readonly passesOn: boolean
}

/** Runs the steps of a case. */
export async function runCase({ steps }: Case, subject: Subject): Promise<void> {
  const run = new Run(subject)
  for (const [index, step] of steps.entries()) await run.step(index, step)
}

class Run {
  readonly #subject: Subject
  readonly #names: Map<string, string>
  #stalled: Stalled | undefined

  constructor(subject: Subject) {
    this.#subject = subject
    this.#names = new Map([['origin', subject.origin]])
  }

  async step(index: number, step: Step): Promise<void> {
    const subject = this.#subject
    if ('request' in step) await this.#ask(index, step)
    else if ('begin' in step) this.#stalled = await subject.begin(this.#fill(step.begin))
    else if ('goOn' in step) this.#check(index, await this.#requireStalled().goOn(step.goOn), step.expect)
    else if ('cutOff' in step) await this.#requireStalled().cutOff()
    else if ('passMs' in step) subject.pass(step.passMs)
    else if ('heldElsewhere' in step) await subject.holdElsewhere(this.#idOf(step.heldElsewhere))
    else if ('cleanUp' in step) expect({ index, cleanUp: await subject.cleanUp() }).toEqual({ index, ...step })
    else {
      const { stored, of = 'upload' } = step
      expect({ index, stored: await subject.stored(this.#idOf(of)) }).toEqual({ index, stored })
    }
  }

  async #ask(index: number, step: { readonly request: Request; readonly expect: Expect }): Promise<void> {
    const { request } = step
    const answer = await this.#subject.send(this.#fill(request))
    if (answer === undefined) {
      expect(request.cut).toBe(true)
      return
    }
    this.#check(index, answer, step.expect)
    if (answer.status !== 201) return
    const { pathname } = new URL(String(answer.headers.location), this.#subject.origin)
    this.#names.set(request.as ?? 'upload', pathname)
  }

  #check(index: number, answer: Answer, wanted: Expect): void {
    const elsewhere = wanted.passedOn === true && this.#subject.passesOn
    const found: Record<string, unknown> = {
      step: index,
      status: answer.status,
      'tus-resumable': answer.headers['tus-resumable'],
      body: answer.body,
      asked: answer.asked,
    }
    const expected: Record<string, unknown> = {
      step: index,
      status: elsewhere ? 404 : wanted.status,
      'tus-resumable': elsewhere ? undefined : '1.0.0',
      body: wanted.body ?? answer.body,
      asked: wanted.asked,
    }
    for (const [name, value] of Object.entries(elsewhere ? {} : (wanted.headers ?? {}))) {
      const key = name.toLowerCase()
      found[key] = answer.headers[key]
      if (value === null) expected[key] = undefined
      else expected[key] = typeof value === 'string' ? this.#fillIn(value) : expect.stringMatching(value)
    }
    expect(found).toEqual(expected)
  }

  #fill(request: Request): Filled {
    const headers = Object.fromEntries(
      Object.entries(request.headers ?? {}).map(([name, value]) => [
        name,
        typeof value === 'string' ? this.#fillIn(value) : value,
      ]),
    )
    return { ...request, path: this.#fillIn(request.path ?? '/files'), headers }
  }

  #fillIn(text: string): string {
    return text.replace(/\{(\w+)\}/g, (_, name: string) => this.#named(name))
  }

  #idOf(name: string): string {
    return this.#named(name).split('/').at(-1) ?? ''
  }

  #named(name: string): string {
    const path = this.#names.get(name)
    if (path === undefined) throw new Error(`no upload was created as ${name}`)
    return path
  }

  #requireStalled(): Stalled {
    if (this.#stalled === undefined) throw new Error('no request was begun')
    return this.#stalled
  }
}
