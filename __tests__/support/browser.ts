// Headless Chromium, as it comes with Debian.
import { existsSync } from 'node:fs'
import { type Browser, type CDPSession, chromium, type Locator, type Page } from 'playwright-core'

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** Starts Chromium: `$CHROMIUM`, or where Debian has it. */
export async function launchChromium(): Promise<Browser> {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium'
  if (!existsSync(executablePath)) {
    throw new Error(
      `There is no ${executablePath}: install it (apt-get install chromium), or set CHROMIUM to its path.`,
    )
  }
  return chromium.launch({ executablePath, args: ARGUMENTS })
}

/** A tab with the example's page. */
export class UploadPage {
  readonly page: Page
  readonly #cdp: CDPSession
  readonly #cut = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 }

  private constructor(page: Page, cdp: CDPSession) {
    this.page = page
    this.#cdp = cdp
  }

  static async open(page: Page, url: string): Promise<UploadPage> {
    await page.goto(url)
    const cdp = await page.context().newCDPSession(page)
    await cdp.send('Network.enable')
    return new UploadPage(page, cdp)
  }

  /** Drops files of the disk on the page, as the window system does. */
  async drop(...files: string[]): Promise<void> {
    const box = await this.page.locator('#drop').boundingBox()
    const { x = 0, y = 0, width = 0, height = 0 } = box ?? {}
    const at = { x: x + width / 2, y: y + height / 2, data: { items: [], files, dragOperationsMask: 1 } }
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      await this.#cdp.send('Input.dispatchDragEvent', { type, ...at })
    }
  }

  /** Chooses files by the picker of browsers that give the page no handles. */
  choose(...files: string[]): Promise<void> {
    return this.page.locator('#picker').setInputFiles(files)
  }

  /** Limits uploads to so many bytes per second. */
  throttle(uploadThroughput: number): Promise<void> {
    return this.#set({ uploadThroughput })
  }

  cutNetwork(): Promise<void> {
    return this.#set({ offline: true })
  }

  restoreNetwork(): Promise<void> {
    return this.#set({ offline: false })
  }

  /** The row of an upload, if need be in a state. */
  row(name: string, state?: string): Locator {
    return this.page.locator(`li[data-name="${name}"]${state === undefined ? '' : `[data-state="${state}"]`}`)
  }

  /** How far the page says an upload is, in percent. */
  async progress(name: string): Promise<number> {
    return Number(await this.row(name).getByRole('progressbar').getAttribute('aria-valuenow', { timeout: 5_000 }))
  }

  /** The URL of an upload, once it has one. */
  async url(name: string): Promise<string> {
    return (await this.row(name).getAttribute('data-url')) ?? ''
  }

  press(action: 'Pause' | 'Go on with' | 'Try again:' | 'Cancel', name: string): Promise<void> {
    return this.page.getByRole('button', { name: `${action} ${name}` }).click()
  }

  async #set(conditions: { offline?: boolean; uploadThroughput?: number }): Promise<void> {
    await this.#cdp.send('Network.emulateNetworkConditions', Object.assign(this.#cut, conditions))
  }
}
