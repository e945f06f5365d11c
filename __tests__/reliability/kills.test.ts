// SIGKILL at random moments, again and again, while clients of every kind upload over a bad network.
import { form, report } from './form.js'
import { KillSite, unlessItHangs } from './kill-site.js'
import { EXPIRATION, verdict } from './kill-verdict.js'
import { type Random, seededRandom } from './random.js'
import { KINDS, startClient, type UploadClient } from './upload-clients.js'

const ROUNDS = form(12, 200)
const SEED = Number(process.env.RELIABILITY_SEED ?? form(1, Date.now() % 1_000_000))
/** So many clients are at work at any moment. */
const CLIENTS = 3
/** A server lives so long at most after it listens, in milliseconds; one in ten longer, so that a slow machine gets on. */
const MAX_LIFE_MS = 250
const MAX_LONG_LIFE_MS = 1500
/** … and so long after it began to start, where it is killed before. */
const MAX_START_MS = 25

jest.setTimeout(form(180_000, 1_800_000))

let site: KillSite

afterEach(() => site.close())

/** Starts clients so that the wanted number of them is at work. */
function keepBusy(random: Random, clients: UploadClient[]): void {
  for (let index = clients.length - 1; index >= 0; index--) if (clients[index]?.finished) clients.splice(index, 1)
  while (clients.length < CLIENTS) {
    const size = random.integer(200_000, 1_500_000)
    const client = startClient({ kind: random.pick(KINDS), endpoint: site.endpoint, random, size })
    site.clients.set(client.name, client)
    clients.push(client)
  }
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

it(`${ROUNDS} kills at random moments, through a bad network: nothing is lost, nothing is left over`, async () => {
  process.stdout.write(`  seed ${SEED}\n`)
  const random = seededRandom(SEED)
  site = await KillSite.start(SEED, false, { segmentBytes: 64 * 1024, expiration: EXPIRATION })
  const clients: UploadClient[] = []
  let [whileStarting, underWay, resumed] = [0, 0, 0]
  for (let round = 0; round < ROUNDS; round++) {
    keepBusy(random, clients)
    if (random.next() < 0.2) {
      whileStarting++
      await wait(random.integer(0, MAX_START_MS))
    } else {
      await unlessItHangs(site.listening, () => `the start of round ${round}`)
      await wait(random.integer(0, random.next() < 0.1 ? MAX_LONG_LIFE_MS : MAX_LIFE_MS))
    }
    const { records } = await site.kill()
    for (const { complete, buried, offset } of records) {
      if (complete || buried) continue
      underWay++
      if (offset > 0) resumed++
    }
    site.begin()
  }
  site.proxy.calm()
  await unlessItHangs(site.listening, () => 'the last start')
  const figures = await verdict(site)
  report('killed at random moments', {
    kills: site.kills,
    seed: SEED,
    'of them while starting': whileStarting,
    'uploads unfinished at a kill': underWay,
    'of them with bytes': resumed,
    ...figures,
    ...Object.fromEntries(Object.entries(site.proxy.drawn).map(([fault, times]) => [`connections: ${fault}`, times])),
  })
})
