// Holds the conversations of the fuzz test with a server, and looks at every answer.
import { type Answer, RawConnection } from '../adapters/client.js'
import { creationOf, firstBytesOf, type KnownUpload, type Message, messageOf, rendered } from './fuzz-bytes.js'
import type { Conversation } from './fuzz-requests.js'

/** After so long without an answer, a server hangs. */
const HANGS_AFTER_MS = 15_000

/** So long a client waits for the answer to a request that may lack something. */
const PATIENCE_MS = 20

/** What was sent, and what came of it. */
export interface Tally {
  /** Requests that were sent to their end, or broken off. */
  sent: number
  answers: Record<number, number>
  /** Requests to which the connection was closed instead of an answer. */
  closed: number
}

/** A server, and what its answers must not show. */
export interface FuzzSubject {
  readonly port: number
  readonly secrets: readonly string[]
  readonly tally: Tally
}

/** What an answer would show of an error that got out: a frame of a stack, a path of Node or of a package. */
const INTERNAL = /\n\s+at |node:internal|node_modules|\.[cm]?js:\d+|file:\/\/\/[a-z]+\/(?!passwd)|SQLITE_|sqlite3/i

/** Holds a conversation. Throws, with all of it, if an answer is not as it should be or does not come. */
export async function converse(subject: FuzzSubject, { uploads: plans, lanes }: Conversation): Promise<void> {
  const log: string[] = []
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), HANGS_AFTER_MS)
  })
  const open = new Set<RawConnection>()
  const talk = async (): Promise<void> => {
    const talker = new Talker(subject, open, log)
    const uploads: KnownUpload[] = []
    const creations = plans.map((plan) => ({ ...PLAIN, method: 'POST', bytes: rendered(creationOf(plan), []).bytes }))
    const created = await talker.lane(creations, true)
    for (const [index, plan] of plans.entries()) {
      // One that the application refused has no path.
      const path = created[index]?.headers.location ?? '/files/unknown'
      uploads.push({ plan, path, offset: firstBytesOf(plan) })
    }
    const messages = lanes.map((steps) => steps.map((step) => messageOf(step, uploads)))
    await Promise.all(messages.map((lane) => talker.lane(lane, lanes.length === 1)))
  }
  try {
    await Promise.race([talk(), late])
  } catch (error) {
    throw new Error(`${(error as Error).message}, after:\n${log.join('\n')}`)
  } finally {
    clearTimeout(timer)
    for (const connection of open) connection.destroy()
  }
}

const PLAIN = { piped: true, plain: true, dropped: false } as const

class Talker {
  readonly #subject: FuzzSubject
  readonly #open: Set<RawConnection>
  readonly #log: string[]

  constructor(subject: FuzzSubject, open: Set<RawConnection>, log: string[]) {
    this.#subject = subject
    this.#open = open
    this.#log = log
  }

  /**
   * Sends requests one after the other, those that may follow each other all at once.
   * @param isOnly - whether nobody else is at work, so that every plain request must be answered
   */
  async lane(messages: readonly Message[], isOnly: boolean): Promise<Answer[]> {
    const answers: Answer[] = []
    let start = 0
    while (start < messages.length) {
      let end = start
      while (messages[end]?.piped) end++
      if (end > start) answers.push(...(await this.#pipe(messages.slice(start, end), isOnly)))
      const alone = messages[end]
      if (alone !== undefined) await this.#alone(alone, isOnly)
      start = end + 1
    }
    return answers
  }

  /** Sends all at once. Where the connection is closed early, the rest goes over another one. */
  async #pipe(messages: readonly Message[], isOnly: boolean): Promise<Answer[]> {
    const answers: Answer[] = []
    let rest = messages
    while (rest.length > 0) {
      const connection = await this.#connect()
      for (const { bytes } of rest) connection.socket.write(bytes)
      let answered = 0
      for (const message of rest) {
        const answer = await this.#answer(connection, message).catch((error) => {
          if (error instanceof Unfit) throw error
          return undefined
        })
        if (answer === undefined) break
        answers.push(answer)
        answered++
      }
      this.#subject.tally.sent += answered
      if (answered === 0) {
        const [first] = rest as [Message]
        this.#subject.tally.sent++
        this.#closed(first, isOnly)
        answered++
      }
      rest = rest.slice(answered)
      this.#close(connection)
    }
    return answers
  }

  /** Sends a request that may be anything, and says that nothing follows. The server must answer or close. */
  async #alone(message: Message, isOnly: boolean): Promise<void> {
    const connection = await this.#connect()
    this.#subject.tally.sent++
    if (message.dropped) {
      await connection.write(message.bytes)
      this.#note(message, 'broken off')
      return this.#close(connection)
    }
    connection.socket.write(message.bytes)
    // What waits for more is told that there is none. Not at once: Node drops answers that come after that.
    const giveUp = message.plain ? undefined : setTimeout(() => connection.socket.end(), PATIENCE_MS)
    let answered = false
    try {
      for (;;) {
        await this.#answer(connection, message)
        answered = true
        connection.socket.end()
      }
    } catch (error) {
      if (error instanceof Unfit) throw error
      await connection.closed
    } finally {
      clearTimeout(giveUp)
    }
    this.#close(connection)
    if (!answered) this.#closed(message, isOnly)
  }

  async #connect(): Promise<RawConnection> {
    const connection = await RawConnection.open(this.#subject.port)
    this.#open.add(connection)
    return connection
  }

  #close(connection: RawConnection): void {
    connection.destroy()
    this.#open.delete(connection)
  }

  async #answer(connection: RawConnection, message: Message): Promise<Answer> {
    let answer = await connection.answer(message.method)
    while (answer.status === 100) answer = await connection.answer(message.method)
    this.#note(message, `${answer.status} ${JSON.stringify(answer.headers)} ${answer.body.slice(0, 200)}`)
    this.#check(answer)
    const { answers } = this.#subject.tally
    answers[answer.status] = (answers[answer.status] ?? 0) + 1
    return answer
  }

  #closed(message: Message, isOnly: boolean): void {
    this.#note(message, 'closed')
    this.#subject.tally.closed++
    if (isOnly && message.plain) throw new Unfit('the connection was closed')
  }

  #check({ status, headers, body }: Answer): void {
    if (!(status >= 200 && status < 500)) throw new Unfit(`answered by ${status}`)
    const whole = `${JSON.stringify(headers)}\n${body}`
    for (const secret of this.#subject.secrets) if (whole.includes(secret)) throw new Unfit(`${secret} is shown`)
    if (INTERNAL.test(whole)) throw new Unfit('something internal is shown')
  }

  #note({ bytes }: Message, what: string): void {
    const shown =
      bytes.length > 3000 ? `${bytes.toString('latin1', 0, 3000)} … ${bytes.length} bytes` : bytes.toString('latin1')
    this.#log.push(`${JSON.stringify(shown)}\n  → ${what}`)
  }
}

/** An answer that must not be. */
class Unfit extends Error {}
