// Runs code of the docs in the test's own process.
import * as ts from 'typescript'
import * as resumableUpload from '../../src/index.js'

const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor as new (
  ...args: string[]
) => (...values: unknown[]) => Promise<unknown>

/**
 * Runs code as it stands on a page.
 * @param code - TypeScript or JavaScript; it may import, and await at its top level
 * @param wanted - the names of what it declares that the test wants
 * @param scope - what it uses and does not declare, besides what the package exports
 * @param modules - what it gets for imports, in place of the real ones
 */
export async function runSnippet<T>(
  code: string,
  wanted: readonly (keyof T & string)[],
  scope: Readonly<Record<string, unknown>> = {},
  modules: Readonly<Record<string, unknown>> = {},
): Promise<T> {
  const compilerOptions = {
    module: ts.ModuleKind.CommonJS,
    target: ts.ScriptTarget.ES2022,
    esModuleInterop: true,
  }
  const { outputText } = ts.transpileModule(`${code}\nexport { ${wanted.join(', ')} }`, { compilerOptions })
  const exports = {} as T
  const known: Readonly<Record<string, unknown>> = { 'resumable-upload': resumableUpload, ...modules }
  const load = (name: string): unknown => known[name] ?? require(name)
  const names = { ...resumableUpload, ...scope, exports, require: load }
  await new AsyncFunction(...Object.keys(names), outputText)(...Object.values(names))
  return exports
}
