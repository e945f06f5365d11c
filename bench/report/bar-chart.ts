// Bar charts as SVG, readable on light and dark pages.

import { format } from './table.js'

/** One bar. */
export interface Bar {
  readonly label: string
  readonly value: number
  /** Whether it is this package. */
  readonly ours: boolean
}

/** Bars that share a scale. */
export interface Panel {
  readonly title: string
  readonly bars: readonly Bar[]
}

const COLUMNS = 2
const PANEL_WIDTH = 400
const LABEL_WIDTH = 158
const VALUE_WIDTH = 54
const BAR_HEIGHT = 16
const LINE_HEIGHT = 22
const TITLE_HEIGHT = 30
const GAP = 24
const HEAD = 40

const STYLE = `
  svg { --page: #ffffff; --text: #1f2328; --quiet: #59636e; --ours: #0969da; --other: #afb8c1 }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --text: #f0f6fc; --quiet: #9198a1; --ours: #4493f8; --other: #545d68 }
  }
  .page { fill: var(--page) }
  .ours { fill: var(--ours) }
  .other { fill: var(--other) }
  text { font: 12px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: var(--text) }
  .title { font-size: 15px; font-weight: 600 }
  .panel { font-weight: 600 }
  .value { fill: var(--quiet) }
`

/**
 * Draws panels side by side.
 * @param title - what the numbers are
 */
export function barChart(title: string, panels: readonly Panel[]): string {
  const rows: Panel[][] = []
  for (let index = 0; index < panels.length; index += COLUMNS) rows.push(panels.slice(index, index + COLUMNS))
  let top = HEAD
  const drawn: string[] = []
  for (const row of rows) {
    for (const [column, panel] of row.entries()) drawn.push(drawPanel(panel, GAP + column * (PANEL_WIDTH + GAP), top))
    top += TITLE_HEIGHT + Math.max(...row.map(({ bars }) => bars.length)) * LINE_HEIGHT + GAP
  }
  const width = GAP + COLUMNS * (PANEL_WIDTH + GAP)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${top}" width="${width}" height="${top}" role="img">
<title>${xml(title)}</title>
<style>${STYLE}</style>
<rect class="page" width="${width}" height="${top}" rx="6"/>
<text class="title" x="${GAP}" y="27">${xml(title)}</text>
${drawn.join('\n')}
</svg>
`
}

function drawPanel({ title, bars }: Panel, left: number, top: number): string {
  const most = Math.max(...bars.map(({ value }) => value))
  const space = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
  const lines = bars.map(({ label, value, ours }, index) => {
    const y = top + TITLE_HEIGHT + index * LINE_HEIGHT
    const length = Math.max((value / most) * space, 1)
    const x = left + LABEL_WIDTH
    return [
      `<text x="${x - 8}" y="${y + 12}" text-anchor="end">${xml(label)}</text>`,
      `<rect class="${ours ? 'ours' : 'other'}" x="${x}" y="${y}" width="${length.toFixed(1)}" height="${BAR_HEIGHT}" rx="2"/>`,
      `<text class="value" x="${(x + length + 6).toFixed(1)}" y="${y + 12}">${format(value)}</text>`,
    ].join('')
  })
  return [`<text class="panel" x="${left}" y="${top + 18}">${xml(title)}</text>`, ...lines].join('\n')
}

function xml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
