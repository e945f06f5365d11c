// Which names finished files may have: on every file system that a directory may lie on, now or after a move.

import type { RefusedName } from './storage.js'

/** Control characters, and what some file system reads as a separator, a stream or a pattern. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
const FORBIDDEN = /[\u0000-\u001f\u007f\\:*?"<>|]/
/** Half of a character outside of the basic plane: it has no form in UTF-8. */
const LONE_SURROGATE = /\p{Surrogate}/u
/** Windows drops them, so that another name is meant. */
const ENDS_BLANK = /[. ]$/
/**
 * Devices of Windows, whatever extension follows
 * (https://learn.microsoft.com/windows/win32/fileio/naming-a-file#naming-conventions).
 */
const DEVICE = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *(\.|$)/i
/** Characters that HFS+ ignores, and others that leave no trace on a screen. */
const IGNORABLE = /\p{Default_Ignorable_Code_Point}/gu

/** Nearly every name is one: none of what follows is in it, and devices have at most four such characters. */
const PLAIN = /^[A-Za-z0-9_-]{5,255}$/

/** The folder below the directory that a storage with files keeps for itself. */
export const STATE_FOLDER = '.resumable-upload'
/** The name that FAT and NTFS give it besides: six of its characters, in a folder with few such names. */
const SHORT_STATE_FOLDER = /^re[^.]{0,4}~\d+$/i

/** What file systems take, in bytes; of a path the rest is for the directory. */
const MAX_PART_BYTES = 255
const MAX_NAME_BYTES = 2048

/** Whether a name is nothing but the name of a file, whatever the file system. */
export function isPlainName(name: string): boolean {
  return PLAIN.test(name)
}

/**
 * Why no finished file may have a name; `undefined` if one may.
 * @param name - relative to the directory; `/` separates folders
 */
export function whyBadName(name: string): string | undefined {
  if (isPlainName(name)) return undefined
  if (FORBIDDEN.test(name)) return 'it has a control character, or one of \\ : * ? " < > |'
  if (LONE_SURROGATE.test(name)) return 'it has half of a character (a lone surrogate)'
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return `it has more than ${MAX_NAME_BYTES} bytes`
  const parts = name.split('/')
  const [first = ''] = parts
  if (foldedName(first.replace(IGNORABLE, '')) === STATE_FOLDER || SHORT_STATE_FOLDER.test(first)) {
    return `${STATE_FOLDER} is the storage's own`
  }
  for (const part of parts) {
    if (part === '' || part === '.' || part === '..') return 'a part of it is empty, "." or ".."'
    if (ENDS_BLANK.test(part)) return 'a part of it ends with a dot or a space'
    if (DEVICE.test(part)) return 'a part of it is a device on Windows'
    if (Buffer.byteLength(part) > MAX_PART_BYTES) return `a part of it has more than ${MAX_PART_BYTES} bytes`
  }
  return undefined
}

/** Of these characters, none has another form. */
const FOLDED = /^[a-z0-9_./-]*$/

/** A name as a file system that ignores case, and in which form characters are composed, tells it from others. */
export function foldedName(name: string): string {
  if (FOLDED.test(name)) return name
  return name.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')
}

/** The names above a name: of `a/b/c`, `a` and `a/b`. */
export function namesAbove(name: string): readonly string[] {
  const parts = name.split('/')
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'))
}

/** Why two names can't stand beside each other. */
export function inTheWay(name: string, other: string): RefusedName {
  const [wanted, taken] = [JSON.stringify(name), JSON.stringify(other)]
  return {
    refused: 'in-the-way',
    reason:
      `${wanted} can't be a file beside ${taken}, which is there or on its way: one of them would be the folder of the other, ` +
      'or the file system takes them for the same',
  }
}
