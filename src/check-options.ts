// Checks an object of options: its keys against those that there are, and each value by the check of its key. What is
// wrong is a TypeError that names key and value, and the nearest known name.

import { inspect } from 'node:util'

/** Where a value stands: `TusServer` and `expiration.sweepEveryMs`, say. */
export interface Place {
  readonly owner: string
  readonly name: string
}

/**
 * Checks one value that is not `undefined`.
 * @returns what it must be (`'a boolean'`) if it is not that; `undefined` if it is right
 */
export type Check = (value: unknown, place: Place) => string | undefined

/**
 * The checks of all options of an interface. To add an option: declare it in the interface (`readonly name?: T |
 * undefined`); this type then does not compile until the table beside the constructor has its check. `undefined` never
 * reaches a check, except that of an option which is required.
 */
export type Checks<T> = { readonly [Key in keyof Required<T>]: Check }

/** How {@link checkOptions} names what it finds. */
export interface CheckContext {
  /** Comes before the names of nested options: `'expiration.'`. */
  readonly prefix?: string | undefined
  /** What other packages call an option, and what it is called here. */
  readonly aliases?: Readonly<Record<string, string>> | undefined
  /** Options that must be there. */
  readonly required?: readonly string[] | undefined
  /** Whether it is what a callback has returned, and not options. */
  readonly isResult?: boolean | undefined
}

/** A name is offered as the one that was meant if at most this share of its characters differs. */
const MAX_DIFFERENCE = 0.4
/** So few options are all named where none is near. */
const MAX_LISTED = 6
const MAX_SHOWN_CHARACTERS = 80

/**
 * Checks an object of options. Keys whose value is `undefined` count as absent.
 * @param owner - what the message begins with: the name of the constructor or function
 * @param options - what the application gave; `undefined` counts as `{}`
 * @param checks - all keys that there are
 * @returns the options as they were given
 * @throws TypeError `TusServer: unknown option onUploadFinish: did you mean onUploadComplete?`
 * @throws TypeError `TusServer: leaseMs must be an integer of at least 1, not -1`
 */
export function checkOptions<T extends object>(
  owner: string,
  options: T | undefined,
  checks: Checks<T>,
  { prefix = '', aliases = {}, required = [], isResult = false }: CheckContext = {},
): T {
  const given = (options === undefined ? {} : options) as Readonly<Record<string, unknown>>
  const whole = isResult ? 'what it returns' : prefix === '' ? 'options' : prefix.slice(0, -1)
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new TypeError(`${owner}: ${whole} must be an object, not ${show(given)}`)
  }
  const known = Object.keys(checks)
  for (const key of Object.keys(given)) {
    if (given[key] === undefined || Object.hasOwn(checks, key)) continue
    throw new TypeError(
      `${owner}: unknown ${isResult ? 'property' : 'option'} ${prefix}${key}${hint(key, known, aliases, prefix)}`,
    )
  }
  for (const key of known) {
    const value = given[key]
    if (value === undefined && !required.includes(key)) continue
    const name = `${prefix}${key}`
    const wanted = (checks as Readonly<Record<string, Check>>)[key]?.(value, { owner, name })
    if (wanted !== undefined) throw mismatch({ owner, name }, wanted, value)
  }
  return given as T
}

/** The error for a value that is not what it must be. */
export function mismatch({ owner, name }: Place, wanted: string, value: unknown): TypeError {
  return new TypeError(`${owner}: ${name} must be ${wanted}, not ${show(value)}`)
}

