// A claim in the hands of a request.

import type { Upload } from '../upload.js'

/** The exclusive right to write to one upload. */
export interface Claim {
  /** The record, read in the step that took the claim. */
  readonly upload: Upload
  /** Larger than that of every claim before. */
  readonly fence: number
  /** How far the bytes have come that were received, committed or not. Kept up to date by the holder. */
  position: number
  /** Whether somebody asked the holder to let go. */
  readonly stopped: boolean
  /**
   * Called once when somebody asks the holder to let go.
   * `keep` is false if bytes that were received but not counted in `position` must be dropped.
   */
  onStop: ((keep: boolean) => void) | undefined
  /** Gives the claim back. */
  release(): Promise<void>
  /** Says that a commit has given the claim back already. */
  released(): void
}

/** How a claim goes back to where it came from. */
export interface HeldClaimActions {
  /** `moved`: whether bytes came under the claim, committed or not. */
  giveBack(fence: number, moved: boolean): Promise<void>
  freed(): void
}

/** What stands for the claim of an upload that is complete, and was not claimed. */
export function overClaim(upload: Upload): Claim {
  const claim = new HeldClaim({ upload, fence: 0 }, { giveBack: async () => {}, freed: () => {} })
  claim.released()
  return claim
}

/** The claim of {@link Claims}. */
export class HeldClaim implements Claim {
  readonly upload: Upload
  readonly fence: number
  readonly #actions: HeldClaimActions
  position: number
  stopped = false
  onStop: ((keep: boolean) => void) | undefined
  #over = false

  constructor({ upload, fence }: { upload: Upload; fence: number }, actions: HeldClaimActions) {
    this.upload = upload
    this.fence = fence
    this.position = upload.offset
    this.#actions = actions
  }

  stop(keep: boolean): void {
    if (this.stopped || this.#over) return
    this.stopped = true
    this.onStop?.(keep)
  }

  async release(): Promise<void> {
    if (this.#over) return
    try {
      await this.#actions.giveBack(this.fence, this.position !== this.upload.offset)
    } finally {
      this.released()
    }
  }

  released(): void {
    if (this.#over) return
    this.#over = true
    this.#actions.freed()
  }
}
