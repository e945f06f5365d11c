// Upload-Checksum: an algorithm and a digest.

// Upload-Checksum = algorithm SP base64
// https://tus.io/protocols/resumable-upload#upload-checksum
const CHECKSUM = /^([A-Za-z0-9-]+) ((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/

/** What `Upload-Checksum` says. */
export interface UploadChecksum {
  /** The name of the algorithm, in lower case. */
  readonly algorithm: string
  readonly digest: Buffer
}

/** Reads `Upload-Checksum`. Returns `undefined` if it is malformed. */
export function parseUploadChecksum(header: string): UploadChecksum | undefined {
  const match = CHECKSUM.exec(header.trim())
  const [, algorithm, digest] = match ?? []
  if (algorithm === undefined || digest === undefined || digest === '') return undefined
  return { algorithm: algorithm.toLowerCase(), digest: Buffer.from(digest, 'base64') }
}

/** Writes `Upload-Checksum`. */
export function formatUploadChecksum({ algorithm, digest }: UploadChecksum): string {
  return `${algorithm} ${digest.toString('base64')}`
}

/** Whether a request announces its checksum as a trailer. */
export function announcesChecksum(trailer: string | undefined): boolean {
  return trailer?.split(',').some((name) => name.trim().toLowerCase() === 'upload-checksum') ?? false
}
