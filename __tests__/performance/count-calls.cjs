// Preloaded into a process: counts what it calls of node:fs, SQLite, timers and workers, from before anything else is
// loaded. The counts are `globalThis.calls`: { 'fs.openSync': 2, 'sql.UPDATE': 1, … }.
const fs = require('node:fs')
const { createRequire, syncBuiltinESMExports } = require('node:module')
const { join } = require('node:path')
const timers = require('node:timers')
const { Worker } = require('node:worker_threads')

globalThis.calls = {}
let inside = false

function count(name) {
  globalThis.calls[name] = (globalThis.calls[name] ?? 0) + 1
}

/** Replaces a method by one that counts. What it calls in turn is Node's own affair. */
function wrap(object, method, nameOf) {
  const original = object[method]
  function counted(...args) {
    if (inside) return original.apply(this, args)
    count(nameOf(this))
    inside = true
    try {
      return original.apply(this, args)
    } finally {
      inside = false
    }
  }
  // util.promisify goes by symbols of the function.
  for (const symbol of Object.getOwnPropertySymbols(original)) counted[symbol] = original[symbol]
  object[method] = counted
}

for (const [group, functions] of [
  ['fs', fs],
  ['fs.promises', fs.promises],
]) {
  for (const name of Object.keys(functions)) {
    if (/^[a-z]/.test(name) && typeof functions[name] === 'function') wrap(functions, name, () => `${group}.${name}`)
  }
}

for (const name of ['setTimeout', 'setInterval', 'setImmediate']) {
  wrap(timers, name, () => `timer.${name}`)
  globalThis[name] = timers[name]
}
globalThis.AbortController = new Proxy(AbortController, {
  construct(target, args) {
    count('AbortController')
    return new target(...args)
  },
})
wrap(Worker.prototype, 'postMessage', () => 'worker.postMessage')

const { database, textOf } = openAnyDatabase()
const statement = database.prepare('SELECT 1')
for (const method of ['run', 'get', 'all', 'iterate']) {
  wrap(Object.getPrototypeOf(statement), method, (self) => `sql.${/\w+/.exec(textOf(self))[0].toUpperCase()}`)
}
wrap(Object.getPrototypeOf(database), 'exec', () => 'sql.exec')
database.close()
syncBuiltinESMExports()

/** A database of the driver that the package chooses. */
function openAnyDatabase() {
  const load = createRequire(join(process.cwd(), 'index.js'))
  try {
    const { DatabaseSync } = load('node:sqlite')
    return { database: new DatabaseSync(':memory:'), textOf: (prepared) => prepared.sourceSQL }
  } catch {
    const BetterSQLite = load('better-sqlite3')
    return { database: new BetterSQLite(':memory:'), textOf: (prepared) => prepared.source }
  }
}
