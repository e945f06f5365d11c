// Upload-Concat: the role of an upload in a concatenation.

// Upload-Concat = "partial" / ( "final;" URI-reference *( SP URI-reference ) )
// https://tus.io/protocols/resumable-upload#upload-concat
const FINAL = /^final; *([\x21-\x7e]+(?: +[\x21-\x7e]+)*)$/

/** What `Upload-Concat` says. */
export type UploadConcat =
  | { readonly kind: 'partial' }
  | { readonly kind: 'final' /** Absolute or relative, in order. */; readonly urls: readonly string[] }

/** Reads `Upload-Concat`. Returns `undefined` if it is malformed. */
export function parseUploadConcat(header: string): UploadConcat | undefined {
  const value = header.trim()
  if (value === 'partial') return { kind: 'partial' }
  const urls = FINAL.exec(value)?.[1]
  return urls === undefined ? undefined : { kind: 'final', urls: urls.split(/ +/) }
}

/** Writes `Upload-Concat`. */
export function formatUploadConcat(concat: UploadConcat): string {
  return concat.kind === 'partial' ? 'partial' : `final;${concat.urls.join(' ')}`
}
