// A set of what comes and goes with every request.
import fc from 'fast-check'
import { Bag, type BagMember } from '../../src/bag.js'

const member = (): BagMember => ({ place: -1 })

it('does what a Set does', () => {
  const steps = fc.array(fc.record({ adds: fc.boolean(), which: fc.nat(9) }), { maxLength: 100 })
  fc.assert(
    fc.property(steps, (all) => {
      const members = Array.from({ length: 10 }, member)
      const bag = new Bag()
      const set = new Set<BagMember>()
      for (const { adds, which } of all) {
        const one = members[which] as BagMember
        if (!adds) expect(bag.delete(one)).toBe(set.delete(one))
        else if (!set.has(one)) {
          bag.add(one)
          set.add(one)
        }
        expect(bag.size).toBe(set.size)
        expect(new Set(bag.all())).toEqual(set)
        expect(bag.all().length).toBe(set.size)
      }
    }),
  )
})

it('knows a member of another one from its own', () => {
  const [bag, other] = [new Bag(), new Bag()]
  const [mine, theirs] = [member(), member()]
  bag.add(mine)
  other.add(theirs)
  expect(bag.delete(theirs)).toBe(false)
  expect(bag.all()).toEqual([mine])
  expect(other.delete(theirs)).toBe(true)
})

it('may change while somebody goes through it', () => {
  const bag = new Bag()
  const members = Array.from({ length: 5 }, member)
  for (const one of members) bag.add(one)
  const seen = bag.all().filter((one) => bag.delete(one))
  expect(seen).toEqual(members)
  expect(bag.size).toBe(0)
})
