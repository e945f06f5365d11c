// Where an upload's bytes are: the rules for lists of pieces.

import type { Blobs, Piece, StoredUpload } from './parts.js'

/** The blob that an upload's bytes go to, unless a claim ran out. */
export function firstPieces(id: string): readonly Piece[] {
  return [{ start: 0, blob: id }]
}

/**
 * The pieces after the claim of an unfinished upload ran out: the bytes up to the offset stay where they are, and what follows goes to a new
 * blob, since the former holder may wake up and write to the old one.
 */
export function piecesAfterTakeover(upload: StoredUpload, fence: number): readonly Piece[] {
  if (upload.complete) return upload.pieces
  const kept = upload.pieces.filter((piece) => piece.start < upload.offset)
  return [...kept, { start: upload.offset, blob: `${upload.id}.${fence}` }]
}

/** The id of the upload that a blob was made for. */
export function blobOwner(blob: string): string {
  const dot = blob.indexOf('.')
  return dot === -1 ? blob : blob.slice(0, dot)
}

/** Reads bytes of an upload out of its pieces, `end` not included. */
export async function* readPieces(
  blobs: Blobs,
  pieces: readonly Piece[],
  start: number,
  end: number,
): AsyncGenerator<Uint8Array> {
  for (const [index, piece] of pieces.entries()) {
    const pieceEnd = Math.min(end, pieces[index + 1]?.start ?? end)
    const from = Math.max(start, piece.start)
    if (from < pieceEnd) yield* blobs.read({ blob: piece.blob }, from - piece.start, pieceEnd - piece.start)
  }
}
