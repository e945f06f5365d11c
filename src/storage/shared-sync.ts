// Lets all who wait for the same thing to reach the disk share one sync.

/**
 * Wraps a sync so that concurrent callers share runs of it. A caller that comes while one is under way waits for the
 * next one, since the running one may have begun before the caller's bytes were written.
 * @param run - syncs once
 */
export function sharedSync(run: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  let next: Promise<void> | undefined
  const start = (): Promise<void> => {
    next = undefined
    running = run().finally(() => {
      running = undefined
    })
    return running
  }
  return () => {
    // The next run may be due although the running one has just ended.
    if (next !== undefined) return next
    // Those who have committed together come together: one run is enough for all of them.
    next = (running ?? turn()).then(start, start)
    return next
  }
}

/** Settles once all that is under way at the moment has come as far as it can. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
