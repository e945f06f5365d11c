// A disk as a power loss leaves it: what was synced is there, and of all else what chance wants.
import { copyFileSync, existsSync, linkSync, lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { identityOf } from '../../src/storage/files/file-identity.js'
import { openDatabase } from '../../src/storage/sqlite/driver.js'
import type { Random } from './random.js'
import type { EventOf, TraceEvent } from './trace.js'

/**
 * What becomes of what was not synced: `nothing` of it is there; `some`: by chance, file by file, a beginning with the last
 * write torn, or any of its writes, or sizes alone with zeros where bytes should be; `all`, as after a kill.
 */
export type Survival = 'nothing' | 'some' | 'all'

/** `lost`: a sync of it failed, and the system has dropped it; no later sync brings it to the disk. */
type State = 'volatile' | 'lost' | 'durable'

interface Change {
  readonly event: EventOf<'write' | 'truncate'>
  state: State
}

interface Identified {
  /** What the server has seen that tells it from others; it keeps that over a power loss. */
  identity?: string
}

interface File extends Identified {
  readonly kind: 'file'
  readonly changes: Change[]
}

interface Folder extends Identified {
  readonly kind: 'folder'
  readonly names: Map<string, Node>
  readonly entries: Entry[]
}

type Node = File | Folder

/**
 * A change of a folder's names. A rename belongs to the folder that the new name is in; it happens wholly or not at all, so
 * a sync of either folder brings it to the disk.
 */
interface Entry {
  readonly folder: Folder
  readonly name: string
  /** `undefined`: the name goes. */
  readonly node: Node | undefined
  readonly from: { readonly folder: Folder; readonly name: string } | undefined
  readonly end: number
  state: State
}

const SECTOR = 512
const DATABASE = '.resumable-upload/uploads.sqlite'

/** The disk below one folder, up to a moment of a trace. */
export class RecordedDisk {
  readonly #root: Folder = newFolder()
  readonly #entries: Entry[] = []

  /**
   * @param events - a trace from the making of the folder on
   * @param until - the power goes off right after this position
   */
  constructor(events: readonly TraceEvent[], until: number) {
    for (const event of events) if (event.end <= until) this.#apply(event)
  }

  /** Writes what has survived into a folder that is empty. */
  restore(to: string, survival: Survival, random: Random): void {
    const survives = ({ state }: { state: State }): boolean =>
      state === 'durable' || survival === 'all' || (survival === 'some' && random.next() < 0.5)
    // Names come and go in order within a folder, as in every journal.
    const cut = new Map<Folder, number>()
    for (const folder of this.#folders()) {
      const durable = folder.entries.findLastIndex(({ state }) => state === 'durable')
      const open = folder.entries.findIndex((entry, index) => index > durable && !survives(entry))
      cut.set(folder, open === -1 ? folder.entries.length : open)
    }
    const names = new Map<Folder, Map<string, Node>>()
    const namesOf = (folder: Folder): Map<string, Node> => {
      const known = names.get(folder) ?? new Map<string, Node>()
      names.set(folder, known)
      return known
    }
    for (const entry of this.#entries) {
      if (entry.folder.entries.indexOf(entry) >= (cut.get(entry.folder) ?? 0)) continue
      const { from, node } = entry
      if (from && namesOf(from.folder).get(from.name) === node) namesOf(from.folder).delete(from.name)
      if (node === undefined) namesOf(entry.folder).delete(entry.name)
      else namesOf(entry.folder).set(entry.name, node)
    }
    const written = new Map<Node, string>()
    const write = (folder: Folder, path: string): void => {
      mkdirSync(path, { recursive: true })
      written.set(folder, path)
      for (const [name, node] of namesOf(folder)) {
        const first = written.get(node)
        if (node.kind === 'folder') write(node, join(path, name))
        else if (first !== undefined) linkSync(first, join(path, name))
        else {
          writeFileSync(join(path, name), contentOf(node, survival, random))
          written.set(node, join(path, name))
        }
      }
    }
    write(this.#root, to)
    keepIdentities(to, written)
  }

  #apply(event: TraceEvent): void {
    if (event.kind === 'answer' || (event.path === '' && event.kind !== 'sync' && event.kind !== 'stat')) return
    // The index of the write-ahead log is memory that is shared; SQLite makes it anew.
    if (event.path.endsWith('-shm')) return
    if (event.kind === 'folder') this.#name(event.path, newFolder(), event.end)
    else if (event.kind === 'open') this.#open(event)
    else if (event.kind === 'rename') this.#rename(event)
    else if (event.kind === 'link') this.#link(event)
    else if (event.kind === 'unlink') this.#unlink(event)
    else if (event.kind === 'sync') this.#sync(event)
    else if (event.kind === 'stat') {
      const node = this.#find(event.path)
      if (node !== undefined) node.identity = event.identity
    } else {
      const file = this.#find(event.path)
      if (file?.kind !== 'file') throw new Error(`the trace writes to ${event.path}, which is no file`)
      file.changes.push({ event, state: 'volatile' })
    }
  }

  #open({ path, truncates, ...call }: EventOf<'open'>): void {
    const found = this.#find(path)
    if (found === undefined) this.#name(path, { kind: 'file', changes: [] }, call.end)
    else if (truncates && found.kind === 'file') {
      found.changes.push({ event: { ...call, kind: 'truncate', path, size: 0 }, state: 'volatile' })
    }
  }

  #rename({ path, to, end }: EventOf<'rename'>): void {
    const node = this.#find(path)
    if (node === undefined) throw new Error(`the trace renames ${path}, which is not there`)
    const folder = this.#folderOf(path)
    folder.names.delete(basename(path))
    this.#name(to, node, end, { folder, name: basename(path) })
  }

  /** A second name: it comes and goes on its own. */
  #link({ path, to, end }: EventOf<'link'>): void {
    const node = this.#find(path)
    if (node === undefined) throw new Error(`the trace links ${path}, which is not there`)
    this.#name(to, node, end)
  }

  #unlink({ path, end }: EventOf<'unlink'>): void {
    // A socket, say: nothing that was written.
    if (this.#find(path) === undefined) return
    const folder = this.#folderOf(path)
    folder.names.delete(basename(path))
    this.#enter({ folder, name: basename(path), node: undefined, from: undefined, end, state: 'volatile' })
  }

  #sync({ path, failed, begin }: EventOf<'sync'>): void {
    const node = this.#find(path)
    const settle = (change: { state: State }, end: number): void => {
      // What was not written yet when it began may have come too late for it.
      if (change.state === 'volatile' && end < begin) change.state = failed ? 'lost' : 'durable'
    }
    if (node?.kind === 'file') for (const change of node.changes) settle(change, change.event.end)
    // Names are in a journal, which is not given up piece by piece.
    else if (!failed) {
      for (const entry of this.#entries) {
        if (entry.folder === node || entry.from?.folder === node) settle(entry, entry.end)
      }
    }
  }

  #name(path: string, node: Node, end: number, from?: Entry['from']): void {
    const folder = this.#folderOf(path)
    folder.names.set(basename(path), node)
    this.#enter({ folder, name: basename(path), node, from, end, state: 'volatile' })
  }

  #enter(entry: Entry): void {
    entry.folder.entries.push(entry)
    this.#entries.push(entry)
  }

  #folderOf(path: string): Folder {
    const folder = this.#find(dirname(path))
    if (folder?.kind !== 'folder') throw new Error(`the trace names ${path}, whose folder is not there`)
    return folder
  }

  #find(path: string): Node | undefined {
    let node: Node | undefined = this.#root
    for (const name of path.split('/')) {
      if (name === '' || name === '.') continue
      node = node?.kind === 'folder' ? node.names.get(name) : undefined
    }
    return node
  }

  #folders(): Set<Folder> {
    return new Set(this.#entries.map(({ folder }) => folder))
  }
}

