// The loads: what connections do, the same for every server.

import { bytesFor } from './client/bodies.js'
import type { Load } from './measure.js'

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

/** PATCHes of one size, one after another. */
export interface Chunks {
  readonly connections: number
  /** In bytes. */
  readonly size: number
  /**
   * How many make up one upload, whose file is removed after the warm-up, so that it takes no memory that the measurement
   * needs; without this all of a connection go to one upload without end.
   */
  readonly each?: number
  /** How many a window has in all; without this it lasts a time. */
  readonly steps?: number
  /** Begins a connection's chunks of these bytes; what it returns gives more headers for each. */
  headers?(bytes: Buffer): () => Readonly<Record<string, string>>
}

/** PATCHes to one upload per connection at a time. A unit is a PATCH, or a MiB of large ones. */
export function chunks({ connections, size: chunk, each, steps, headers }: Chunks): Load {
  const units = chunk >= MIB ? chunk / MIB : 1
  return {
    connections,
    ...(steps !== undefined && { steps }),
    begin: async ({ client, index, ledger }) => {
      const number = ++uploads
      const bytes = bytesFor(number, chunk)
      const more = headers?.(bytes)
      const length = each === undefined ? 2 ** 40 : each * chunk
      let path: string | undefined
      let size = 0
      return async () => {
        path ??= await client.create(length)
        size = await client.patch(path, size, bytes, more?.())
        const upload = { path, numbers: [number], chunk, size }
        ledger.note(index, upload)
        if (size === length) {
          ledger.finish(upload)
          ;[path, size] = [undefined, 0]
        }
        return units
      }
    },
  }
}

/** Whole uploads in one PATCH each. */
export interface WholeUploads {
  readonly connections: number
  /** How large each is, in MiB. */
  readonly mib: number
  /** How many a window has in all. */
  readonly steps: number
  /** Whether files are removed after the warm-up, so that they take no memory that the measurement needs. */
  readonly removed?: boolean
}

/** Whole uploads, the body in parts of 1 MiB as fast as the server takes them. A unit is a MiB. */
export function wholeUploads({ connections, mib, steps, removed = false }: WholeUploads): Load {
  return {
    connections,
    steps,
    begin: async ({ client, index, ledger }) => {
      return async () => {
        const number = ++uploads
        const bytes = bytesFor(number, MIB)
        const path = await client.create(mib * MIB)
        const size = await client.patch(path, 0, { size: mib * MIB, parts: repeat(bytes, mib) })
        const upload = { path, numbers: [number], chunk: MIB, size }
        ledger.note(index, upload)
        if (removed) ledger.finish(upload)
        return mib
      }
    },
  }
}

/** The same bytes, several times. */
export function* repeat(bytes: Buffer, times: number): Generator<Buffer> {
  for (let index = 0; index < times; index++) yield bytes
}
