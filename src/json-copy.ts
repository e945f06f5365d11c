// A copy of a value as JSON holds it: what an application gives is kept the same by every storage, and changes no more.

import { isMap, isSet } from 'node:util/types'

/**
 * Copies a value by way of JSON: dates become strings, `undefined`, functions and symbols in objects are dropped.
 * @param what - what the message calls the value
 * @throws TypeError that names the member, for what would be lost or changed without a word: BigInt, Map, Set, NaN,
 * Infinity, and objects that hold themselves
 */
export function jsonCopy(what: string, value: unknown): unknown {
  const json = JSON.stringify(value, (key, member: unknown) => {
    const wrong = unlikeJson(member)
    if (wrong !== undefined)
      throw new TypeError(`${what}${key === '' ? '' : `: ${key}`} is ${wrong}, which JSON cannot hold`)
    return member
  })
  return json === undefined ? undefined : JSON.parse(json)
}

function unlikeJson(value: unknown): string | undefined {
  if (typeof value === 'bigint') return 'a BigInt'
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  if (isMap(value)) return 'a Map'
  return isSet(value) ? 'a Set' : undefined
}
