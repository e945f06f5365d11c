// Where an upload's bytes are: the rules for lists of pieces.

import { type Concat, isFrom, isPartial } from '../upload.js'
import type { Blobs, FinishedFile, Piece, StoredUpload } from './parts.js'

/** The blob that an upload's bytes go to, unless a claim ran out. */
export function firstPieces(id: string): readonly Piece[] {
  return [{ start: 0, blob: id }]
}

/**
 * The pieces after the claim of an unfinished upload ran out: the bytes up to the offset stay where they are, and what
 * follows goes to a new blob, since the former holder may wake up and write to the old one.
 */
export function piecesAfterTakeover(upload: StoredUpload, fence: number): readonly Piece[] {
  if (upload.complete) return upload.pieces
  const kept = upload.pieces.filter((piece) => piece.start < upload.offset)
  return [...kept, { start: upload.offset, blob: `${upload.id}.${fence}` }]
}

/**
 * Whether an upload is complete and nobody holds it: what follows may begin. Whoever holds it may have completed it
 * just now, so that it is not on the disk yet, or the application may still refuse it; or it is being removed.
 */
export function isReady({ complete, holder }: StoredUpload, nowMs: number): boolean {
  return complete && (holder === undefined || holder.leaseUntilMs <= nowMs)
}

/**
 * The partial uploads of a final one, in order; `undefined` if one is not there, or is none, or another upload has its
 * id.
 * @param find - gives the record of an id
 */
export function partialsOf(
  concat: Concat | undefined,
  find: (id: string) => StoredUpload | undefined,
): readonly StoredUpload[] | undefined {
  const partials: StoredUpload[] = []
  for (const [index, id] of (concat?.partials ?? []).entries()) {
    const upload = find(id)
    if (upload === undefined || !isPartial(upload)) return undefined
    if (!isFrom(upload, concat?.partialsCreatedAtMs?.[index])) return undefined
    partials.push(upload)
  }
  return partials
}

/** The pieces of a final upload: those of its partial uploads, in order. */
export function assembledPieces(partials: readonly StoredUpload[]): readonly Piece[] {
  const pieces: Piece[] = []
  let base = 0
  for (const partial of partials) {
    for (const { start, blob } of partial.pieces) if (start < partial.offset) pieces.push({ start: base + start, blob })
    base += partial.offset
  }
  // One that is not its own, however few bytes there are, says that the upload has no file of its own yet.
  return pieces.length > 0 ? pieces : (partials[0]?.pieces ?? [])
}

/** The pieces of an upload that goes on from `to`, in the same blob. */
export function piecesUpTo(pieces: readonly Piece[], to: number): readonly Piece[] {
  return pieces.filter(({ start }, index) => index === 0 || start < to)
}

/**
 * The pieces of an upload that goes on from `to` in another blob, since the one that it had is not trusted any more.
 */
export function piecesAfterDistrust(pieces: readonly Piece[], to: number, blob: string): readonly Piece[] {
  return [...pieces.filter(({ start }) => start < to), { start: to, blob }]
}

/**
 * How many bytes a power loss has left of an upload for sure.
 * @param withoutLast - whether the last piece counts for nothing
 */
export async function keptBytes(
  blobs: Blobs,
  { pieces, offset, synced }: StoredUpload,
  withoutLast = false,
): Promise<number> {
  const to = Math.min(offset, synced, withoutLast ? (pieces.at(-1)?.start ?? 0) : offset)
  for (const [index, { start, blob }] of pieces.entries()) {
    const end = Math.min(to, pieces[index + 1]?.start ?? to)
    if (end <= start) continue
    const size = await blobs.size(blob)
    if (size < end - start) return start + size
  }
  return to
}

/** Whether a complete upload is one file of its own, rather than blobs that it shares with others, or a partial one. */
export function isFile(upload: StoredUpload): boolean {
  if (!upload.complete || isPartial(upload)) return false
  return upload.concat === undefined || upload.pieces.every(({ blob }) => blobOwner(blob) === upload.id)
}

/** The finished file of a complete upload. */
export function fileOf({ name, identity, offset, overwrite = false }: StoredUpload): FinishedFile {
  return { name, identity, size: offset, overwrite }
}

/** Whether two records are of the same upload: an id may be given again. */
export function isSame(one: StoredUpload, other: StoredUpload): boolean {
  return one.id === other.id && one.createdAtMs === other.createdAtMs
}

/** The id of the upload that a blob was made for. */
export function blobOwner(blob: string): string {
  const dot = blob.indexOf('.')
  return dot === -1 ? blob : blob.slice(0, dot)
}

/**
 * Reads bytes of an upload out of its pieces, `end` not included.
 * @param reuse - as {@link Blobs.read} has it
 */
export async function* readPieces(
  blobs: Blobs,
  pieces: readonly Piece[],
  start: number,
  end: number,
  reuse = false,
): AsyncGenerator<Uint8Array> {
  for (const [index, piece] of pieces.entries()) {
    const pieceEnd = Math.min(end, pieces[index + 1]?.start ?? end)
    const from = Math.max(start, piece.start)
    if (from < pieceEnd) yield* blobs.read({ blob: piece.blob }, from - piece.start, pieceEnd - piece.start, reuse)
  }
}
