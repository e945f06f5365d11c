// Checks the options of a server, and fills in the defaults.

import { availableParallelism } from 'node:os'
import {
  boolean,
  type Checks,
  callback,
  checkOptions,
  either,
  integer,
  milliseconds,
  nearest,
  nested,
  objectWith,
  off,
  oneOf,
  show,
} from './check-options.js'
import { CHECKSUM_ALGORITHMS } from './checksum.js'
import { CORS_ALIASES, CORS_CHECKS } from './cors.js'
import type { Hooks } from './hooks.js'
import type {
  ConcatenationOptions,
  ExpirationOptions,
  ResolvedExpiration,
  ResolvedOptions,
  TusServerOptions,
} from './options.js'
import type { Storage } from './storage/storage.js'
import { isUrlOrPath, URL_OR_PATH } from './url-or-path.js'

const KIB = 1024
const MIB = 1024 * KIB
/** No time is counted beyond this: `Date` knows none after 8.64e15 ms. */
const MAX_AGE_MS = 4e15

const STORAGE_METHODS = ['create', 'get', 'openStage', 'remove', 'close'] as const satisfies readonly (keyof Storage)[]
/** What a storage needs that remembers what is to be done. */
const COMPLETIONS = [
  'dueCompletions',
  'takeCompletion',
  'renewCompletion',
  'settleCompletion',
] as const satisfies readonly (keyof Storage)[]

const EXPIRATION_CHECKS: Checks<ExpirationOptions> = {
  unfinishedAfterMs: integer(1, MAX_AGE_MS),
  finishedAfterMs: integer(1, MAX_AGE_MS),
  sweepEveryMs: milliseconds(1),
  rememberMs: integer(0, MAX_AGE_MS),
}

const CONCATENATION_CHECKS: Checks<ConcatenationOptions> = {
  keepPartials: boolean,
  maxPartials: integer(1),
}

/**
 * The checks of all options of a server; {@link Checks} says how to add one. Its default goes into `resolveOptions`.
 */
const CHECKS: Checks<TusServerOptions> = {
  storage: isStorage,
  basePath: isBasePath,
  maxSize: either(integer(0), callback),
  maxChunkSize: integer(1),
  maxMetadataSize: integer(0),
  minFreeBytes: integer(0),
  checksumAlgorithms: areAlgorithms,
  cors: either(nested(CORS_CHECKS, { aliases: CORS_ALIASES }), off),
  downloads: boolean,
  termination: boolean,
  expiration: either(nested(EXPIRATION_CHECKS, { required: ['unfinishedAfterMs'] }), off),
  concatenation: either(nested(CONCATENATION_CHECKS), off),
  completion: oneOf('await', 'background'),
  completionConcurrency: integer(1),
  hookTimeoutMs: milliseconds(0),
  generateId: callback,
  absoluteLocation: boolean,
  publicUrl: either(isPublicUrl, callback),
  location: callback,
  durability: oneOf('completed', 'committed', 'none'),
  claimWaitMs: milliseconds(0),
  leaseMs: milliseconds(1),
  maxActiveBodies: integer(1),
  memoryBudget: integer(0),
  segmentBytes: integer(1),
  segmentMs: milliseconds(0),
  stallTimeoutMs: integer(0),
  minBytesPerSecond: integer(1),
  onIncomingRequest: callback,
  onUploadCreate: callback,
  onChunkReceived: callback,
  onUploadComplete: callback,
  onBeforeTerminate: callback,
  onUploadTerminate: callback,
  logger: objectWith('a logger', 'warn', 'error'),
  onError: callback,
  now: callback,
}

/** What other packages call these options: @tus/server, tus-node-server, multer, formidable. */
const ALIASES: Readonly<Record<string, string>> = {
  path: 'basePath',
  endpoint: 'basePath',
  datastore: 'storage',
  dataStore: 'storage',
  store: 'storage',
  directory: "storage: new SQLiteStorage({ directory: '…' })",
  dest: "storage: new SQLiteStorage({ directory: '…' })",
  maxFileSize: 'maxSize',
  fileSize: 'maxSize',
  limits: 'maxSize',
  relativeLocation: 'absoluteLocation',
  respectForwardedHeaders: "absoluteLocation (and Express's setting trust proxy)",
  generateUrl: 'location',
  namingFunction: 'generateId',
  filename: 'onUploadCreate, which returns the name',
  fileFilter: 'onUploadCreate, which throws',
  onUploadFinish: 'onUploadComplete',
  disableTerminationForFinishedUploads: 'termination, or onBeforeTerminate',
  onFinish: 'onUploadComplete',
  onResponseError: 'onError',
  allowedOrigins: 'cors.origin',
  allowedHeaders: 'cors.allowedHeaders',
  exposedHeaders: 'cors.exposedHeaders',
  allowedCredentials: 'cors.credentials',
  lockDrainTimeout: 'claimWaitMs',
  expirationPeriodInMilliseconds: 'expiration.unfinishedAfterMs',
}

/**
 * Fills in the defaults.
 * @throws TypeError if an option can't be what it says
 */
