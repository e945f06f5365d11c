// Content-Encoding, Transfer-Encoding, Content-Range: what would change which bytes a body stands for.

/** Whether `Content-Encoding` (RFC 9110, 8.4) says that the bytes are the upload's own. */
export function isIdentityEncoding(contentEncoding: string | undefined): boolean {
  return (
    contentEncoding === undefined || contentEncoding.split(',').every((coding) => /^\s*(identity\s*)?$/i.test(coding))
  )
}

/** Whether `Transfer-Encoding` (RFC 9112, 6.1) has nothing in it but the chunks that Node undoes. */
export function isPlainTransfer(transferEncoding: string | undefined): boolean {
  return transferEncoding === undefined || transferEncoding.trim().toLowerCase() === 'chunked'
}

// range-unit SP first-pos "-" last-pos "/" ( complete-length / "*" ) (RFC 9110, 14.4)
const BYTES_FROM = /^\s*bytes ([0-9]+)-[0-9]+\/(?:[0-9]+|\*)\s*$/i

/** Where the bytes begin by `Content-Range`; `undefined` if it does not say so. */
export function startOfRange(contentRange: string): number | undefined {
  const start = BYTES_FROM.exec(contentRange)?.[1]
  return start === undefined ? undefined : Number(start)
}
