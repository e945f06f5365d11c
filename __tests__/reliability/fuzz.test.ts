// Whatever comes over a socket: an answer that is no error of the server and shows nothing of it, or a closed connection;
// never a crash, a hang, or a file where none should be.
import { readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import fc from 'fast-check'
import { form, LONG, report } from './form.js'
import { conversations } from './fuzz-requests.js'
import { converse, type Tally } from './fuzz-run.js'
import { type HostileSite, startHostileSite } from './hostile-site.js'

/** How many requests are sent at least. */
const REQUESTS = form(4_000, 100_000)
/** The same ones each time in CI; a failure prints the seed. */
const SEED = LONG ? Math.floor(Math.random() * 2 ** 31) : 7
/** So many conversations are held at a time. */
const AT_A_TIME = 4

let site: HostileSite

afterEach(() => site.end())

test(`${REQUESTS} generated requests: no 5xx, no crash, no hang, no file outside, nothing told of the inside`, async () => {
  site = await startHostileSite()
  const before = site.surroundings()
  const tally: Tally = { sent: 0, answers: {}, closed: 0 }
  const secrets = [site.directory, resolve(site.directory, '..'), resolve(__dirname, '../..'), 'a secret']
  const subject = { port: site.port, secrets, tally }
  const begun = performance.now()
  const property = fc.asyncProperty(conversations, (conversation) => converse(subject, conversation))
  let round = 0
  const work = async (): Promise<void> => {
    while (tally.sent < REQUESTS) await fc.assert(property, { numRuns: 25, seed: SEED + round++ })
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, work))
  const seconds = (performance.now() - begun) / 1000
  const { statuses } = await site.look()
  const handled = Object.values(statuses).flatMap((byStatus) => Object.values(byStatus))
  const reached = handled.reduce((sum, count) => sum + count, 0)
  report('fuzz', {
    seed: SEED,
    requests: tally.sent,
    'reached handleRequest': reached,
    closed: tally.closed,
    seconds: Math.round(seconds),
  })
  report('fuzz, answers', tally.answers)
  for (const [handler, byStatus] of Object.entries(statuses)) report(`fuzz, ${handler}`, byStatus)

  expect(tally.sent).toBeGreaterThanOrEqual(REQUESTS)
  expect(reached).toBeGreaterThanOrEqual(tally.sent / 2)
  for (const byStatus of Object.values(statuses)) {
    expect(Object.keys(byStatus).filter((status) => Number(status) >= 500)).toEqual([])
  }
  // Every handler has had its share, and much of it went well.
  for (const [handler, status] of [
    ['POST', 201],
    ['PATCH', 204],
    ['HEAD', 200],
    ['GET', 200],
    ['DELETE', 204],
    ['OPTIONS', 204],
  ] as const) {
    expect(statuses[handler]?.[status]).toBeGreaterThan(REQUESTS / 1000)
  }
  expect(site.alive()).toBe(true)
  // Said once, of a request for an upload that names none: the mount might have taken the id.
  expect(site.stderr()).toMatch(/^(tusMiddleware: \w+ \/files has no id below the mount\..*\n)?$/)
  expect(site.surroundings()).toEqual(before)
  // What lies in the directory has the names that the application chose.
  const names = readdirSync(site.directory, { recursive: true, encoding: 'utf8' }).filter(
    (name) => !name.startsWith('.resumable-upload'),
  )
  expect(names.filter((name) => !/^[0-9a-f](\/[0-9a-f]{40}-[A-Za-z0-9.]{0,40})?$/.test(name))).toEqual([])
}, 1_800_000)
