// Finished files under their names: how a file gets its name without taking that of another one, and how it goes.

import { randomBytes } from 'node:crypto'
import { chmodSync, linkSync, mkdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { isPlainName } from '../file-names.js'
import type { FinishedFile } from '../parts.js'
import { isSameFile, statPath } from './file-identity.js'

/** How often it is tried to make the folders of a name: another instance may remove them at the same moment. */
const TRIES = 5

/** The finished files below one folder. */
export class FinishedFiles {
  readonly #directory: string
  readonly #parts: string
  readonly #folderMode: number | undefined

  /**
   * @param directory - the absolute path of the folder
   * @param parts - that of the folder of unfinished files, where the vacuum removes what nobody names
   * @param folderMode - the mode of new folders, whatever the umask; that decides if not given
   */
  constructor(directory: string, parts: string, folderMode?: number) {
    this.#directory = directory
    this.#parts = parts
    this.#folderMode = folderMode
  }

  /**
   * The absolute path of a finished file.
   * @throws Error if it would lie outside of the folder
   */
  pathOf(name: string): string {
    if (isPlainName(name)) return this.#directory + sep + name
    const path = join(this.#directory, name)
    const inside = relative(this.#directory, path)
    if (inside === '' || inside === '..' || inside.startsWith(`..${sep}`)) {
      throw new Error(`the file name ${JSON.stringify(name)} leads out of the directory`)
    }
    return path
  }

  /**
   * Gives a file its name, at once or not at all, beside the one that it has. Never by renaming it over another file,
   * which a check before that could not rule out.
   * @returns `false` if the file is neither there nor at its place
   * @throws Error that names both if something else is there
   */
  place(from: string, file: FinishedFile): boolean {
    const target = this.pathOf(file.name)
    for (let tries = 0; ; tries++) {
      try {
        linkSync(from, target)
        return true
      } catch (error) {
        const found = statPath(target)
        if (found !== undefined && isSameFile(found, file)) return true
        const source = statPath(from)
        if (source === undefined) return false
        if (found !== undefined) {
          // A try before this one was killed before the first name was taken away.
          if (found.ino === source.ino && found.dev === source.dev) return true
          if (!file.overwrite || !found.isFile()) throw inTheWay(file.name, target, error)
        } else if (hasCode(error, 'ENOTDIR')) {
          throw inTheWay(file.name, target, error)
        } else if ((hasCode(error, 'ENOENT') || hasCode(error, 'EEXIST')) && tries < TRIES) {
          this.#makeFolders(dirname(target))
          continue
        }
        // Over a file that may be replaced; or the file system has no hard links: then nothing is closer to them than
        // this.
        renameSync(from, target)
        return true
      }
    }
  }

  /**
   * Takes the name of a finished file from it again. The file has another one, or gets that. Another file keeps the
   * name.
   */
  takeBack(file: FinishedFile, to: string): void {
    const target = this.pathOf(file.name)
    const found = statPath(target)
    if (found === undefined || !isSameFile(found, file)) return
    if (statPath(to) === undefined) renameSync(target, to)
    else unlinkSync(target)
  }

  /**
   * Removes a finished file, and the folders that are empty without it. Another file that has its name stays.
   * @returns the folder that it was in, or the first one above it that is still there
   */
  async remove(file: FinishedFile): Promise<string> {
    const target = this.pathOf(file.name)
    const found = statPath(target)
    if (found !== undefined && isSameFile(found, file)) await this.#removeFile(target)
    return this.#removeEmptyFolders(dirname(target))
  }

  /**
   * Freeing the blocks of a large file takes long, so it is not done on the main thread; its name goes before that, at
   * once: by the time that a thread is free, it may be the name of the file that has replaced it.
   */
  async #removeFile(path: string): Promise<void> {
    // Nobody's blob: after a kill the vacuum finds it.
    const removed = join(this.#parts, `${randomBytes(16).toString('hex')}.removed`)
    try {
      await unlink(renamed(path, removed) ? removed : path)
    } catch (error) {
      if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENOTDIR')) throw error
    }
  }

  /** Only empty ones go: `rmdir` removes no other, whatever comes into it at the same moment. */
  #removeEmptyFolders(folder: string): string {
    let rest = folder
    while (rest !== this.#directory) {
      try {
        rmdirSync(rest)
      } catch (error) {
        if (!hasCode(error, 'ENOENT') && !hasCode(error, 'ENOTDIR')) return rest
      }
      rest = dirname(rest)
    }
    return rest
  }

  #makeFolders(folder: string): void {
    let first: string | undefined
    try {
      first = mkdirSync(folder, { recursive: true })
    } catch (error) {
      // A file is in the place of one of them: linking says so.
      if (!hasCode(error, 'EEXIST') && !hasCode(error, 'ENOTDIR')) throw error
    }
    if (first === undefined || this.#folderMode === undefined) return
    for (let made = folder; made.length >= first.length; made = dirname(made)) chmodSync(made, this.#folderMode)
  }
}

/**
 * @returns `false` if the two lie on different file systems: the application may have moved the folder, and left a link
 */
function renamed(from: string, to: string): boolean {
  try {
    renameSync(from, to)
    return true
  } catch (error) {
    if (hasCode(error, 'EXDEV')) return false
    throw error
  }
}

function inTheWay(name: string, target: string, cause: unknown): Error {
  const message =
    `the finished file ${JSON.stringify(name)} can't get its name: ${target}, or a file in the place of a folder above it, ` +
    'is there already and is not of this upload. The upload is kept, and gets its name once that is moved away.'
  return Object.assign(new Error(message, { cause }), { code: 'EEXIST' })
}

function hasCode(error: unknown, code: string): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === code
}
