// The sources of the workers. Neither a bundler nor a package manager has to find a file for them: scripts/build.mjs
// puts a module with the bundled sources in the place of this one, which is for code that was only transpiled.

import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { here } from './here.cjs'

const FILES = {
  'checkpoint-worker': 'storage/sqlite/checkpoint-worker.js',
  'offload-worker': 'storage/offload-worker.js',
} as const

/**
 * The source of a worker, for `new Worker(workerSource(name), { eval: true })`. It has no imports but Node's own
 * modules.
 * @param name - which worker
 */
export function workerSource(name: keyof typeof FILES): string {
  return `import(${JSON.stringify(pathToFileURL(join(here ?? '.', FILES[name])).href)})`
}
