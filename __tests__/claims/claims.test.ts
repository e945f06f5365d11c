// Who gets an upload when several want it, inside one process.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AskOptions } from '../../src/claims/ask-holder.js'
import { Claims } from '../../src/claims/claims.js'
import type { Claim } from '../../src/claims/held-claim.js'
import { MemoryStorage } from '../../src/storage/memory/memory-storage.js'
import type { Storage } from '../../src/storage/storage.js'

const ID = 'a1'
const cleanUp: Array<() => Promise<void>> = []

afterEach(async () => {
  jest.restoreAllMocks()
  for (const action of cleanUp.splice(0)) await action()
})

function withStorage(): MemoryStorage {
  const storage = new MemoryStorage()
  storage.create({ id: ID, name: ID, length: 10, metadata: undefined, createdAtMs: 0 })
  return storage
}

function makeClaims(storage: Storage, options: { leaseMs?: number; waitMs?: number; now?: () => number } = {}): Claims {
  const onError = (error: unknown): void => {
    throw error
  }
  const claims = new Claims({ storage, leaseMs: 10_000, waitMs: 5_000, now: Date.now, onError, ...options })
  cleanUp.push(() => claims.close())
  return claims
}

async function take(claims: Claims, options: AskOptions = {}): Promise<Claim> {
  const claim = await claims.take(ID, options)
  if (claim === undefined) throw new Error('no such upload')
  return claim
}

