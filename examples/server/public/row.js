// What one upload looks like in the list.

import { formatBytes, formatSeconds } from './format.js'

/** Which buttons there are in which state. */
const ACTIONS = {
  queued: ['pause', 'cancel'],
  uploading: ['pause', 'cancel'],
  waiting: ['retry', 'pause', 'cancel'],
  paused: ['resume', 'cancel'],
  permission: ['resume', 'cancel'],
  file: ['cancel'],
  failed: ['retry', 'cancel'],
  cancelling: [],
  cancelled: [],
  done: [],
}

const LABELS = { pause: 'Pause', resume: 'Go on with', retry: 'Try again:', cancel: 'Cancel' }

export class Row {
  /** @param {import('./transfer.js').Transfer} transfer */
  constructor(transfer) {
    const { name } = transfer.saved
    const template = document.querySelector('#row')
    this.transfer = transfer
    this.element = template.content.cloneNode(true).querySelector('li')
    this.element.dataset.name = name
    this.#find('.name').textContent = name
    this.#find('.name').title = name
    this.#find('.extension').textContent = extensionOf(name)
    this.#find('.progress').setAttribute('aria-label', name)
    for (const button of this.element.querySelectorAll('button')) {
      const { action } = button.dataset
      button.setAttribute('aria-label', `${LABELS[action]} ${name}`)
      button.title = LABELS[action].replace(/ with$|:$/, '')
      button.addEventListener('click', () => this.#act(action))
    }
    this.update()
  }

  update() {
    const { state, sent, saved, url } = this.transfer
    const percent = state === 'done' ? 100 : Math.min(Math.floor((sent / saved.size) * 1000) / 10 || 0, 99.9)
    const status = describe(this.transfer)
    this.element.dataset.state = state
    this.element.dataset.url = url ?? ''
    this.#find('.status').textContent = status
    this.#find('.progress').setAttribute('aria-valuenow', String(percent))
    this.#find('.progress').setAttribute('aria-valuetext', `${Math.floor(percent)} %, ${status}`)
    this.#find('.progress div').style.setProperty('scale', `${percent / 100} 1`)
    this.#showActions(ACTIONS[state])
  }

  #showActions(actions) {
    const buttons = [...this.element.querySelectorAll('button')]
    const focused = buttons.find((button) => button === document.activeElement)
    for (const button of buttons) button.hidden = !actions.includes(button.dataset.action)
    // Whoever uses the keyboard stays where they are: on the button that took the place of the one they pressed.
    if (focused?.hidden) buttons.find((button) => !button.hidden)?.focus()
  }

  #act(action) {
    const { transfer } = this
    if (action === 'pause') transfer.pause()
    else if (action === 'resume') transfer.resume()
    else if (action === 'retry') transfer.retryNow()
    else transfer.cancel()
  }

  #find(selector) {
    return this.element.querySelector(selector)
  }
}

/** The state of an upload in one line. */
export function describe(transfer) {
  const { state, reason, sent, seconds, saved, speed, url } = transfer
  const size = formatBytes(saved.size)
  const progress = `${formatBytes(sent)} of ${size}`
  switch (state) {
    case 'queued':
      return `${sent > 0 ? progress : size} · next in line`
    case 'uploading':
      if (!speed) return progress
      return `${progress} · ${formatBytes(speed)}/s · ${formatSeconds((saved.size - sent) / speed)} left`
    case 'waiting':
      return `${progress} · ${reason} It goes on by itself.`
    case 'paused':
      return `${progress} · paused`
    case 'permission':
      return `${progress} · Press ▸, or drop the file again, to go on.`
    case 'file':
    case 'failed':
      return `${progress} · ${reason}`
    case 'cancelling':
      return 'Deleting it on the server …'
    case 'cancelled':
      return 'Cancelled'
    case 'done':
      return `${size} · done${seconds > 0 ? ` in ${formatSeconds(seconds)}` : ''} · stored as ${url?.split('/').at(-1)}`
  }
}

function extensionOf(name) {
  const extension = /[^.]\.([A-Za-z0-9]{1,4})$/.exec(name)?.[1]
  return extension ?? ''
}
