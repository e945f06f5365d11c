// Real clients (tus-js-client) of every kind, which go on until their upload is finished, whatever befalls the server.
import { createHash, randomBytes } from 'node:crypto'
import { type HttpRequest, type HttpResponse, Upload, type UploadOptions } from 'tus-js-client'
import type { Random } from './random.js'

/** How a client sends its bytes. */
export const KINDS = ['whole', 'chunks', 'checksums', 'deferred', 'with creation', 'parallel'] as const

/** How a client sends its bytes. */
export type Kind = (typeof KINDS)[number]

/** A client at work. */
export interface UploadClient {
  readonly kind: Kind
  /** Names the content; part of the metadata. */
  readonly name: string
  readonly content: Buffer
  readonly sha256: string
  /** The highest offset that the server has answered, by the id of the upload: it has promised as much. */
  readonly promised: ReadonlyMap<string, number>
  /** How often an upload was created for it. */
  readonly created: number
  readonly finished: boolean
  /** What the client gave up with the last time, before it was started again. */
  readonly failure: Error | undefined
  /** Settles with the URL of the finished upload. */
  readonly end: Promise<string>
  /** Stops, without a word to the server; what it was promised is not counted on any more. */
  abort(): Promise<void>
  /** Goes on after that. */
  resume(): void
}

/** How a client is started. */
export interface ClientOptions {
  readonly kind: Kind
  readonly endpoint: string
  readonly random: Random
  /** The size of the content, in bytes. */
  readonly size: number
  /** Called when a chunk was answered. */
  readonly onChunk?: (client: UploadClient) => void
}

const RETRY_MS = 40
const RETRIES = 500

let count = 0

/** Starts a client with random content. */
export function startClient({ kind, endpoint, random, size, onChunk }: ClientOptions): UploadClient {
  const content = randomBytes(size)
  const name = `${kind} ${++count}`
  const promised = new Map<string, number>()
  let created = 0
  let finished = false
  let upload!: Upload
  let failure: Error | undefined
  const end = new Promise<string>((resolve) => {
    upload = new Upload(content, {
      endpoint,
      metadata: { content: name },
      metadataForPartialUploads: { content: name },
      retryDelays: Array.from({ length: RETRIES }, () => RETRY_MS),
      onAfterResponse: (request, response) => {
        note(request, response, promised)
        if (response.getStatus() === 201) created++
      },
      onChunkComplete: () => onChunk?.(client),
      onSuccess: () => {
        finished = true
        resolve(upload.url ?? '')
      },
      // The last POST of a parallel upload, say, is not repeated by the client itself. Without end: whoever waits for
      // the upload knows when that is too long.
      onError: (error) => {
        failure = error
        setTimeout(() => upload.start(), RETRY_MS)
      },
      ...optionsOf(kind, content, random),
    })
  })
  const client: UploadClient = {
    ...{ kind, name, content, promised, end },
    sha256: createHash('sha256').update(content).digest('hex'),
    get created() {
      return created
    },
    get finished() {
      return finished
    },
    get failure() {
      return failure
    },
    abort: () => {
      promised.clear()
      return upload.abort()
    },
    resume: () => upload.start(),
  }
  upload.start()
  return client
}

/** The id at the end of a URL. */
export function idOf(url: string): string {
  return url.split('/').at(-1) ?? ''
}

/** Where the parts of a parallel upload may begin. */
export function partStarts(size: number): readonly number[] {
  const starts = PARALLEL.flatMap((parts) =>
    Array.from({ length: parts }, (_, part) => part * Math.floor(size / parts)),
  )
  return [...new Set(starts)]
}

const PARALLEL = [2, 3]

function optionsOf(kind: Kind, content: Buffer, random: Random): UploadOptions {
  const chunkSize = random.integer(40_000, 160_000)
  if (kind === 'chunks') return { chunkSize }
  if (kind === 'deferred') return { chunkSize, uploadLengthDeferred: true }
  if (kind === 'with creation') return { chunkSize, uploadDataDuringCreation: true }
  if (kind === 'parallel') return { parallelUploads: random.pick(PARALLEL) }
  if (kind === 'checksums') return { chunkSize, onBeforeRequest: (request) => addChecksum(request, content, chunkSize) }
  return {}
}

function addChecksum(request: HttpRequest, content: Buffer, chunkSize: number): void {
  if (request.getMethod() !== 'PATCH') return
  const offset = Number(request.getHeader('Upload-Offset'))
  const chunk = content.subarray(offset, offset + chunkSize)
  request.setHeader('Upload-Checksum', `sha1 ${createHash('sha1').update(chunk).digest('base64')}`)
}

function note(request: HttpRequest, response: HttpResponse, promised: Map<string, number>): void {
  const offset = response.getHeader('Upload-Offset')
  if (offset === undefined || response.getStatus() >= 300) return
  const id = idOf(response.getHeader('Location') ?? request.getURL())
  promised.set(id, Math.max(promised.get(id) ?? 0, Number(offset)))
}
