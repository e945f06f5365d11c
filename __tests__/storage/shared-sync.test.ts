import { sharedSync } from '../../src/storage/shared-sync.js'

/** A sync whose runs end when they are told to. */
function controlled() {
  const runs: { resolve(): void; reject(error: Error): void }[] = []
  let under = 0
  const sync = sharedSync(async () => {
    // One at a time: otherwise little would be shared.
    expect(++under).toBe(1)
    await new Promise<void>((resolve, reject) => runs.push({ resolve, reject })).finally(() => under--)
  })
  return { runs, sync }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
}

describe('sharedSync', () => {
  it('runs once for all who come with the first one', async () => {
    const { runs, sync } = controlled()
    const all = [sync(), sync()]
    await Promise.resolve()
    all.push(sync())
    await turns()
    expect(runs).toHaveLength(1)
    runs[0]?.resolve()
    await Promise.all(all)
    expect(runs).toHaveLength(1)
  })

  it('whoever comes while one runs waits for the next one, which all of them share', async () => {
    const { runs, sync } = controlled()
    const settled: string[] = []
    const track = (name: string): Promise<void> => sync().then(() => void settled.push(name))
    const all = [track('first')]
    await turns()
    expect(runs).toHaveLength(1)
    all.push(track('second'), track('third'))
    runs[0]?.resolve()
    await turns()
    expect(settled).toEqual(['first'])
    expect(runs).toHaveLength(2)
    const late = track('late')
    runs[1]?.resolve()
    await turns()
    expect(settled).toEqual(['first', 'second', 'third'])
    expect(runs).toHaveLength(3)
    runs[2]?.resolve()
    await Promise.all([...all, late])
  })

  it('nobody shares a run that had begun before, in whichever turn it comes', async () => {
    for (let wait = 0; wait < 10; wait++) {
      const { runs, sync } = controlled()
      const first = sync()
      await turns()
      void sync()
      runs[0]?.resolve()
      for (let turn = 0; turn < wait; turn++) await Promise.resolve()
      const before = runs.length
      let settled = false
      void sync().then(() => {
        settled = true
      })
      // Runs that had begun before end; only one that began later may settle it.
      for (let run = 0; run < before; run++) runs[run]?.resolve()
      await turns()
      expect(settled).toBe(false)
      expect(runs.length).toBeGreaterThan(before)
      for (let run = 0; run < 5; run++) {
        runs[run]?.resolve()
        await turns()
      }
      expect(settled).toBe(true)
      expect(runs.length).toBeLessThanOrEqual(3)
      await first
    }
  })

  it('a failure reaches all who shared the run, and nobody else', async () => {
    const { runs, sync } = controlled()
    const first = sync()
    await turns()
    const second = sync()
    const third = sync()
    runs[0]?.reject(new Error('EIO'))
    await expect(first).rejects.toThrow('EIO')
    await turns()
    runs[1]?.resolve()
    await Promise.all([second, third])
    const fourth = sync()
    await turns()
    runs[2]?.resolve()
    await fourth
  })
})
