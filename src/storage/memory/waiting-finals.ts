// Which final uploads wait for which partial ones, so that no question about it looks at all uploads.

/** Final uploads that are neither assembled nor removed, by their partial uploads. */
export class WaitingFinals {
  readonly #finals = new Map<string, Set<string>>()
  readonly #ready = new Set<string>()

  /** Adds a final upload. */
  add(final: string, partials: readonly string[]): void {
    for (const partial of partials) {
      const finals = this.#finals.get(partial)
      if (finals === undefined) this.#finals.set(partial, new Set([final]))
      else finals.add(final)
    }
  }

  /** Takes a final upload away, which is assembled or removed. */
  delete(final: string, partials: readonly string[]): void {
    this.#ready.delete(final)
    for (const partial of partials) {
      const finals = this.#finals.get(partial)
      if (finals?.delete(final) && finals.size === 0) this.#finals.delete(partial)
    }
  }

  /** The final uploads that wait for a partial one. */
  of(partial: string): readonly string[] {
    return [...(this.#finals.get(partial) ?? [])]
  }

  /** How many there are. */
  count(partial: string): number {
    return this.#finals.get(partial)?.size ?? 0
  }

  /** Says whether nothing is left for a final upload to wait for. */
  setReady(final: string, isReady: boolean): void {
    if (isReady) this.#ready.add(final)
    else this.#ready.delete(final)
  }

  /** Those that are ready, in the order of their ids. */
  ready(after: string, limit: number): readonly string[] {
    const ids = [...this.#ready].filter((id) => id > after)
    return ids.sort().slice(0, limit)
  }
}
