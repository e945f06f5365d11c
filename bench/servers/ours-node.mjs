// This package under node:http.
import { createServer } from 'node:http'
import { prepareServer, SQLiteStorage, TusServer, tusListener } from 'resumable-upload'

/** Makes the server. */
export function serve(directory, options) {
  const tus = new TusServer({ storage: new SQLiteStorage({ directory }), ...options })
  return { server: prepareServer(createServer(tusListener(tus)), tus), cleanUp: () => tus.cleanUp() }
}
