// The loads: what connections do, the same for every server.

import { bytesFor } from './client/bodies.js'
import type { Load, Worker } from './measure.js'

const KIB = 1024
const MIB = 1024 * KIB

let uploads = 0

/** 1 KiB uploads: POST and the PATCH that completes it. */
export const smallUploads: Load = {
  connections: 32,
  begin: async ({ client, index, ledger }) => {
    return async () => {
      const number = ++uploads
      const path = await client.create(KIB)
      const size = await client.patch(path, 0, bytesFor(number, KIB))
      ledger.note(index, { path, numbers: [number], chunk: KIB, size })
      return 1
    }
  },
}

/** POSTs alone. */
export const creations: Load = {
  connections: 32,
  begin: async ({ client }) => {
    return async () => {
      await client.create(KIB)
      return 1
    }
  },
}

/** HEADs of an upload that has a chunk. */
export const offsetRequests: Load = {
  connections: 32,
  begin: async ({ client }) => {
    const path = await client.create(2 * KIB)
    const offset = await client.patch(path, 0, bytesFor(0, KIB))
    return async () => {
      await client.head(path, offset)
      return 1
    }
  },
}

/** HEADs of uploads that are there already, at random. None of them has a byte yet. */
export function offsetRequestsOf(ids: readonly string[]): Load {
  return {
    connections: 32,
    begin: async ({ client }) => {
      return async () => {
        await client.head(`/files/${ids[Math.floor(Math.random() * ids.length)]}`, 0)
        return 1
      }
    },
  }
}

/** PATCHes of one size, one after another, to one upload per connection. A unit is a PATCH, or a MiB of large ones. */
export function chunks(connections: number, size: number, steps?: number, headers?: (bytes: Buffer) => Headers): Load {
  const units = size >= MIB ? size / MIB : 1
  return {
    connections,
    ...(steps !== undefined && { steps }),
    begin: async (worker) => {
      const append = await appender(worker, size, headers)
      return async () => {
        await append()
        return units
      }
    },
  }
}

type Headers = Readonly<Record<string, string>>

async function appender(
  { client, index, ledger }: Worker,
  chunk: number,
  headers: (bytes: Buffer) => Headers = () => ({}),
): Promise<() => Promise<void>> {
  const number = ++uploads
  const bytes = bytesFor(number, chunk)
  const more = headers(bytes)
  const path = await client.create(2 ** 40)
  let size = 0
  return async () => {
    size = await client.patch(path, size, bytes, more)
    ledger.note(index, { path, numbers: [number], chunk, size })
  }
}

/** Whole uploads in one PATCH each, its body in parts of 1 MiB as fast as the server takes them. A unit is a MiB. */
export function wholeUploads(connections: number, mib: number, steps: number): Load {
  return {
    connections,
    steps,
    begin: async ({ client, index, ledger }) => {
      return async () => {
        const number = ++uploads
        const bytes = bytesFor(number, MIB)
        const path = await client.create(mib * MIB)
        const size = await client.patch(path, 0, { size: mib * MIB, parts: repeat(bytes, mib) })
        ledger.note(index, { path, numbers: [number], chunk: MIB, size })
        return mib
      }
    },
  }
}

/** The same bytes, several times. */
export function* repeat(bytes: Buffer, times: number): Generator<Buffer> {
  for (let index = 0; index < times; index++) yield bytes
}
