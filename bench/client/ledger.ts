// What should lie in a server's folder after a load, and whether it does.

import { closeSync, existsSync, fstatSync, openSync, readSync, unlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { bytesFor } from './bodies.js'

/** Where files lie: finished and unfinished ones, with one server or another. */
const PLACES = ['.', 'parts', '.resumable-upload/parts']

/** One upload, as far as it has come. */
export interface StoredUpload {
  /** The path of its URL, whose last segment is the file's name with every server that is measured. */
  readonly path: string
  /** Which bytes each of its parts has, see {@link bytesFor}. Nearly always there is one part. */
  readonly numbers: readonly number[]
  /** The size of each of its chunks. */
  readonly chunk: number
  /** How many bytes are stored. */
  readonly size: number
}

/** Keeps a sample of the uploads in a server's folder: the first and the latest of each connection. */
export class Ledger {
  readonly #folder: string
  readonly #first = new Map<number, StoredUpload>()
  readonly #latest = new Map<number, StoredUpload>()
  readonly #finished = new Set<string>()

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Notes what a connection has just been told is stored. */
  note(worker: number, upload: StoredUpload): void {
    const first = this.#first.get(worker)
    const isFirst = first === undefined ? !this.#latest.has(worker) : first.path === upload.path
    const sample = isFirst ? this.#first : this.#latest
    sample.set(worker, upload)
  }

  /** Notes that an upload is finished and may be removed. */
  finish({ path }: StoredUpload): void {
    this.#finished.add(path)
  }

  /** Verifies the sample and removes the files of finished uploads, if there are any. @throws Error as {@link verify} does */
  clear(): void {
    if (this.#finished.size === 0) return
    this.verify()
    for (const path of this.#finished) unlinkSync(this.#fileOf(path))
    for (const sample of [this.#first, this.#latest]) {
      for (const [worker, { path }] of sample) if (this.#finished.has(path)) sample.delete(worker)
    }
    this.#finished.clear()
  }

  /** @throws Error if a file of the sample is not what was uploaded, byte for byte */
  verify(): void {
    for (const upload of [...this.#first.values(), ...this.#latest.values()]) {
      verifyFile(this.#fileOf(upload.path), upload)
    }
  }

  #fileOf(path: string): string {
    const file = PLACES.map((place) => join(this.#folder, place, basename(path))).find((file) => existsSync(file))
    if (file === undefined) throw new Error(`${path} is not stored`)
    return file
  }
}

function verifyFile(file: string, { numbers, chunk, size }: StoredUpload): void {
  const descriptor = openSync(file, 'r')
  try {
    const found = fstatSync(descriptor).size
    if (found !== size) throw new Error(`${file} has ${found} bytes instead of ${size}`)
    const buffer = Buffer.allocUnsafe(chunk)
    for (let position = 0; position < size; position += chunk) {
      const number = numbers[Math.floor((position / size) * numbers.length)] as number
      const expected = bytesFor(number, chunk)
      const length = readSync(descriptor, buffer, 0, chunk, position)
      if (!buffer.subarray(0, length).equals(expected.subarray(0, length))) {
        throw new Error(`${file} differs from what was uploaded, after byte ${position}`)
      }
    }
  } finally {
    closeSync(descriptor)
  }
}
