// docs/curl.md: every command of the page, run by a shell beside the server that it shows.
import { spawn } from 'node:child_process'
import { startProgram } from '../docs/program.js'
import { type CodeBlock, codeBlocks, codeUnder } from '../support/docs.js'
import { afterTest, scratchFolder } from '../support/example.js'

interface Step {
  readonly command: string
  /** Lines that must come in this order; others may come between. */
  readonly shown: readonly string[]
}

/** The commands of a transcript: each begins with a `$`, goes on after a backslash, and is followed by its output. */
function stepsOf({ code }: CodeBlock): readonly Step[] {
  return code
    .split(/^\$ /m)
    .slice(1)
    .map((text) => {
      const [command = ''] = /^(?:.*\\\n)*.*/.exec(text) ?? []
      const shown = text.slice(command.length).split('\n')
      return { command, shown: shown.filter((line) => line !== '') }
    })
}

/** A shell that goes on from one command to the next. */
class Shell {
  readonly #child
  #output = ''
  #arrived: () => void = () => {}

  constructor(folder: string) {
    this.#child = spawn('bash', { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.stdout.on('data', (chunk) => {
      this.#output += chunk
      this.#arrived()
    })
    // As on a terminal: errors among the output, and no progress meter.
    this.#child.stdin.write('exec 2>&1; curl() { command curl --no-progress-meter "$@"; }\n')
    afterTest(() => {
      this.#child.kill()
    })
  }

  /** Runs a command; settles with the lines that it printed. */
  async run(command: string): Promise<readonly string[]> {
    this.#output = ''
    this.#child.stdin.write(`${command}\nprintf '\\n\\036\\n'\n`)
    while (!this.#output.endsWith('\n\x1e\n')) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve
      })
    }
    return this.#output.slice(0, -3).split(/\r?\n/)
  }
}

const ID = /\b[0-9a-f]{40}\b/g
const DATE = /\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/g
const DURATION = /\d+ milliseconds/g

/** What the page shows as a pattern: ids, times and durations are others each time. */
function patternOf(line: string): RegExp {
  const literal = line.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  const pattern = literal.replace(ID, '([0-9a-f]{40})').replace(DATE, DATE.source).replace(DURATION, DURATION.source)
  return new RegExp(`^${pattern}$`)
}

/** The page's ids and port, and those that stand for them in this run. */
class Names {
  readonly #real = new Map<string, string>()
  readonly #port: number

  constructor(port: number) {
    this.#port = port
  }

  /** Remembers what a line shows for what it turned out to be. */
  learn(shown: string, actual: RegExpMatchArray): void {
    for (const [index, id] of (shown.match(ID) ?? []).entries()) this.#real.set(id, actual[index + 1] ?? '')
  }

  translate(text: string): string {
    const local = text.replaceAll('localhost:3000', `localhost:${this.#port}`)
    return local.replace(ID, (id) => this.#real.get(id) ?? id)
  }
}

/** The lines that a command should have printed, and did not. */
function missingFrom(output: readonly string[], shown: readonly string[], names: Names): readonly string[] {
  let rest = output
  return shown.filter((line) => {
    const pattern = patternOf(names.translate(line))
    const index = rest.findIndex((actual) => pattern.test(actual))
    if (index === -1) return true
    names.learn(line, rest[index]?.match(pattern) as RegExpMatchArray)
    rest = rest.slice(index + 1)
    return false
  })
}

const transcripts = codeBlocks('curl.md').filter(({ language }) => language === 'console')

it('answers as the page shows', async () => {
  const folder = scratchFolder()
  const { port } = await startProgram(folder, { 'server.js': codeUnder('curl.md', 'The server', 'js') })
  const shell = new Shell(folder)
  const names = new Names(port)
  const differences: object[] = []
  for (const block of transcripts) {
    for (const { command, shown } of stepsOf(block)) {
      const output = await shell.run(names.translate(command))
      const missing = missingFrom(output, shown, names)
      if (missing.length > 0) differences.push({ under: block.heading, command, missing, output })
    }
  }
  expect(differences).toEqual([])
}, 60_000)

it('says of every request what comes back', () => {
  const requests = transcripts.flatMap(stepsOf).filter(({ command }) => command.startsWith('curl'))
  expect(requests.length).toBeGreaterThan(20)
  for (const { command, shown } of requests) expect([command, shown.length > 0]).toEqual([command, true])
})
