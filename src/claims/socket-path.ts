// Where the sockets of server instances are: in the folder that they share, or beside other temporary files if its path
// is too long. On Windows they are named pipes, which end with their process.

import { createHash } from 'node:crypto'
import { opendir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isOwner } from './owner.js'

/** `sun_path` has 104 bytes on macOS and 108 on Linux; longer ones are cut off in silence. */
const MAX_SOCKET_PATH_BYTES = 103
const OWNER_CHARACTERS = 25

/** The socket of a server instance. */
export interface OwnedSocket {
  readonly owner: string
  readonly path: string
}

/**
 * The path of the socket of a server instance.
 * @throws Error with code `ENAMETOOLONG` if there is no path that is short enough
 */
export function socketPath(folder: string, owner: string): string {
  if (process.platform === 'win32') return `\\\\.\\pipe\\resumable-upload-${owner}`
  const { base, prefix } = placeOf(folder)
  const path = join(base, prefix + owner)
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path
  throw Object.assign(new Error(`the path of a socket has at most ${MAX_SOCKET_PATH_BYTES} bytes: ${path}`), {
    code: 'ENAMETOOLONG',
  })
}

/** The sockets that are there, those of crashed processes included. None on Windows. */
export async function* listSockets(folder: string): AsyncGenerator<OwnedSocket> {
  if (process.platform === 'win32') return
  const { base, prefix } = placeOf(folder)
  for await (const { name } of await opendir(base)) {
    const owner = name.slice(prefix.length)
    if (name.startsWith(prefix) && isOwner(owner)) yield { owner, path: join(base, name) }
  }
}

function placeOf(folder: string): { readonly base: string; readonly prefix: string } {
  if (Buffer.byteLength(folder) + 1 + OWNER_CHARACTERS <= MAX_SOCKET_PATH_BYTES) return { base: folder, prefix: '' }
  const mark = createHash('sha256').update(folder).digest('hex').slice(0, 16)
  return { base: tmpdir(), prefix: `ru-${mark}-` }
}