/**
 * A file is the same one after a power loss, but what is made here is another: what the database says of the one is said
 * of the other in its place.
 */
function keepIdentities(directory: string, written: ReadonlyMap<Node, string>): void {
  const path = join(directory, DATABASE)
  if (!existsSync(path)) return
  const database = openDatabase(path)
  try {
    // What is in the log is left there.
    database.exec('PRAGMA wal_autocheckpoint = 0')
    if (database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'place'").get() === undefined) return
    // The database is a copy in the end, which is made of this one.
    writeFileSync(`${path}.kept`, '')
    const file = database.prepare('UPDATE uploads SET file = ? WHERE file = ?')
    const nowOf = new Map<string, string>()
    database.exec('BEGIN IMMEDIATE')
    for (const [{ kind, identity }, at] of written) {
      if (identity === undefined) continue
      const now = identityOf(lstatSync(at === path ? `${path}.kept` : at, { bigint: true }))
      if (kind === 'folder' || at === path) nowOf.set(identity, now)
      else file.run(now, identity)
    }
    const known = database.prepare('SELECT identity FROM place').all() as { identity: string }[]
    for (const { identity } of known) {
      const now = identity.split(' ').map((one) => nowOf.get(one))
      if (now.includes(undefined)) throw new Error('the trace does not show what the folder of the database is told by')
      database.prepare('UPDATE place SET identity = ?').run(now.join(' '))
    }
    database.exec('COMMIT')
    for (const suffix of ['', '-wal'])
      if (existsSync(path + suffix)) copyFileSync(path + suffix, `${path}${suffix}.kept`)
  } finally {
    database.close()
    rmSync(`${path}-wal`, { force: true })
    for (const suffix of ['', '-wal']) {
      if (existsSync(`${path}${suffix}.kept`)) renameSync(`${path}${suffix}.kept`, path + suffix)
    }
  }
}

function newFolder(): Folder {
  return { kind: 'folder', names: new Map(), entries: [] }
}

type Fate = (state: State) => 'whole' | 'torn' | 'size' | 'gone'

function contentOf({ changes }: File, survival: Survival, random: Random): Buffer {
  const fate = fateOf(changes, survival, random)
  const ends = changes.map(({ event }) => (event.kind === 'write' ? event.position + event.data.length : event.size))
  const content = Buffer.alloc(Math.max(0, ...ends))
  let size = 0
  for (const { event, state } of changes) {
    const how = fate(state)
    if (how === 'gone') continue
    if (event.kind === 'truncate') {
      content.fill(0, event.size)
      size = event.size
      continue
    }
    const { position, data } = event
    size = Math.max(size, position + data.length)
    if (how === 'whole') data.copy(content, position)
    if (how === 'torn') copySome(data, content, position, random)
  }
  return content.subarray(0, size)
}

function fateOf(changes: readonly Change[], survival: Survival, random: Random): Fate {
  if (survival !== 'some') return (state) => (state === 'durable' || survival === 'all' ? 'whole' : 'gone')
  const way = random.pick(['beginning', 'any', 'sizes'] as const)
  let left = random.integer(0, changes.filter(({ state }) => state !== 'durable').length)
  return (state) => {
    if (state === 'durable') return 'whole'
    if (way === 'any') return random.pick(['whole', 'torn', 'size', 'gone'])
    if (way === 'sizes') return 'size'
    left--
    return left > 0 ? 'whole' : left === 0 ? 'torn' : 'gone'
  }
}

/** Some of the sectors that a write touches. */
function copySome(data: Buffer, to: Buffer, position: number, random: Random): void {
  for (let start = 0; start < data.length; ) {
    const end = Math.min(data.length, start + SECTOR - ((position + start) % SECTOR))
    if (random.next() < 0.5) data.copy(to, position + start, start, end)
    start = end
  }
}
