// Offloaded storages that do odd things, and what the tests of them share.
import { resolve } from 'node:path'
import { offload } from '../../../src/storage/offload.js'
import type { Stage, Storage } from '../../../src/storage/storage.js'

/** The path of a module to host. */
export function fixture(name: string): string {
  return resolve(__dirname, '../fixtures', name)
}

/** Hosts one of the kinds of `fixtures/odd.cjs`. */
export function odd(kind: string, options: object = {}): Storage {
  return offload(fixture('odd.cjs'), { kind, ...options })
}

/** What a promise is rejected with. */
export async function failureOf(promise: unknown): Promise<Error & Record<string, unknown>> {
  try {
    await promise
  } catch (error) {
    return error as Error & Record<string, unknown>
  }
  throw new Error('it did not fail')
}

/** Opens a stage of a storage that has no claims. */
export async function stageOf(storage: Storage): Promise<Stage> {
  return storage.openStage('id', 1, 0)
}
