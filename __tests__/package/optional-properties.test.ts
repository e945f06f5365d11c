// Every optional property of every public interface takes `undefined`, for applications that are compiled with
// exactOptionalPropertyTypes. The capabilities of a storage are methods: they are there, or they are not.
import { join, resolve } from 'node:path'
import * as ts from 'typescript'

const ROOT = join(__dirname, '../..')
const ENTRIES = ['src/index.ts', 'src/testing/index.ts'].map((entry) => join(ROOT, entry))

const OPTIONS: ts.CompilerOptions = {
  module: ts.ModuleKind.NodeNext,
  target: ts.ScriptTarget.ES2022,
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  noEmit: true,
  esModuleInterop: true,
  types: ['node'],
}

const program = ts.createProgram(ENTRIES, OPTIONS)

/** The optional properties of what an entry exports, as `Interface.property`. */
function optionalProperties(entry: string): string[] {
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(entry)
  const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(source as ts.Node) as ts.Symbol)
  return exported.flatMap((symbol) => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
    if (!(target.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.TypeAlias))) return []
    return checker
      .getPropertiesOfType(checker.getDeclaredTypeOfSymbol(target))
      .filter(({ flags }) => flags & ts.SymbolFlags.Optional && !(flags & ts.SymbolFlags.Method))
      .map((property) => `${symbol.name}.${property.name}`)
  })
}

/** What the compiler says of modules beside the entries that set these properties to `undefined`. */
function problemsOf(propertiesOf: ReadonlyMap<string, readonly string[]>): string[] {
  const modules = new Map<string, string>()
  for (const [entry, properties] of propertiesOf) {
    const lines = properties.map((property, index) => {
      const [type, key] = property.split('.')
      return `export const v${index}: Pick<api.${type}, '${key}'> = { ${key}: undefined } // ${property}`
    })
    modules.set(resolve(entry, '../undefined.ts'), `import type * as api from './index.js'\n${lines.join('\n')}\n`)
  }
  const host = ts.createCompilerHost(OPTIONS)
  const { getSourceFile, fileExists } = host
  host.getSourceFile = (file, version, ...rest) => {
    const text = modules.get(file)
    return text === undefined ? getSourceFile(file, version, ...rest) : ts.createSourceFile(file, text, version)
  }
  host.fileExists = (file) => modules.has(file) || fileExists(file)
  const check = ts.createProgram([...modules.keys()], OPTIONS, host, program)
  return [...modules.keys()].flatMap((name) =>
    check
      .getSemanticDiagnostics(check.getSourceFile(name))
      .map(({ file, start = 0 }) => file?.text.slice(start).split('\n')[0] ?? 'a problem without a place'),
  )
}

it('all do, and one that does not would be found', () => {
  const properties = new Map(ENTRIES.map((entry) => [entry, optionalProperties(entry)]))
  const [index = '', testing = ''] = ENTRIES
  expect(properties.get(index)).toEqual(
    expect.arrayContaining(['TusServerOptions.maxSize', 'CorsOptions.origin', 'CreateDecision.name', 'Commit.length']),
  )
  expect(properties.get(testing)).toContain('StorageContractOptions.clock')
  properties.get(index)?.push('Upload.id')
  expect(problemsOf(properties)).toEqual([expect.stringContaining('id: undefined } // Upload.id')])
}, 120_000)
