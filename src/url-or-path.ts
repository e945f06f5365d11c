// What an application may give to begin a `Location`, or to be one.

/** What {@link isUrlOrPath} lets through, in words. */
export const URL_OR_PATH =
  'an http or https URL, or a path that begins with one slash, of characters that need no encoding'

/** Whether a value is a URL of http or https, or a path that names no host, as a header may have it. */
export function isUrlOrPath(value: unknown): value is string {
  if (typeof value !== 'string' || !/^[\x21-\x5b\x5d-\x7e]+$/.test(value)) return false
  if (value.startsWith('/')) return !value.startsWith('//')
  return /^https?:\/\/[^/?#]/i.test(value) && URL.canParse(value)
}
