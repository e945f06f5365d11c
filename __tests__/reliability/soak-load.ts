// The load of the soak test: clients that each go through one story after the other, and what came of them.
import { randomBytes } from 'node:crypto'
import type { ClientRequest } from 'node:http'
import { sha256 } from '../support/client-site.js'
import { ask, offsetOf, openPatch, sendChunk } from '../support/requests.js'
import { type FaultProxy, startFaultProxy } from './fault-proxy.js'
import { type Random, seededRandom } from './random.js'
import {
  attempt,
  checksumOf,
  expectStatus,
  type Finished,
  fetchBytes,
  glanceAt,
  type Outcome,
  SoakClient,
  untilAnswered,
} from './soak-client.js'

const CLIENTS = 10
/** So many finished uploads stay where they are: nothing may happen to them. */
const KEPT = 20
const POOL = randomBytes(8 * 1024 * 1024)
const MOST_BYTES = [3_000, 60_000, 60_000, 500_000, 500_000, 4_000_000] as const

/** One client's turn. */
interface Turn {
  readonly random: Random
  readonly client: SoakClient
  /** Where the server is, without the bad network. */
  readonly direct: string
}

type Story = (turn: Turn, content: Buffer) => Promise<Outcome | undefined>

const STORIES: Readonly<Record<string, Story>> = {
  'tus-js-client': ({ random, client }, content) =>
    client.send(content, {
      chunkSize: random.pick([Number.POSITIVE_INFINITY, 100_000, 1_000_000]),
      uploadDataDuringCreation: random.pick([true, false]),
    }),
  'parallel uploads': ({ random, client }, content) =>
    client.send(content, { parallelUploads: random.integer(2, 4), chunkSize: random.pick([60_000, 1_000_000]) }),
  checksums: async ({ client }, content) => {
    return client.finish(await client.create(content), content, { checked: true })
  },
  'deferred lengths': async ({ random, client }, content) => {
    const sending = { deferred: true, checked: random.pick([true, false]) }
    return client.finish(await client.create(content, sending), content, sending)
  },
  aborts: async ({ random, client, direct }, content) => {
    const url = await client.create(content)
    for (let times = random.integer(1, 3); times > 0; times--) (await stall(direct, url, content, random))?.destroy()
    return client.finish(url, content)
  },
  'HEAD behind a stalled PATCH': async ({ random, client, direct }, content) => {
    const url = await client.create(content)
    const stalled = await stall(direct, url, content, random)
    if (stalled === undefined) return client.finish(url, content)
    const cut = new Promise((resolve) => stalled.once('close', resolve))
    const offset = await offsetOf(directly(direct, url))
    if (offset === undefined) throw new Error(`HEAD of ${url} behind a stalled PATCH has no offset`)
    await cut
    return client.finish(url, content)
  },
  terminations: async ({ random, client, direct }, content) => {
    const url = directly(direct, await client.create(content))
    const stalled = random.pick([true, false]) ? await stall(direct, url, content, random) : undefined
    await remove(url)
    stalled?.destroy()
    expectStatus(await ask('HEAD', url), 404)
    return undefined
  },
  'left unfinished': async ({ random, client, direct }, content) => {
    const url = await client.create(content)
    const stalled = await stall(direct, url, content, random)
    if (stalled === undefined) return client.finish(url, content)
    stalled.destroy()
    return undefined
  },
  'wrong checksums': async ({ client, direct }, content) => {
    const url = directly(direct, await client.create(content))
    const offset = (await offsetOf(url)) ?? 0
    if (offset < content.length) {
      const wrong = { 'Upload-Checksum': checksumOf(Buffer.from('other')) }
      expectStatus(await sendChunk(url, offset, content.subarray(offset), wrong), 460)
      if ((await offsetOf(url)) !== offset) throw new Error(`${url} has bytes with a wrong checksum`)
    }
    return client.finish(url, content)
  },
  refusals: async ({ direct }, content) => {
    const headers = { 'Upload-Length': content.length, 'Upload-Metadata': 'refuse', 'Content-Length': 0 }
    const created = await ask('POST', direct, headers)
    expectStatus(created, 201)
    const url = new URL(created.headers.location ?? '', direct).href
    expectStatus(await sendChunk(url, 0, content), 422)
    expectStatus(await ask('HEAD', url), 422)
    return undefined
  },
}

/** What came of the load. */
export class SoakLoad {
  /** How often each story was gone through. */
  readonly stories: Record<string, number>
  /** How many uploads were finished, each with the hash that it should have. */
  finished = 0
  /** How many were not, since the machine was so slow that they expired. */
  expired = 0
  /** How many downloads came through, each with the right bytes. */
  downloads = 0
  /** What the network did to connections. */
  readonly faults: Record<string, number> = {}
  /** The hashes of the finished uploads that stay, by id. */
  readonly kept = new Map<string, string>()
  /** How many their client has given up. */
  givenUp = 0
  /** How many finished uploads were found of which no client knew, each with the hash of something that was sent. */
  unheard = 0
  /** The hashes of all that was sent. */
  readonly #sent = new Set<string>()
  readonly #port: number
  readonly #direct: string
  readonly #random: Random

