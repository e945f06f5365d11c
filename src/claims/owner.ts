// The names under which server instances hold claims: where each runs, and a random number.

import { createHash, randomBytes } from 'node:crypto'
import { bootId, isCertainBootId } from '../storage/boot-id.js'

/** Eight digits for the run of the system, sixteen that are random. */
const OWNER = /^([0-9a-f]{8})-[0-9a-f]{16}$/

/** Of a system that gives its runs no name. Folders are assumed to be local, as SQLite needs it. */
const UNKNOWN_BOOT = digest('')

let mark: string | undefined

/** A name that no other server instance has. */
export function newOwner(): string {
  return `${bootMark()}-${randomBytes(8).toString('hex')}`
}

/** Whether a string is the name of a server instance: other things hold claims, too, under names of their own. */
export function isOwner(name: string): boolean {
  return OWNER.test(name)
}

/** Whether a server instance ran in another run of the operating system, so that it can only be gone. */
export function isOfOtherBoot(owner: string): boolean {
  const other = OWNER.exec(owner)?.[1]
  // One of the two may run where the name is hidden.
  return other !== undefined && other !== bootMark() && other !== UNKNOWN_BOOT && bootMark() !== UNKNOWN_BOOT
}

function bootMark(): string {
  mark ??= isCertainBootId(bootId()) ? digest(bootId()) : UNKNOWN_BOOT
  return mark
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}
