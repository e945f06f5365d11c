// The names of uploads in memory: which are taken, and which lie above or below others.

import type { NewUpload } from '../../upload.js'
import { inTheWay, namesAbove } from '../file-names.js'
import type { RefusedName } from '../storage.js'

/** Names, and the ids of those that have them: several where one may replace another. */
export class MemoryNames {
  readonly #owners = new Map<string, Set<string>>()
  /** How many names lie below a name. */
  readonly #below = new Map<string, number>()

  /** @param mayBeReplaced - whether the upload of an id leaves its name to another one */
  whyTaken(
    { name, overwrite = false }: Pick<NewUpload, 'name' | 'overwrite'>,
    mayBeReplaced: (id: string) => boolean,
  ): 'exists' | RefusedName | undefined {
    const owners = this.#owners.get(name) ?? []
    for (const id of owners) if (!overwrite || !mayBeReplaced(id)) return 'exists'
    const above = namesAbove(name).find((other) => this.#owners.has(other))
    const other = above ?? (this.#below.has(name) ? this.#nameBelow(name) : undefined)
    return other === undefined ? undefined : inTheWay(name, other)
  }

  add({ id, name }: Pick<NewUpload, 'id' | 'name'>): void {
    const owners = this.#owners.get(name)
    if (owners !== undefined) {
      owners.add(id)
      return
    }
    this.#owners.set(name, new Set([id]))
    for (const above of namesAbove(name)) this.#below.set(above, (this.#below.get(above) ?? 0) + 1)
  }

  remove({ id, name }: Pick<NewUpload, 'id' | 'name'>): void {
    const owners = this.#owners.get(name)
    if (owners === undefined || !owners.delete(id) || owners.size > 0) return
    this.#owners.delete(name)
    for (const above of namesAbove(name)) {
      const count = (this.#below.get(above) ?? 0) - 1
      if (count > 0) this.#below.set(above, count)
      else this.#below.delete(above)
    }
  }

  clear(): void {
    this.#owners.clear()
    this.#below.clear()
  }

  #nameBelow(name: string): string | undefined {
    for (const other of this.#owners.keys()) if (other.startsWith(`${name}/`)) return other
    return undefined
  }
}
