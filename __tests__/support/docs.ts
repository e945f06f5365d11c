// The code blocks of the pages in docs/, for tests that run what the pages show.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

/** A fenced block of a page. */
export interface CodeBlock {
  readonly language: string
  /** The heading that it stands under. */
  readonly heading: string
  readonly code: string
}

/** All code blocks of a page of docs/, in order. */
export function codeBlocks(page: string): readonly CodeBlock[] {
  const text = readFileSync(resolve(__dirname, '../../docs', page), 'utf8')
  const blocks: CodeBlock[] = []
  let heading = ''
  // A heading, or a fence with its language and all up to the closing one.
  for (const [, title, language = '', code = ''] of text.matchAll(/^#+ (.*)$|^```(\w+)\n([\s\S]*?)^```$/gm)) {
    if (title === undefined) blocks.push({ language, heading, code })
    else heading = title
  }
  return blocks
}

/** The code of a language under a heading: all its blocks, of which there must be one. */
export function codeUnder(page: string, heading: string, language: string): string {
  const found = codeBlocks(page).filter((block) => block.heading === heading && block.language === language)
  if (found.length === 0) throw new Error(`docs/${page} has no ${language} under "${heading}"`)
  return found.map(({ code }) => code).join('\n')
}

/** A text with some of its parts replaced, each of which must be in it. */
export function substitute(text: string, parts: Readonly<Record<string, string>>): string {
  let result = text
  for (const [from, to] of Object.entries(parts)) {
    if (!result.includes(from)) throw new Error(`there is no ${JSON.stringify(from)} in:\n${text}`)
    result = result.replaceAll(from, to)
  }
  return result
}
