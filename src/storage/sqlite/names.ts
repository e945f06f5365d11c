// Ids and names of uploads in SQLite: no two that a file system could not tell from each other, or keep beside each
// other.

import type { NewUpload } from '../../upload.js'
import { foldedName, inTheWay, namesAbove } from '../file-names.js'
import type { RefusedName } from '../storage.js'
import type { Database } from './driver.js'
import { Statements } from './statements.js'
import type { Writes } from './writes.js'

/** An upload that leaves its name to one that may take it: a finished one, or another of that kind. */
const STAYS = '(? = 0 OR (complete = 0 AND overwrite = 0))'

// A name must be no other upload's id either: that is the name of the file of an upload that has no other. And no blob
// of the id (`id`, `id.…`) may be what a removed partial upload has left to a final one.
const INSERT = `INSERT INTO uploads (id, name, name_key, length, metadata, created_at, active_at, attributes, concat, overwrite,
  fence) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?`
const NAME_IS_FREE = `NOT EXISTS (SELECT 1 FROM uploads WHERE name_key = ? AND ${STAYS})
  AND NOT EXISTS (SELECT 1 FROM uploads WHERE name_key > ? || '/' AND name_key < ? || '0')`
const BLOBS_ARE_FREE = `NOT EXISTS (SELECT 1 FROM sharing WHERE blob = ?)
  AND NOT EXISTS (SELECT 1 FROM sharing WHERE blob > ? || '.' AND blob < ? || '/')`

const SQL = {
  // The primary key says whether another upload has the id, …
  createFresh: `${INSERT} WHERE true ON CONFLICT DO NOTHING`,
  // … which may be the name as well, without a folder above it.
  createUnnamed: `${INSERT} WHERE ${NAME_IS_FREE} AND ${BLOBS_ARE_FREE} ON CONFLICT DO NOTHING`,
  createNamed: `${INSERT} WHERE ${NAME_IS_FREE} AND ${BLOBS_ARE_FREE}
      AND NOT EXISTS (SELECT 1 FROM uploads WHERE id = ?)
      AND NOT EXISTS (SELECT 1 FROM uploads WHERE id = ? AND name_key IS NULL AND ${STAYS})
      AND NOT EXISTS (SELECT 1 FROM json_each(?) above CROSS JOIN uploads ON name_key = above.value)
      AND NOT EXISTS (SELECT 1 FROM json_each(?) above CROSS JOIN uploads ON uploads.id = above.value AND name_key IS NULL)
    ON CONFLICT DO NOTHING`,
  inTheWay: `SELECT coalesce(name, id) AS name FROM uploads WHERE name_key > ? || '/' AND name_key < ? || '0'
    UNION ALL SELECT coalesce(name, uploads.id) FROM json_each(?) other CROSS JOIN uploads ON name_key = other.value
    UNION ALL SELECT uploads.id FROM json_each(?) other CROSS JOIN uploads ON uploads.id = other.value AND name_key IS NULL
    LIMIT 1`,
} as const

/** Creates the records of uploads whose ids and names are free. */
export class Names {
  readonly #statements: Statements<keyof typeof SQL>
  readonly #folds: boolean

  /**
   * @param database - where they are
   * @param options - what goes around writes, and whether the file system ignores case
   */
  constructor(database: Database, { writes, folds }: { readonly writes: Writes; readonly folds: boolean }) {
    // Ids name files, too. Only where it matters there is an index for it.
    if (folds) database.exec('CREATE INDEX IF NOT EXISTS uploads_by_folded_id ON uploads (id COLLATE NOCASE)')
    const createNamed = folds ? SQL.createNamed.replaceAll('id = ?', 'id = ? COLLATE NOCASE') : SQL.createNamed
    this.#statements = new Statements(database, { ...SQL, createNamed }, writes)
    this.#folds = folds
  }

  /** @returns whether id and name were free */
  create(upload: NewUpload, fence: number): boolean {
    const { id, length, metadata, createdAtMs, attributes, concat, name, overwrite = false, isFresh } = upload
    const key = this.#keyOf(name)
    const replaces = overwrite ? 1 : 0
    const record = [
      id,
      name === id ? null : name,
      key === id ? null : key,
      length ?? null,
      metadata ?? null,
      createdAtMs,
      createdAtMs,
      attributes ? JSON.stringify(attributes) : null,
      concat ? JSON.stringify(concat) : null,
      replaces,
      fence,
    ]
    if (isFresh) return this.#statements.write('createFresh', ...record)
    const free = [key, replaces, key, key, id, id, id]
    if (key === id && !this.#folds) return this.#statements.write('createUnnamed', ...record, ...free)
    const above = name === id ? null : JSON.stringify(namesAbove(key))
    return this.#statements.write('createNamed', ...record, ...free, id, key, replaces, above, above)
  }

  /** Why an upload could not be created. */
  whyTaken({ name }: NewUpload): 'exists' | RefusedName {
    const key = this.#keyOf(name)
    const others = JSON.stringify([...namesAbove(key), key])
    const other = this.#statements.one<{ name: string }>('inTheWay', key, key, others, others)?.name
    return other === undefined || other === name ? 'exists' : inTheWay(name, other)
  }

  #keyOf(name: string): string {
    return this.#folds ? foldedName(name) : name
  }
}