/** A value as a message shows it: short, on one line, whatever it is. */
export function show(value: unknown): string {
  if (typeof value === 'function') return /^class\b/.test(String(value)) ? `the class ${value.name}` : 'a function'
  try {
    const text = inspect(value, {
      depth: 0,
      breakLength: Number.POSITIVE_INFINITY,
      maxArrayLength: 5,
      maxStringLength: 60,
    })
    return text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}…` : text
  } catch {
    return `an unreadable ${typeof value}`
  }
}

/** `true` or `false`. */
export const boolean: Check = (value) => (typeof value === 'boolean' ? undefined : 'true or false')

/** A string that is not empty. */
export const text: Check = (value) =>
  typeof value === 'string' && value !== '' ? undefined : 'a string that is not empty'

/** A function. */
export const callback: Check = (value) => (typeof value === 'function' ? undefined : 'a function')

/** Anything. */
export const anything: Check = () => undefined

/** What `setTimeout` can wait for, in milliseconds: with more it does not wait at all. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** An integer of at least `least`, and at most `most`. */
export function integer(least: number, most = Number.MAX_SAFE_INTEGER): Check {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
  return (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most
      ? undefined
      : `an integer ${range}`
}

/** A time that something waits for, in milliseconds: at least `least`, and at most what a timer can. */
export function milliseconds(least: number): Check {
  return integer(least, MAX_TIMER_MS)
}

/** One of a few strings. */
export function oneOf(...values: readonly string[]): Check {
  const wanted = values.map((value) => `'${value}'`).join(' or ')
  return (value) => (values.includes(value as string) ? undefined : wanted)
}

/** What one of several checks lets through. */
export function either(...checks: readonly Check[]): Check {
  return (value, place) => {
    const wanted = checks.map((check) => check(value, place))
    return wanted.includes(undefined) ? undefined : wanted.join(', or ')
  }
}

/** `false`, for what can be switched off. */
export const off: Check = (value) => (value === false ? undefined : 'false')

/** An object with options of its own. */
export function nested<T extends object>(checks: Checks<T>, context: CheckContext = {}): Check {
  return (value, { owner, name }) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'an object of options'
    checkOptions(owner, value as T, checks, { ...context, prefix: `${name}.` })
    return undefined
  }
}

/** An object that has methods: a class itself, in place of its instance, does not. */
export function objectWith(what: string, ...methods: readonly string[]): Check {
  return (value) => {
    if (typeof value === 'function' && /^class\b/.test(String(value))) return `${what} (write new ${value.name}(…))`
    const object = value as Readonly<Record<string, unknown>> | null | undefined
    if ((typeof object !== 'object' && typeof object !== 'function') || object === null) return what
    const lacking = methods.find((method) => typeof object[method] !== 'function')
    return lacking === undefined ? undefined : `${what}, with a method ${lacking}()`
  }
}

function hint(
  key: string,
  known: readonly string[],
  aliases: Readonly<Record<string, string>>,
  prefix: string,
): string {
  const alias = Object.hasOwn(aliases, key) ? aliases[key] : undefined
  if (alias !== undefined) return `: did you mean ${alias}?`
  const meant = nearest(key, known)
  if (meant !== undefined) return `: did you mean ${prefix}${meant}?`
  return known.length <= MAX_LISTED ? `: there ${known.length === 1 ? 'is' : 'are'} ${known.join(', ') || 'none'}` : ''
}

/** The name that a misspelt one is nearest to; `undefined` if it is near none. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const distance = distanceOf(name.toLowerCase(), candidate.toLowerCase())
    const limit = Math.max(name.length, candidate.length) * MAX_DIFFERENCE
    if (distance < least && distance <= limit) [best, least] = [candidate, distance]
  }
  return best
}

/**
 * How many characters must be inserted, deleted, changed or swapped with their neighbour (optimal string alignment).
 */
function distanceOf(one: string, other: string): number {
  let [before, row]: [number[], number[]] = [[], Array.from({ length: other.length + 1 }, (_, index) => index)]
  for (let i = 1; i <= one.length; i++) {
    const next = [i]
    for (let j = 1; j <= other.length; j++) {
      const cost = one[i - 1] === other[j - 1] ? 0 : 1
      let least = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + cost)
      if (one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) least = Math.min(least, (before[j - 2] ?? 0) + 1)
      next.push(least)
    }
    ;[before, row] = [row, next]
  }
  return row[other.length] ?? 0
}
