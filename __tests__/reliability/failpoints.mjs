// Named points of the server's work at which it can be stopped dead. They wrap methods of the built package by name, so
// that no code of the package knows of them, and no driver of SQLite has to be known.
import { writeSync } from 'node:fs'
import { TusServer } from '../../dist/esm/server.js'
import { FileBlobs } from '../../dist/esm/storage/files/file-blobs.js'
import { FileWriter } from '../../dist/esm/storage/files/file-writer.js'
import { openDatabase } from '../../dist/esm/storage/sqlite/driver.js'
import { SQLiteRecords } from '../../dist/esm/storage/sqlite/sqlite-records.js'
import { Statements } from '../../dist/esm/storage/sqlite/statements.js'

/** What is printed when the process has come to the point: from then on it does nothing any more. */
const HERE = 'HERE\n'
/** Nobody has killed it: whoever should have is dead. */
const GIVE_UP_MS = 60_000

const names = new Set()
let armed

/** Arms a point: the process stops when it comes there for the `hit`th time. */
export function arm(name, hit) {
  if (!names.has(name)) throw new Error(`there is no failpoint ${name}`)
  armed = { name, left: hit }
}

/** Arms none. */
export function disarm() {
  armed = undefined
}

/** A point that code of the test's own comes to. */
export function named(name) {
  names.add(name)
  return () => {
    if (isDue(name)) stopDead()
  }
}

function isDue(name) {
  return armed?.name === name && --armed.left === 0
}

function stopDead() {
  writeSync(1, HERE)
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, GIVE_UP_MS)
  process.exit(1)
}

/** A point before a method is called with arguments that `concern` it. */
function before(name, target, method, concerns = () => true) {
  const reach = named(name)
  wrap(target, method, (real, self, args) => {
    if (concerns(...args)) reach()
    return real.apply(self, args)
  })
}

/** A point after a method has done its work, if the result and the arguments concern it. */
function after(name, target, method, concerns = () => true) {
  const reach = named(name)
  wrap(target, method, (real, self, args) => {
    const done = (result) => {
      if (concerns(result, ...args)) reach()
      return result
    }
    const result = real.apply(self, args)
    return result instanceof Promise ? result.then(done) : done(result)
  })
}

/** A point at which half of a write has been done. */
function torn(name, concerns) {
  names.add(name)
  wrap(FileWriter.prototype, 'write', (real, self, args) => {
    if (!concerns(self) || !isDue(name)) return real.apply(self, args)
    const bytes = Buffer.concat(args[0])
    const written = real.call(self, [bytes.subarray(0, Math.floor(bytes.length / 2))])
    return written instanceof Promise ? written.then(stopDead) : stopDead()
  })
}

function wrap(target, method, around) {
  const real = target[method]
  if (typeof real !== 'function') throw new Error(`there is no method ${method}`)
  target[method] = function (...args) {
    return around(real, this, args)
  }
}

const blobOf = new WeakMap()
wrap(FileBlobs.prototype, 'open', (real, self, [blob, size]) => {
  const writer = real.call(self, blob, size)
  blobOf.set(writer, blob)
  return writer
})
const isFlat = (blob) => blob.endsWith('.flat')
const isFlatWriter = (writer) => isFlat(blobOf.get(writer))

const records = SQLiteRecords.prototype
const blobs = FileBlobs.prototype
const statements = Statements.prototype

before('creation: before the record', records, 'create', ({ concat }) => concat?.partials === undefined)
after('creation: after the record', records, 'create', (_result, { concat }) => concat?.partials === undefined)
after('creation: before the answer', TusServer.prototype, 'handleRequest', ({ status }, method) => {
  return method === 'POST' && status === 201
})

after('first byte: claimed', records, 'claim', (result) => result !== undefined && 'fence' in result)
after('first byte: blob made', blobs, 'open', (_writer, blob, size) => size === 0 && !isFlat(blob))
torn('first byte: half of the first write', (writer) => !isFlatWriter(writer))
torn('mid-segment: half of a later write', (writer) => !isFlatWriter(writer))

before('between stage and commit', records, 'commit')
after('between a commit and the rest of the body', records, 'commit', (_result, _id, _fence, { release, complete }) => {
  return !release && !complete
})
before('last commit: before', records, 'commit', (_id, _fence, { complete }) => complete)
after('last commit: after', records, 'commit', (_result, _id, _fence, { complete }) => complete)
after('last commit: the file has its name', blobs, 'place')
after('last commit: its name is on the disk', blobs, 'syncPlaced')
after('last commit: it has lost its first name', blobs, 'settlePlaced')
after('last commit: it is marked as published', records, 'releasePublished')
after('between commit and answer', TusServer.prototype, 'handleRequest', ({ status }, method) => {
  return method === 'PATCH' && status === 204
})

before('late publication: before it', blobs, 'place')
after('late publication: the file has its name', blobs, 'place')
after('late publication: it has lost its first name', blobs, 'settlePlaced')
before('late publication: before the mark', records, 'published')

after('flattening pieces: blob made', blobs, 'open', (_writer, blob) => isFlat(blob))
torn('flattening pieces: half of a write', isFlatWriter)
before('flattening pieces: copied', records, 'commit', (_id, _fence, { complete, pieces }) => complete && pieces)
after('flattening pieces: committed', records, 'commit', (_result, _id, _fence, { complete, pieces }) => {
  return complete && pieces
})
before('flattening pieces: before an old one goes', blobs, 'remove', (blob) => !isFlat(blob))

after('assembly: half of the creation', statements, 'write', (_result, name) => name === 'wait')
after('assembly: before it', records, 'create', (result, { concat }) => concat?.partials && result === 'created')
before('assembly: in the middle of it', statements, 'write', (name) => name === 'assemble')
after('assembly: after it', records, 'assemble', (result) => result === 'ok')

after('flattening a final upload: blob made', blobs, 'open', (_writer, blob) => isFlat(blob))
torn('flattening a final upload: half of a write', isFlatWriter)
before('flattening a final upload: copied', records, 'detach')
before('flattening a final upload: half of its record', statements, 'write', (name) => name === 'shareNoMore')
after('flattening a final upload: recorded', records, 'detach')
after('flattening a final upload: placed', blobs, 'place')
after('flattening a final upload: a partial one buried', records, 'bury')
before('flattening a final upload: a blob of a partial one', blobs, 'remove', (blob) => !isFlat(blob))

before('completion hook: returned', records, 'settleCompletion', (_id, _attempt, outcome) => 'result' in outcome)
after('completion hook: settled', records, 'settleCompletion')

before('sweep: before the burial', records, 'bury')
before('sweep: in the middle of the burial', statements, 'write', (name) => name === 'keep')
after('sweep: buried', records, 'bury')
after('sweep: bytes removed', blobs, 'remove')
after('sweep: forgotten', records, 'forget')

const database = openDatabase(':memory:')
const connection = Object.getPrototypeOf(database)
database.close()
after('migration: begun', connection, 'exec', (_result, sql) => sql === 'BEGIN IMMEDIATE')
after('migration: between two versions', connection, 'exec', (_result, sql) => /^(ALTER|CREATE) TABLE/.test(sql))
before('migration: before its commit', connection, 'exec', (sql) => sql === 'COMMIT')
after('migration: after its commit', connection, 'exec', (_result, sql) => sql === 'COMMIT')