export function resolveOptions(given: TusServerOptions): ResolvedOptions {
  const options = checkOptions('TusServer', given, CHECKS, { aliases: ALIASES, required: ['storage'] })
  const { storage } = options
  return {
    storage,
    basePath: (options.basePath ?? '/files').replace(/\/+$/, ''),
    maxSize: options.maxSize,
    maxChunkSize: options.maxChunkSize ?? Number.MAX_SAFE_INTEGER,
    maxMetadataSize: options.maxMetadataSize ?? 8 * KIB,
    minFreeBytes: resolveMinFreeBytes(options.minFreeBytes, storage),
    checksumAlgorithms: options.checksumAlgorithms ?? CHECKSUM_ALGORITHMS,
    cors: options.cors ?? false,
    downloads: options.downloads ?? false,
    termination: options.termination ?? true,
    generateId: options.generateId,
    absoluteLocation: options.absoluteLocation ?? false,
    expiration: options.expiration ? resolveExpiration(options.expiration, storage) : undefined,
    ...resolveConcatenation(options.concatenation, storage),
    publicUrl: typeof options.publicUrl === 'string' ? options.publicUrl.replace(/\/+$/, '') : options.publicUrl,
    location: options.location,
    hooks: pickHooks(options),
    isOpen: !(options.onIncomingRequest ?? options.onUploadCreate) && options.expiration === undefined,
    completion: options.completion ?? 'await',
    completionConcurrency: options.completionConcurrency ?? 16,
    hookTimeoutMs: options.hookTimeoutMs ?? 3_600_000,
    durability: options.durability ?? 'completed',
    claimWaitMs: options.claimWaitMs ?? 15_000,
    leaseMs: options.leaseMs ?? 10_000,
    maxActiveBodies: options.maxActiveBodies ?? Math.min(Math.max(availableParallelism(), 2), 4),
    memoryBudget: options.memoryBudget ?? 64 * MIB,
    segmentBytes: options.segmentBytes ?? 16 * MIB,
    segmentMs: options.segmentMs ?? 1000,
    stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
    minBytesPerSecond: options.minBytesPerSecond ?? 1,
    logger: options.logger ?? console,
    onError: options.onError ?? (() => {}),
    now: options.now ?? Date.now,
  }
}

function resolveMinFreeBytes(minFreeBytes = 0, { freeBytes }: Storage): number {
  if (minFreeBytes !== 0 && freeBytes === undefined) {
    throw new TypeError('TusServer: minFreeBytes needs a storage that knows how much is free')
  }
  return minFreeBytes
}

function resolveExpiration(expiration: ExpirationOptions, storage: Storage): ResolvedExpiration {
  if (storage.expired === undefined) throw new TypeError('TusServer: this storage can not find expired uploads')
  const { unfinishedAfterMs, finishedAfterMs, sweepEveryMs = 60_000, rememberMs = 7 * 24 * 60 * 60_000 } = expiration
  return { unfinishedAfterMs, finishedAfterMs, sweepEveryMs, rememberMs }
}

function resolveConcatenation(
  options: ConcatenationOptions | false | undefined,
  { assemble, takeCompletion }: Storage,
): Pick<ResolvedOptions, 'concatenation' | 'keepPartials' | 'maxPartials'> {
  const can = assemble !== undefined && takeCompletion !== undefined
  if (options && !can) throw new TypeError('TusServer: this storage can not concatenate uploads')
  const { keepPartials = false, maxPartials = 64 } = options || {}
  return { concatenation: can && options !== false, keepPartials, maxPartials }
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
  if (options.onUploadComplete !== undefined && options.storage.takeCompletion === undefined) {
    throw new TypeError('TusServer: onUploadComplete needs a storage that remembers what is to be done')
  }
  const hooks: Partial<Record<keyof Hooks, unknown>> = {}
  for (const name of HOOKS satisfies readonly (keyof Hooks)[]) {
    if (options[name] !== undefined) hooks[name] = options[name]
  }
  return hooks as Hooks
}

function isStorage(value: unknown): string | undefined {
  const wrong = objectWith('a Storage', ...STORAGE_METHODS)(value, { owner: 'TusServer', name: 'storage' })
  if (wrong !== undefined) return wrong
  const storage = value as Storage
  // What is taken and never settled would be done for ever.
  const lacking = storage.takeCompletion && COMPLETIONS.find((method) => typeof storage[method] !== 'function')
  return lacking === undefined ? undefined : `a Storage: one that has takeCompletion() needs ${lacking}(), too`
}

/** A path that can begin a `Location` without leading to another host. */
function isBasePath(value: unknown): string | undefined {
  return typeof value === 'string' && /^\/(?![/\\])[^\\?#\s]*$/.test(value)
    ? undefined
    : "a path that begins with one slash, such as '/files'"
}

function isPublicUrl(value: unknown): string | undefined {
  return isUrlOrPath(value) && !/[?#]/.test(value) ? undefined : `${URL_OR_PATH}, without a query`
}

function areAlgorithms(value: unknown): string | undefined {
  const known: readonly string[] = CHECKSUM_ALGORITHMS
  if (!Array.isArray(value)) return `a list of ${known.join(', ')}`
  const unknown = value.find((name) => !known.includes(name))
  if (unknown === undefined) return undefined
  const meant = nearest(String(unknown), known)
  return `a list of ${known.join(', ')} (there is no ${show(unknown)}${meant === undefined ? '' : `: did you mean '${meant}'?`})`
}