/** Lets everything that is due, and needs no timer and no socket, happen. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

it('gives an upload that nobody holds at once, with a number larger than all before', async () => {
  const claims = makeClaims(withStorage())
  const first = await take(claims)
  await first.release()
  const second = await take(claims)
  expect(second.fence).toBeGreaterThan(first.fence)
  await second.release()
})

it('says so when there is no such upload, and leaves nothing behind', async () => {
  const claims = makeClaims(withStorage())
  expect(await claims.take('none', {})).toBeUndefined()
  expect(await claims.settled('none', {})).toBeUndefined()
  expect(claims.positionOf('none')).toBeUndefined()
})

it('asks the holder to let go and waits until it did', async () => {
  const claims = makeClaims(withStorage())
  const holder = await take(claims)
  const stops: boolean[] = []
  holder.onStop = (keep) => stops.push(keep)
  let taken = false
  const newcomer = take(claims).then((claim) => {
    taken = true
    return claim
  })
  await settle()
  expect(stops).toEqual([true])
  expect(taken).toBe(false)
  await holder.release()
  await (await newcomer).release()
})

it('serves all who wait in the order in which they came', async () => {
  const claims = makeClaims(withStorage())
  const holder = await take(claims)
  const order: number[] = []
  const waiting = Array.from({ length: 100 }, async (_, index) => {
    const claim = await take(claims)
    order.push(index)
    await claim.release()
  })
  await settle()
  await holder.release()
  await Promise.all(waiting)
  expect(order).toEqual(Array.from({ length: 100 }, (_, index) => index))
})

it('lets readers wait in the same queue without a claim', async () => {
  const claims = makeClaims(withStorage())
  const holder = await take(claims)
  const reading = claims.settled(ID, {})
  await settle()
  expect(holder.stopped).toBe(true)
  await holder.release()
  expect((await reading)?.id).toBe(ID)
})

it('refuses a newcomer that wants another offset, and leaves the holder alone', async () => {
  const claims = makeClaims(withStorage())
  const holder = await take(claims)
  holder.position = 5
  for (const offset of [0, 4, 6]) {
    await expect(claims.take(ID, { offset })).rejects.toMatchObject({ code: 'ERR_OFFSET_MISMATCH' })
  }
  expect(holder.stopped).toBe(false)
  await holder.release()
})

it('drops what was not counted yet when the newcomer goes on at the very offset of the holder', async () => {
  const claims = makeClaims(withStorage())
  const holder = await take(claims)
  holder.position = 5
  const stops: boolean[] = []
  holder.onStop = (keep) => stops.push(keep)
  const newcomer = take(claims, { offset: 5 })
  await settle()
  expect(stops).toEqual([false])
  await holder.release()
  await (await newcomer).release()
})

it('asks a holder that just got its turn to let go for those who came later', async () => {
  const claims = makeClaims(withStorage())
  const first = await take(claims)
  const second = take(claims)
  const third = claims.settled(ID, {})
  await first.release()
  const holder = await second
  expect(holder.stopped).toBe(true)
  await holder.release()
  await third
})

it('gives up with 423 and Retry-After, and the queue goes on', async () => {
  const claims = makeClaims(withStorage(), { waitMs: 20 })
  const holder = await take(claims)
  await expect(claims.take(ID, {})).rejects.toMatchObject({
    code: 'ERR_LOCKED',
    status: 423,
    headers: { 'Retry-After': expect.stringMatching(/^\d+$/) },
  })
  await holder.release()
  await (await take(claims)).release()
})

it('forgets a newcomer whose client is gone', async () => {
  const claims = makeClaims(withStorage())
  const holder = await take(claims)
  const gone = new AbortController()
  const newcomer = claims.take(ID, { signal: () => gone.signal })
  await settle()
  gone.abort()
  await expect(newcomer).rejects.toMatchObject({ code: 'ERR_LOCKED' })
  await holder.release()
  expect(claims.positionOf(ID)).toBeUndefined()
})

it('makes one timer per waiter for its deadline and one for all renewals, and clears them', async () => {
  const timeouts = jest.spyOn(global, 'setTimeout')
  const intervals = jest.spyOn(global, 'setInterval')
  const cleared = jest.spyOn(global, 'clearTimeout')
  const claims = makeClaims(withStorage())
  const holder = await take(claims)
  const waiting = Array.from({ length: 100 }, () => claims.settled(ID, {}))
  await settle()
  expect(timeouts).toHaveBeenCalledTimes(100)
  expect(intervals).toHaveBeenCalledTimes(1)
  await holder.release()
  await Promise.all(waiting)
  for (const { value } of timeouts.mock.results) expect(cleared).toHaveBeenCalledWith(value)
})

it('renews claims for as long as they are held, and stops a holder that lost its claim', async () => {
  const storage = withStorage()
  const claims = makeClaims(storage, { leaseMs: 30 })
  const holder = await take(claims)
  const first = (await storage.get(ID))?.holder?.leaseUntilMs ?? 0
  const renewed = new Promise<void>((resolve) => {
    const { renew } = storage
    storage.renew = (id, fence, ttlMs) => {
      const result = renew.call(storage, id, fence, ttlMs)
      resolve()
      return result
    }
  })
  await renewed
  expect((await storage.get(ID))?.holder?.leaseUntilMs).toBeGreaterThan(first)
  const stopped = new Promise<void>((resolve) => {
    holder.onStop = () => resolve()
  })
  await storage.release(ID, holder.fence)
  await stopped
  await holder.release()
})

it('guards a storage that knows no claims inside the process', async () => {
  const memory = withStorage()
  const storage: Storage = {
    create: (upload) => memory.create(upload),
    get: (id) => memory.get(id),
    openStage: (id, fence, from) => memory.openStage(id, fence, from),
    remove: (id, fence) => memory.remove(id, fence),
    close: () => memory.close(),
  }
  const claims = makeClaims(storage)
  const holder = await take(claims)
  const newcomer = take(claims)
  await settle()
  expect(holder.stopped).toBe(true)
  await holder.release()
  expect((await newcomer).fence).toBeGreaterThan(holder.fence)
  await (await newcomer).release()
})

it('takes back what a failed release of its own has left', async () => {
  const storage = withStorage()
  const claims = makeClaims(storage)
  const holder = await take(claims)
  const { release } = storage
  storage.release = () => Promise.reject(new Error('no'))
  await expect(holder.release()).rejects.toThrow('no')
  storage.release = release
  await (await take(claims)).release()
})

it('waits for nothing but the lease where processes can not talk', async () => {
  let now = 1_000
  const storage = new MemoryStorage({ now: () => now })
  storage.create({ id: ID, name: ID, length: 10, metadata: undefined, createdAtMs: 0 })
  await storage.claim(ID, { owner: 'another', ttlMs: 40 })
  const claims = new Claims({
    storage,
    leaseMs: 10_000,
    waitMs: 5_000,
    now: () => now,
    onError: () => {},
  })
  cleanUp.push(() => claims.close())
  const newcomer = take(claims)
  now += 41
  await (await newcomer).release()
})

it('waits no longer than waitMs in all: in the queue here, and for a holder in another process', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  try {
    const storage = withStorage()
    await storage.claim(ID, { owner: 'another', ttlMs: 10_000 })
    const claims = makeClaims(storage, { waitMs: 5_000 })
    const refused: string[] = []
    const refuse = (error: { code: string }): void => void refused.push(error.code)
    void claims.take(ID, {}).catch(refuse)
    // That one asks the holder; its turn ends at the moment when those in the queue give up, or a little before.
    await settle()
    for (let count = 0; count < 2; count++) void claims.take(ID, {}).catch(refuse)
    for (let count = 0; count < 3; count++) void claims.settled(ID, {}).catch(refuse)
    await settle()
    await jest.advanceTimersByTimeAsync(4_999)
    expect(refused).toEqual([])
    await jest.advanceTimersByTimeAsync(1)
    await settle()
    expect(refused).toEqual(Array(6).fill('ERR_LOCKED'))
  } finally {
    jest.useRealTimers()
  }
})

describe('when the clock is set', () => {
  const HOUR_MS = 3_600_000
  let now: number
  let storage: MemoryStorage

  beforeEach(() => {
    now = 10 * HOUR_MS
    storage = new MemoryStorage({ now: () => now })
    storage.create({ id: ID, name: ID, length: 10, metadata: undefined, createdAtMs: 0 })
  })

  const claimed = async (): Promise<number> => {
    const result = await storage.claim(ID, { owner: 'another', ttlMs: 50 })
    return (result as { fence: number }).fence
  }
  const claimsNow = (options: { waitMs?: number } = {}): Claims =>
    makeClaims(storage, { leaseMs: 50, waitMs: 5_000, now: () => now, ...options })

  it('back, a holder that does not move is waited for as long as a lease, and no later', async () => {
    const fence = await claimed()
    now -= HOUR_MS
    const began = performance.now()
    const claim = await take(claimsNow())
    expect(performance.now() - began).toBeGreaterThan(40)
    expect(await storage.renew(ID, fence, 50)).toBe(false)
    await claim.release()
  })

  it('back, HEAD waits as long as a lease, too, and leaves no claim', async () => {
    await claimed()
    now -= HOUR_MS
    expect((await claimsNow().settled(ID, {}))?.id).toBe(ID)
    expect((await storage.get(ID))?.holder).toBeUndefined()
  })

  it('back, requests that wait for less than a lease come through after one, too', async () => {
    await claimed()
    now -= HOUR_MS
    const claims = claimsNow({ waitMs: 20 })
    const began = performance.now()
    let claim: Claim | undefined
    while (claim === undefined) claim = await take(claims).catch(() => undefined)
    expect(performance.now() - began).toBeGreaterThan(40)
    await claim.release()
  })

  it('back, a holder that goes on keeps its claim', async () => {
    const fence = await claimed()
    now -= HOUR_MS
    const renewal = setInterval(() => void storage.renew(ID, fence, 50), 10)
    try {
      await expect(take(claimsNow({ waitMs: 200 }))).rejects.toMatchObject({ code: 'ERR_LOCKED' })
      expect(await storage.renew(ID, fence, 50)).toBe(true)
    } finally {
      clearInterval(renewal)
    }
  })

  it('back while a request waits, it waits no longer for that', async () => {
    const fence = await claimed()
    const renewal = setInterval(() => void storage.renew(ID, fence, 50), 10)
    try {
      const waiting = take(claimsNow({ waitMs: 200 }))
      now -= HOUR_MS
      await expect(waiting).rejects.toMatchObject({ code: 'ERR_LOCKED' })
    } finally {
      clearInterval(renewal)
    }
  })

  it('forward, another one takes over at once, and the former holder is fenced off', async () => {
    const fence = await claimed()
    const stage = await storage.openStage(ID, fence, 0)
    await stage.write([Buffer.from('late')])
    now += HOUR_MS
    const claim = await take(claimsNow())
    expect(await stage.commit({ to: 4, durable: false })).toBe('fenced')
    await stage.close()
    await claim.release()
    expect((await storage.get(ID))?.offset).toBe(0)
  })
})

describe('two instances that share a storage', () => {
  let folder: string
  let here: Claims
  let there: Claims

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'claims-'))
    const storage = Object.assign(withStorage(), { meetingPoint: folder })
    here = makeClaims(storage)
    there = makeClaims(storage)
    cleanUp.push(async () => rmSync(folder, { recursive: true }))
  })

  it('hand an upload over', async () => {
    const holder = await take(here)
    const stopped = new Promise<boolean>((resolve) => {
      holder.onStop = resolve
    })
    const newcomer = take(there)
    expect(await stopped).toBe(true)
    await holder.release()
    const claim = await newcomer
    expect(claim.fence).toBeGreaterThan(holder.fence)
    await claim.release()
  })

  it('refuse a newcomer at another offset without disturbing the holder', async () => {
    const holder = await take(here)
    holder.position = 7
    await expect(there.take(ID, { offset: 3 })).rejects.toMatchObject({ code: 'ERR_OFFSET_MISMATCH' })
    expect(holder.stopped).toBe(false)
    await holder.release()
  })

  it('let a reader wait for the holder in the other one', async () => {
    const holder = await take(here)
    const stopped = new Promise<void>((resolve) => {
      holder.onStop = () => resolve()
    })
    const reading = there.settled(ID, {})
    await stopped
    await holder.release()
    expect((await reading)?.holder).toBeUndefined()
  })

  it('stop asking when the client is gone', async () => {
    const holder = await take(here)
    const gone = new AbortController()
    const newcomer = there.take(ID, { signal: () => gone.signal })
    const asked = new Promise<void>((resolve) => {
      holder.onStop = () => resolve()
    })
    await asked
    gone.abort()
    await expect(newcomer).rejects.toMatchObject({ code: 'ERR_LOCKED' })
    await holder.release()
  })
})
