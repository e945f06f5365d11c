// Checks the options of a server, and fills in the defaults.

import { availableParallelism } from 'node:os'
import { CHECKSUM_ALGORITHMS, type ChecksumAlgorithm } from './checksum.js'
import type { Hooks } from './hooks.js'
import type {
  ConcatenationOptions,
  ExpirationOptions,
  ResolvedExpiration,
  ResolvedOptions,
  TusServerOptions,
} from './options.js'
import type { Storage } from './storage/storage.js'

const KIB = 1024
const MIB = 1024 * KIB

/**
 * Fills in the defaults.
 * @throws TypeError if an option can't be what it says
 */
export function resolveOptions(options: TusServerOptions): ResolvedOptions {
  const { storage, durability = 'completed', basePath = '/files', maxSize } = options
  if (typeof storage?.openStage !== 'function') throw new TypeError('TusServer: storage must be a Storage')
  if (!['completed', 'committed', 'none'].includes(durability)) {
    throw new TypeError(`TusServer: durability must be 'completed', 'committed' or 'none', not ${durability}`)
  }
  return {
    storage,
    basePath: resolveBasePath(basePath),
    maxSize: maxSize === undefined || typeof maxSize === 'function' ? maxSize : natural('maxSize', maxSize, 0),
    maxChunkSize: natural('maxChunkSize', options.maxChunkSize ?? Number.MAX_SAFE_INTEGER, 1),
    maxMetadataSize: natural('maxMetadataSize', options.maxMetadataSize ?? 8 * KIB, 0),
    minFreeBytes: resolveMinFreeBytes(options.minFreeBytes, storage),
    checksumAlgorithms: resolveAlgorithms(options.checksumAlgorithms),
    cors: options.cors ?? false,
    downloads: options.downloads ?? false,
    generateId: options.generateId,
    absoluteLocation: options.absoluteLocation ?? false,
    expiration: options.expiration ? resolveExpiration(options.expiration, storage) : undefined,
    ...resolveConcatenation(options.concatenation, storage),
    publicUrl: resolvePublicUrl(options.publicUrl),
    hooks: pickHooks(options),
    completion: resolveCompletion(options),
    completionConcurrency: natural('completionConcurrency', options.completionConcurrency ?? 16, 1),
    hookTimeoutMs: natural('hookTimeoutMs', options.hookTimeoutMs ?? 3_600_000, 0),
    durability,
    claimWaitMs: natural('claimWaitMs', options.claimWaitMs ?? 15_000, 0),
    leaseMs: natural('leaseMs', options.leaseMs ?? 10_000, 1),
    maxActiveBodies: natural(
      'maxActiveBodies',
      options.maxActiveBodies ?? Math.min(Math.max(availableParallelism(), 2), 4),
      1,
    ),
    memoryBudget: natural('memoryBudget', options.memoryBudget ?? 64 * MIB, 0),
    segmentBytes: natural('segmentBytes', options.segmentBytes ?? 16 * MIB, 1),
    segmentMs: natural('segmentMs', options.segmentMs ?? 1000, 0),
    stallTimeoutMs: natural('stallTimeoutMs', options.stallTimeoutMs ?? 60_000, 0),
    minBytesPerSecond: natural('minBytesPerSecond', options.minBytesPerSecond ?? 1, 1),
    logger: options.logger ?? console,
    onError: options.onError ?? (() => {}),
    now: options.now ?? Date.now,
  }
}

function resolveMinFreeBytes(minFreeBytes = 0, { freeBytes }: Storage): number {
  if (minFreeBytes !== 0 && freeBytes === undefined) {
    throw new TypeError('TusServer: minFreeBytes needs a storage that knows how much is free')
  }
  return natural('minFreeBytes', minFreeBytes, 0)
}

function resolveExpiration(expiration: ExpirationOptions, storage: Storage): ResolvedExpiration {
  if (storage.expired === undefined) throw new TypeError('TusServer: this storage can not find expired uploads')
  const { unfinishedAfterMs, finishedAfterMs, sweepEveryMs = 60_000, rememberMs = 7 * 24 * 60 * 60_000 } = expiration
  return {
    unfinishedAfterMs: natural('expiration.unfinishedAfterMs', unfinishedAfterMs, 1),
    finishedAfterMs:
      finishedAfterMs === undefined ? undefined : natural('expiration.finishedAfterMs', finishedAfterMs, 1),
    sweepEveryMs: natural('expiration.sweepEveryMs', sweepEveryMs, 1),
    rememberMs: natural('expiration.rememberMs', rememberMs, 0),
  }
}

function resolveConcatenation(
  options: ConcatenationOptions | false | undefined,
  { assemble, takeCompletion }: Storage,
): Pick<ResolvedOptions, 'concatenation' | 'keepPartials'> {
  const can = assemble !== undefined && takeCompletion !== undefined
  if (options && !can) throw new TypeError('TusServer: this storage can not concatenate uploads')
  return { concatenation: can && options !== false, keepPartials: options ? (options.keepPartials ?? false) : false }
}

function resolveCompletion({
  completion = 'await',
  onUploadComplete,
  storage,
}: TusServerOptions): 'await' | 'background' {
  if (completion !== 'await' && completion !== 'background') {
    throw new TypeError(`TusServer: completion must be 'await' or 'background', not ${String(completion)}`)
  }
  if (onUploadComplete !== undefined && storage.takeCompletion === undefined) {
    throw new TypeError('TusServer: onUploadComplete needs a storage that remembers what is to be done')
  }
  return completion
}

const HOOKS = [
  'onIncomingRequest',
  'onUploadCreate',
  'onChunkReceived',
  'onUploadComplete',
  'onBeforeTerminate',
  'onUploadTerminate',
] as const

function pickHooks(options: TusServerOptions): Hooks {
  const hooks: Partial<Record<keyof Hooks, unknown>> = {}
  for (const name of HOOKS satisfies readonly (keyof Hooks)[]) {
    const hook = options[name]
    if (hook === undefined) continue
    if (typeof hook !== 'function') throw new TypeError(`TusServer: ${name} must be a function`)
    hooks[name] = hook
  }
  return hooks as Hooks
}

function resolveAlgorithms(names: readonly ChecksumAlgorithm[] = CHECKSUM_ALGORITHMS): readonly ChecksumAlgorithm[] {
  for (const name of names) {
    if (!CHECKSUM_ALGORITHMS.includes(name)) throw new TypeError(`TusServer: checksumAlgorithms: there is no ${name}`)
  }
  return names
}

function resolvePublicUrl(url: string | undefined): string | undefined {
  if (url === undefined) return undefined
  if (!URL.canParse(url, 'http://any')) throw new TypeError(`TusServer: publicUrl must be a URL or a path: ${url}`)
  return url.replace(/\/+$/, '')
}

function resolveBasePath(basePath: string): string {
  if (!basePath.startsWith('/')) throw new TypeError(`TusServer: basePath must begin with a slash: ${basePath}`)
  return basePath.replace(/\/+$/, '')
}

function natural(name: string, value: number, least: number): number {
  if (Number.isSafeInteger(value) && value >= least) return value
  throw new TypeError(`TusServer: ${name} must be an integer of at least ${least}, not ${value}`)
}
