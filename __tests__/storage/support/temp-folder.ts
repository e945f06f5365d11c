// Folders that are gone after the tests of a file.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let root: string | undefined
const undo: (() => void)[] = []

/** The path of a new, empty folder. */
export function tempFolder(): string {
  root ??= mkdtempSync(join(tmpdir(), 'resumable-upload-'))
  return mkdtempSync(join(root, 'f'))
}

/** Has something undone before the folders are removed. */
export function beforeRemoval(action: () => void): void {
  undo.push(action)
}

afterAll(() => {
  for (const action of undo.splice(0)) action()
  if (root !== undefined) rmSync(root, { recursive: true, force: true })
  root = undefined
})
