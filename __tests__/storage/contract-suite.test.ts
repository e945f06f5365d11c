// The contract suite itself: where it runs, what it leaves out, and that it finds what is wrong.
import { MemoryStorage } from '../../src/storage/memory/memory-storage.js'
import type { Storage } from '../../src/storage/storage.js'
import { type StorageContractOptions, storageContract } from '../../src/testing/index.js'
import { built, runNode } from './support/run-node.js'

const OWNER = 'this process'

/** A storage that can do nothing optional. */
function bareStorage(): Storage {
  const storage = new MemoryStorage()
  const fenceOf = async (id: string): Promise<number> => {
    const claim = await storage.claim(id, { owner: OWNER, ttlMs: 1e9, dead: OWNER })
    return claim !== undefined && 'fence' in claim ? claim.fence : -1
  }
  return {
    create: (upload) => storage.create(upload),
    get: async (id) => {
      const upload = await storage.get(id)
      return upload && { ...upload, holder: undefined }
    },
    openStage: async (id, _fence, from) => storage.openStage(id, await fenceOf(id), from),
    remove: async (id) => storage.remove(id, await fenceOf(id)),
    close: () => storage.close(),
  }
}

interface Collected {
  readonly title: string
  run(): Promise<void>
}

/** Declares the tests without running them. */
function collect(createStorage: () => Storage | Promise<Storage>, options: StorageContractOptions = {}): Collected[] {
  const tests: Collected[] = []
  const prefix: string[] = []
  storageContract('x', createStorage, {
    largeBytes: 2 * 1024 * 1024,
    describe: (name, body) => {
      prefix.push(name)
      body()
      prefix.pop()
    },
    it: (name, run) => tests.push({ title: `${prefix.slice(1).join(' › ')} › ${name}`, run }),
    ...options,
  })
  return tests
}

/** The titles of the tests that a storage does not pass. */
async function failuresOf(createStorage: () => Storage): Promise<string[]> {
  const failed: string[] = []
  for (const { title, run } of collect(createStorage)) {
    await run().catch(() => failed.push(title))
  }
  return failed
}

storageContract('a storage that can do nothing optional', bareStorage, { largeBytes: 1024 * 1024 })

describe('storageContract', () => {
  it('has no tests of what the storage can not do', () => {
    const titles = collect(bareStorage).map(({ title }) => title)
    expect(
      titles.filter((title) =>
        /claims ›|takeovers ›|random operations ›|read back|be read,|be read$|reader|tidying/.test(title),
      ),
    ).toEqual(['records › an upload that was created is read back as it was'])
    expect(titles.length).toBeLessThan(collect(() => new MemoryStorage()).length)
  })

  it('a storage that is made asynchronously needs its capabilities to be told', async () => {
    expect(() => collect(async () => bareStorage())).toThrow('so the option capabilities is needed')
    const [first] = collect(async () => bareStorage(), { capabilities: [] })
    await first?.run()
  })

  it('capabilities that were told and are not there, or the other way round, are a failure', async () => {
    for (const [createStorage, capabilities] of [
      [bareStorage, ['read']],
      [() => new MemoryStorage(), []],
    ] as const) {
      const [first] = collect(createStorage, { capabilities })
      expect(first?.title).toMatch(/^capabilities › it can/)
      await expect(first?.run()).rejects.toThrow()
    }
  })

  it('without describe and it, there is an error that says where to get them', async () => {
    const { stdout } = await runNode(`
      const { storageContract } = require(${JSON.stringify(built('testing/index.js'))})
      try { storageContract('x', () => ({})) } catch (error) { console.log(error.message) }`)
    expect(stdout).toBe(
      "storageContract: no global describe and it; pass them: import { describe, it } from 'node:test'\n",
    )
  })

  it('runs under node:test, as the package exports it', async () => {
    const { code, stdout } = await runNode(
      `import { describe, it } from 'node:test'
       import { storageContract } from ${JSON.stringify(built('testing/index.js', 'esm'))}
       import { MemoryStorage } from ${JSON.stringify(built('storage/memory/memory-storage.js', 'esm'))}
       storageContract('MemoryStorage', ({ now }) => new MemoryStorage({ now }), { describe, it })`,
      { esm: true },
    )
    expect(stdout).toMatch(/pass \d\d/)
    expect(stdout).toMatch(/fail 0/)
    expect(code).toBe(0)
  })

  it.each<[string, (storage: MemoryStorage) => Partial<Storage>, RegExp]>([
    ['lets two have a claim', () => ({ claim: claimWithoutLooking() }), /a claim excludes others/],
    [
      'commits what was written late',
      (storage) => ({
        openStage: async (id, _fence, from) => {
          const { fence } = (await storage.get(id)) as unknown as { fence: number }
          return storage.openStage(id, fence, from)
        },
      }),
      /opens its stage only after it lost the claim/,
    ],
    [
      'shows what is only staged',
      (storage) => ({
        openStage: async (id, fence, from) => {
          const stage = await storage.openStage(id, fence, from)
          let position = from
          return {
            write: async (chunks) => {
              await stage.write(chunks)
              position += chunks.reduce((sum, { length }) => sum + length, 0)
              await stage.commit({ to: position, durable: false })
            },
            commit: (commit) => stage.commit(commit),
            discard: () => stage.discard(),
            close: () => stage.close(),
          }
        },
      }),
      /staged bytes count for nothing/,
    ],
    [
      'keeps metadata only roughly',
      (storage) => ({
        create: (upload) => storage.create({ ...upload, metadata: upload.metadata?.trim() }),
      }),
      /metadata is kept byte for byte/,
    ],
    ['overwrites', () => ({ create: () => 'created' as const }), /an id is taken once/],
    ['removes without the claim', (storage) => ({ remove: removeAnyway(storage) }), /removing needs the claim/],
  ])('finds a storage that %s', async (_title, broken, expected) => {
    const failed = await failuresOf(() => {
      const storage = new MemoryStorage()
      const changed = broken(storage)
      return new Proxy<Storage>(storage, {
        get(target, name: keyof Storage) {
          const member = changed[name] ?? target[name]
          return typeof member === 'function' ? member.bind(target as never) : member
        },
      })
    })
    expect(failed).toContainEqual(expect.stringMatching(expected))
  })
})

function claimWithoutLooking(): NonNullable<Storage['claim']> {
  return async function (this: MemoryStorage, id, request) {
    const upload = await this.get(id)
    return this.claim(id, { ...request, dead: upload?.holder?.owner })
  }
}

function removeAnyway(storage: MemoryStorage): Storage['remove'] {
  return async (id) => {
    const upload = (await storage.get(id)) as unknown as { fence: number } | undefined
    return upload === undefined ? 'gone' : storage.remove(id, upload.fence)
  }
}
