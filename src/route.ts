// Which resource a path names: the collection, where uploads are created, or one upload.

/** What a path names. */
export type Route = { readonly kind: 'collection' } | { readonly kind: 'upload'; readonly id: string }

/** Ids go into file names and URLs as they are, so they have none of the characters that mean something there. */
const ID = /^[A-Za-z0-9_-]{1,200}$/

/** The id that an upload's URL ends with, absolute or relative, under whatever mount. */
export function idOfUrl(url: string): string | undefined {
  const path = url.replace(/[?#].*$/s, '').replace(/\/$/, '')
  const id = path.slice(path.lastIndexOf('/') + 1)
  return isUploadId(id) ? id : undefined
}

/** Whether a string may be the id of an upload. */
export function isUploadId(id: string): boolean {
  return ID.test(id)
}

/**
 * Resolves a path.
 * @param basePath - without a slash at the end; empty for the root
 * @returns `undefined` if it is outside the base path, or deeper than an upload
 */
export function routeOf(path: string, basePath: string): Route | undefined {
  if (!path.startsWith(basePath)) return undefined
  const query = path.indexOf('?')
  const rest = path.slice(basePath.length, query === -1 ? undefined : query)
  if (rest === '' || rest === '/') return { kind: 'collection' }
  if (!rest.startsWith('/')) return undefined
  const id = rest.endsWith('/') ? rest.slice(1, -1) : rest.slice(1)
  return id.includes('/') ? undefined : { kind: 'upload', id }
}
