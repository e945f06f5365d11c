// The workloads that all servers are compared by.

import { chunks, creations, offsetRequests, smallUploads, wholeUploads } from '../loads.js'
import { OURS_EXPRESS, OURS_NODE, withoutSyncs } from '../servers.js'
import { compare } from './comparison.js'
import type { Scenario } from './scenario.js'

const KIB = 1024
const MIB = 1024 * KIB

/** Side by side, in memory (tmpfs), with the defaults of each server. */
export const WORKLOADS: readonly Scenario[] = [
  compare({
    name: 'upload',
    title: '1 KiB upload = POST + PATCH, 32 connections',
    unit: 'upload',
    load: () => smallUploads,
    // The only small request whose default syncs, and no other server does.
    besides: [withoutSyncs(OURS_EXPRESS), withoutSyncs(OURS_NODE)],
  }),
  compare({ name: 'post', title: 'POST only, 32 connections', unit: 'request', load: () => creations }),
  compare({
    name: 'patch',
    title: '64 KiB PATCH, 16 connections',
    unit: 'request',
    load: () => chunks({ connections: 16, size: 64 * KIB, each: 256 }),
  }),
  compare({ name: 'head', title: 'HEAD, 32 connections', unit: 'request', load: () => offsetRequests }),
  compare({
    name: 'chunks',
    title: '8 MiB PATCHes, 4 connections',
    unit: 'MiB',
    load: ({ shrink }) => chunks({ connections: 4, size: 8 * MIB, each: 8, steps: 256 / shrink }),
  }),
  compare({
    name: 'huge',
    title: '1 GiB in one PATCH',
    unit: 'MiB',
    load: ({ shrink }) => wholeUploads({ connections: 1, mib: 1024 / shrink, steps: 2, removed: true }),
  }),
  compare({
    name: 'parallel',
    title: '100 parallel uploads of 10 MiB, one PATCH each',
    unit: 'MiB',
    load: ({ shrink }) => wholeUploads({ connections: 100, mib: 10, steps: 200 / shrink, removed: true }),
  }),
]
