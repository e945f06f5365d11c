// Everything that the package exports.

export { type TusMiddlewareOptions, tusMiddleware } from './adapters/express.js'
export { type TusListenerOptions, tusListener } from './adapters/node.js'
export { prepareServer } from './adapters/prepare-server.js'
export type { ChecksumAlgorithm } from './checksum.js'
export type { CorsOptions, OriginCheck } from './cors.js'
export { ERRORS, isTusError, TusError, type TusErrorCode, type TusErrorOptions } from './errors.js'
export { formatUploadMetadata, parseUploadMetadata } from './headers/upload-metadata.js'
export type {
  CompleteEvent,
  CreateDecision,
  Hook,
  HookRequest,
  Hooks,
  HookUpload,
  RequestEvent,
  TerminateEvent,
  UploadEvent,
} from './hooks.js'
export type {
  ConcatenationOptions,
  Durability,
  ErrorContext,
  ExpirationOptions,
  LocationEvent,
  Logger,
  MaxSize,
  PublicUrl,
  TusServerOptions,
} from './options.js'
export type { PacedBody, PaceOptions } from './pace.js'
export type { HandleOptions, RequestBody, RequestHeaders, TusResponse } from './request.js'
export { type CloseOptions, TusServer } from './server.js'
export { MemoryStorage, type MemoryStorageOptions } from './storage/memory/memory-storage.js'
export { type OffloadOptions, offload } from './storage/offload.js'
export { SQLiteStorage, type SQLiteStorageOptions } from './storage/sqlite/sqlite-storage.js'
export type * from './storage/storage.js'
export { MAX_WAITING_FINALS } from './storage/storage.js'
export type { CleanUpResult } from './sweeper.js'
export {
  type Completion,
  type CompletionResult,
  type Concat,
  type Holder,
  isSettled,
  type NewUpload,
  type Tombstone,
  type Upload,
} from './upload.js'
export type { InspectedUpload } from './uploads/inspect.js'
export type { ListOptions, UploadPage } from './uploads/list.js'
export type { UploadState } from './uploads/state.js'
export type { TerminateResult } from './uploads/terminate.js'