  constructor(port: number, seed: number) {
    this.#port = port
    this.#direct = `http://127.0.0.1:${port}/files`
    this.#random = seededRandom(seed)
    this.stories = Object.fromEntries(Object.keys(STORIES).map((name) => [name, 0]))
  }

  /** Runs all clients for so long; settles when each has come to the end of its story. */
  async run(ms: number): Promise<void> {
    const proxy = await startFaultProxy(this.#port, { seed: this.#random.integer(0, 2 ** 31) })
    let over = false
    const end = (): void => {
      over = true
      proxy.calm()
    }
    const timer = setTimeout(end, ms)
    const clients = Array.from({ length: CLIENTS }, (_, index) =>
      this.#runClient(proxy, index, () => over).finally(end),
    )
    await Promise.allSettled(clients)
    clearTimeout(timer)
    await proxy.close()
    await Promise.all(clients)
    for (const [fault, times] of Object.entries(proxy.drawn)) this.faults[fault] = (this.faults[fault] ?? 0) + times
  }

  /** Checks and removes a finished upload of which no client knows, since the answer to it was lost. */
  async removeUnheard(id: string): Promise<void> {
    const url = `${this.#direct}/${id}`
    const { status, headers } = await untilAnswered(() => ask('HEAD', url))
    if (!this.#sent.has(String(headers['x-sha256']))) {
      throw new Error(`nobody has sent what ${url} has: ${status} ${JSON.stringify(headers)}`)
    }
    this.unheard++
    await remove(url)
  }

  /** @param first - the story that it begins with */
  async #runClient(proxy: FaultProxy, first: number, isOver: () => boolean): Promise<void> {
    const random = seededRandom(this.#random.integer(0, 2 ** 31))
    const direct = this.#direct
    const names = Object.keys(STORIES)
    for (let next = first; !isOver(); next++) {
      const endpoint = random.integer(1, 4) === 1 ? direct : `http://127.0.0.1:${proxy.port}/files`
      const name = names[next % names.length] as string
      try {
        await this.#tell(name, { random, client: new SoakClient(endpoint, random), direct })
      } catch (error) {
        throw new Error(`${name}, by ${endpoint}: ${error}`, { cause: error })
      }
    }
  }

  async #tell(name: string, turn: Turn): Promise<void> {
    const content = someBytes(turn.random)
    this.#sent.add(sha256(content))
    const outcome = await STORIES[name]?.(turn, content)
    this.stories[name] = (this.stories[name] ?? 0) + 1
    if (outcome === 'expired') this.expired++
    else if (outcome === 'given up') this.givenUp++
    else if (outcome !== undefined) await this.#use(outcome, turn)
  }

  /** What is done with a finished upload. */
  async #use({ id, url, content }: Finished, { random, direct }: Turn): Promise<void> {
    this.finished++
    if (random.pick([true, false])) await this.#download(url, content, random)
    if (this.kept.size < KEPT) this.kept.set(id, sha256(content))
    else await remove(directly(direct, url))
  }

  async #download(url: string, content: Buffer, random: Random): Promise<void> {
    if (random.integer(1, 3) === 1) return void (await attempt(() => glanceAt(url)))
    const start = random.integer(0, content.length - 1)
    const whole = random.pick([true, false])
    const got = await attempt(() => fetchBytes(url, whole ? undefined : `bytes=${start}-`))
    if (got === undefined) return
    if (got.status !== (whole ? 200 : 206)) throw new Error(`GET ${url}: ${got.status}`)
    if (sha256(got.bytes) !== sha256(whole ? content : content.subarray(start)))
      throw new Error(`GET ${url}: other bytes`)
    this.downloads++
  }
}

function someBytes(random: Random): Buffer {
  const size = random.integer(1, random.pick(MOST_BYTES))
  const start = random.integer(0, POOL.length - size)
  return POOL.subarray(start, start + size)
}

/** The URL of an upload without the bad network. */
function directly(direct: string, url: string): string {
  return `${direct}/${new URL(url).pathname.split('/').at(-1)}`
}

/** Begins to send what is missing of an upload, and stops in the middle of it; nothing if there is nothing missing. */
async function stall(direct: string, url: string, content: Buffer, random: Random): Promise<ClientRequest | undefined> {
  const target = directly(direct, url)
  const { headers } = await untilAnswered(() => ask('HEAD', target))
  const offset = Number(headers['upload-offset'])
  const missing = content.subarray(offset)
  if (missing.length < 2) return undefined
  const patch = await openPatch(target, offset, missing.length)
  patch.write(missing.subarray(0, random.integer(1, missing.length - 1)))
  return patch
}

async function remove(url: string): Promise<void> {
  expectStatus(await untilAnswered(() => ask('DELETE', url)), 204)
}
