// Calls of the application's own loggers.

/** Calls what the user gave to report to. It may fail, and it may be asynchronous: no request fails with it. */
export function quietly(report: () => unknown, onFailure: (failure: unknown) => void = () => {}): void {
  const run = async (): Promise<unknown> => report()
  run()
    .catch(onFailure)
    .catch(() => {})
}
