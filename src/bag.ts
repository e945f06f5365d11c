// A set of objects that come and go with every request.

/** What a bag can hold. */
export interface BagMember {
  /** Where it lies in the bag; the bag's own to change. */
  place: number
}

/**
 * A set of objects. Not a `Set`: one that is added to and taken from all the time is copied again and again, each copy
 * refers to the next one, and so all that lay in those that have grown old is kept until the whole heap is collected.
 */
export class Bag<T extends BagMember> {
  readonly #members: T[] = []

  /** How many there are. */
  get size(): number {
    return this.#members.length
  }

  /** Puts one in that is in no bag. */
  add(member: T): void {
    member.place = this.#members.length
    this.#members.push(member)
  }

  /** Takes one out. @returns whether it was there */
  delete(member: T): boolean {
    const { place } = member
    if (this.#members[place] !== member) return false
    const last = this.#members.pop() as T
    if (last !== member) {
      this.#members[place] = last
      last.place = place
    }
    member.place = -1
    return true
  }

  /** Those that are there now; what becomes of the bag meanwhile does not matter. */
  all(): readonly T[] {
    return [...this.#members]
  }
}
