// The servers that are compared.

import type { ServerSpec } from './server-process.js'

/** A server, and the bare handler beside which its own cost shows. */
export interface Rival extends ServerSpec {
  /** The name of the bare handler of the same framework. */
  readonly bare: string
}

/** This package in Express 5, with its defaults. */
export const OURS_EXPRESS = { name: 'this package, Express', file: 'ours-express', bare: 'bare Express' } as const
/** This package on node:http, with its defaults. */
export const OURS_NODE = { name: 'this package, node:http', file: 'ours-node', bare: 'bare node:http' } as const
/** What ratios are taken against. */
export const TUS_SERVER = { name: '@tus/server, Express', file: 'tus-server', bare: 'bare Express' } as const
export const UPLOADX = { name: '@uploadx/core, Express', file: 'uploadx', bare: 'bare Express' } as const
export const BARE_EXPRESS = { name: 'bare Express', file: 'bare-express', bare: 'bare Express' } as const
export const BARE_NODE = { name: 'bare node:http', file: 'bare-node', bare: 'bare node:http' } as const
/** A bare handler that hashes what it takes, for what the hash alone costs. */
export const HASHING = { name: 'a hash alone', file: 'hashing', bare: 'bare node:http' } as const

/** All of them, in the order of tables. */
export const RIVALS: readonly Rival[] = [OURS_EXPRESS, OURS_NODE, TUS_SERVER, UPLOADX, BARE_EXPRESS, BARE_NODE]

/** The same server without any sync: what the others do. */
export function withoutSyncs(server: Rival): Rival {
  return { ...server, name: `${server.name}, durability 'none'`, options: { durability: 'none' } }
}
