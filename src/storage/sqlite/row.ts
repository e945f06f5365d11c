// A row of the table of uploads, and the record that it stands for.

import type { CompletionResult, Concat } from '../../upload.js'
import type { Piece, StoredUpload } from '../parts.js'
import { firstPieces } from '../pieces.js'

/**
 * A whole row, for SELECT and RETURNING: as one value, since drivers take longer over twenty of them than JSON does.
 */
export const RECORD = `json_array(id, name, length, offset, metadata, created_at, active_at, complete, fence, owner,
  lease_until, pieces, attributes, concat, due_at, attempt, worker, result, synced, boot, step, published, file, overwrite)
  AS record`

/** What a statement with {@link RECORD} gives. */
export interface Row {
  readonly record: string
}

type Text = string | null
type Integer = number | null

/** The values, in the order of {@link RECORD}. */
interface Values {
  readonly 0: string
  readonly 1: Text
  readonly 2: Integer
  readonly 3: number
  readonly 4: Text
  readonly 5: number
  readonly 6: number
  readonly 7: number
  readonly 8: number
  readonly 9: Text
  readonly 10: number
  readonly 11: Text
  readonly 12: Text
  readonly 13: Text
  readonly 14: Integer
  readonly 15: Integer
  readonly 16: Text
  readonly 17: Text
  readonly 18: number
  readonly 19: Text
  readonly 20: Text
  readonly 21: number
  readonly 22: Text
  readonly 23: number
}

/**
 * The record that a row stands for.
 * @param boot - the present run of the system
 */
export function uploadOf({ record }: Row, boot: string): StoredUpload {
  const values = JSON.parse(record) as Values
  const complete = values[7] !== 0
  const [owner, dueAtMs, attempt] = [values[9], values[14] ?? undefined, values[15]]
  return {
    id: values[0],
    name: values[1] ?? values[0],
    length: values[2] ?? undefined,
    offset: values[3],
    metadata: values[4] ?? undefined,
    createdAtMs: values[5],
    activeAtMs: values[6],
    complete,
    published: complete ? values[21] !== 0 : undefined,
    overwrite: values[23] === 0 ? undefined : true,
    fence: values[8],
    holder: owner === null ? undefined : { owner, leaseUntilMs: values[10] },
    pieces: parse<readonly Piece[]>(values[11]) ?? firstPieces(values[0]),
    attributes: parse<Record<string, unknown>>(values[12]),
    concat: parse<Concat>(values[13]),
    completion:
      attempt === null
        ? undefined
        : {
            step: values[20] === 'copy' ? 'copy' : 'hook',
            settled: dueAtMs === undefined,
            attempt,
            dueAtMs,
            worker: values[16] ?? undefined,
            result: parse<CompletionResult>(values[17]),
          },
    synced: values[18],
    doubtful: !complete && values[19] !== null && values[19] !== boot,
    identity: values[22] ?? undefined,
  }
}

function parse<T>(json: Text): T | undefined {
  return json === null ? undefined : (JSON.parse(json) as T)
}
