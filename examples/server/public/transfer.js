// One upload from this page: tus-js-client, and all that may come in between.

import { Upload } from 'tus-js-client'
import { forget, isFileOf, save } from './saved-uploads.js'
import { Speedometer } from './speedometer.js'

const ENDPOINT = new URL('files', document.baseURI).href
/** A server may be away for a day. The delays start over whenever bytes get through. */
const RETRY_DELAYS = [0, 500, 1000, 2000, ...new Array(30_000).fill(3000)]
/** Client errors that pass by themselves. */
const PASSING = new Set([408, 409, 423, 425, 429])
/** A connection on which nothing moves for so long is given up for another. */
const STALL_MS = 60_000

const DROP_AGAIN = 'Drop the file again to go on.'
const FILE_CHANGED = 'The file has changed, or is gone: drop it as it was to go on.'

/**
 * `queued`: waits for its turn; `waiting`: for the server, or the network; `permission`: for the user to let the page
 * open the file again; `file`: for the user to drop the file again; `cancelling`: until the server has deleted it.
 * @typedef {'queued' | 'uploading' | 'waiting' | 'paused' | 'permission' | 'file' | 'failed' | 'cancelling'
 *   | 'cancelled' | 'done'} State
 */

export class Transfer {
  /** @type {State} */
  state = 'queued'
  /** Why it failed or waits. */
  reason = ''
  /** How many bytes have been sent. */
  sent = 0
  /** How many seconds it took, once it is done; 0 if an earlier page saw most of it. */
  seconds = 0
  /** @type {import('./saved-uploads.js').SavedUpload} */
  saved
  /** @type {File | undefined} */
  #file
  /** @type {Upload | undefined} */
  #upload
  #speedometer = new Speedometer()
  #onChange
  #movedAtMs = 0
  #startedAtMs = 0
  #startedOver = false

  constructor(saved, file, onChange) {
    this.saved = saved
    this.#file = file
    this.#onChange = onChange
  }

  get url() {
    return this.saved.url
  }

  get isActive() {
    return this.state === 'uploading' || this.state === 'waiting'
  }

  get isOver() {
    return this.state === 'done' || this.state === 'cancelled'
  }

  /** Bytes per second. */
  get speed() {
    return this.state === 'uploading' ? this.#speedometer.speed : undefined
  }

  /** Goes on with what an earlier page has left: by itself if it can, else it says what it needs. */
  async restore() {
    const { paused, cancelled, handle, url } = this.saved
    if (cancelled) return this.cancel()
    if (url !== undefined && (await this.#look(url))) return undefined
    const permission = await handle?.queryPermission({ mode: 'read' })
    if (handle === undefined) this.#become('file', DROP_AGAIN)
    else if (permission !== 'granted') this.#become('permission')
    else if ((await this.#open()) && paused) this.#become('paused')
    else if (this.#file !== undefined) this.#become('queued')
    return undefined
  }

  /** Begins, or goes on. Called when it is this upload's turn. */
  run() {
    this.#stop()
    this.#speedometer.reset()
    this.#startedAtMs ||= performance.now()
    this.#movedAtMs = performance.now()
    const upload = new Upload(this.#file, {
      // Without an endpoint a HEAD that fails is tried again; with one, the client would start from zero.
      endpoint: this.url === undefined ? ENDPOINT : null,
      uploadUrl: this.url ?? null,
      metadata: { filename: this.saved.name, ...(this.saved.type && { filetype: this.saved.type }) },
      retryDelays: RETRY_DELAYS,
      storeFingerprintForResuming: false,
      onUploadUrlAvailable: () => {
        upload.options.endpoint = null
        if (this.url === upload.url) return
        this.saved.url = upload.url
        this.#keep()
      },
      onProgress: (sent) => this.#moved(sent),
      onShouldRetry: (error) => this.#shouldRetry(error),
      onError: (error) => this.#failed(error),
      onSuccess: () => this.#done(),
    })
    this.#upload = upload
    this.#become('uploading')
    upload.start()
  }

  pause() {
    this.#stop()
    this.saved.paused = true
    this.#keep()
    this.#become('paused')
  }

  async resume() {
    if (this.#file === undefined && !(await this.#askAndOpen())) return
    this.saved.paused = false
    this.#keep()
    this.#become('queued')
  }

  /** Has the file again that was dropped before. */
  resumeWith(file, handle) {
    this.#file = file
    if (handle !== undefined) this.saved.handle = handle
    return this.resume()
  }

  /** Tries again now what waits for a later try. */
  retryNow() {
    if (this.state === 'waiting') this.run()
    else if (this.state === 'failed' && this.saved.cancelled) this.cancel()
    else if (this.state === 'failed') this.resume()
  }

  /** To be called every second or so: shows the speed as it falls, and gives up a connection on which nothing moves. */
  tick() {
    if (this.state !== 'uploading') return
    if (performance.now() - this.#movedAtMs > STALL_MS) this.run()
    else this.#onChange(this)
  }

  /** Stops, and has the server delete what it got. */
  async cancel() {
    this.#stop()
    if (this.url !== undefined) {
      this.saved.cancelled = true
      this.#keep()
      this.#become('cancelling')
      const options = { retryDelays: RETRY_DELAYS, onShouldRetry: (error) => mayPass(statusOf(error)) }
      try {
        await Upload.terminate(this.url, options)
      } catch (error) {
        if (!isGone(statusOf(error))) return this.#become('failed', `It could not be deleted: ${explain(error)}`)
      }
    }
    forget(this.saved.id)
    return this.#become('cancelled')
  }

  #stop() {
    this.#upload?.abort()
    this.#upload = undefined
  }

  #become(state, reason = '') {
    this.state = state
    this.reason = reason
    this.#onChange(this)
  }

  #keep() {
    save(this.saved).catch((error) => console.warn('This upload will not outlive the page:', error))
  }

  #moved(sent) {
    this.#movedAtMs = performance.now()
    this.sent = sent
    this.#speedometer.add(sent)
    this.#become('uploading')
  }

  #shouldRetry(error) {
    const status = statusOf(error)
    if (!mayPass(status)) return false
    this.#speedometer.reset()
    this.#become('waiting', explain(error))
    if (status === 0) this.#checkFile()
    return true
  }

  /** To the client, a file that is gone from the disk looks like a server that is gone. */
  async #checkFile() {
    try {
      await this.#file.slice(0, 1).arrayBuffer()
    } catch {
      this.#stop()
      this.#file = undefined
      this.#become('file', FILE_CHANGED)
    }
  }

  #failed(error) {
    const startOver = isGone(statusOf(error)) && this.url !== undefined && !this.#startedOver
    if (!startOver) return this.#become('failed', explain(error))
    this.#startedOver = true
    this.saved.url = undefined
    return this.run()
  }

  #done() {
    this.#upload = undefined
    this.sent = this.saved.size
    if (this.#startedAtMs > 0) this.seconds = (performance.now() - this.#startedAtMs) / 1000
    forget(this.saved.id)
    this.#become('done')
  }

  /** Asks the server how far it has come. Returns whether that was to the end. */
  async #look(url) {
    try {
      const { status, headers } = await fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
      if (isGone(status)) this.saved.url = undefined
      this.sent = Number(headers.get('Upload-Offset') ?? 0)
      if (status !== 200 || this.sent !== this.saved.size) return false
      this.#done()
      return true
    } catch {
      return false
    }
  }

  async #askAndOpen() {
    const permission = await this.saved.handle?.requestPermission({ mode: 'read' })
    return permission === 'granted' && this.#open()
  }

  async #open() {
    try {
      const file = await this.saved.handle.getFile()
      if (isFileOf(file, this.saved)) this.#file = file
    } catch {
      // It is not where it was.
    }
    if (this.#file === undefined) this.#become('file', FILE_CHANGED)
    return this.#file !== undefined
  }
}

/** The status of the answer behind an error, 0 if there was none. */
function statusOf(error) {
  return error.originalResponse?.getStatus() ?? 0
}

function mayPass(status) {
  return status < 400 || status >= 500 || PASSING.has(status)
}

function isGone(status) {
  return status === 404 || status === 410
}

/** What went wrong, for the user. */
function explain(error) {
  const status = statusOf(error)
  if (status === 0) return navigator.onLine ? 'The server can’t be reached.' : 'You are offline.'
  if (status === 413) return 'The file is larger than the server accepts.'
  if (status === 401 || status === 403) return 'The server does not let you upload this.'
  if (status === 409 || status === 423) return 'The server is still busy with this file.'
  if (status === 507) return 'The server has no space left.'
  if (status >= 500) return `The server has a problem (${status}).`
  const [sentence] = error.originalResponse.getBody().split('\n')
  return `The server refused it: ${sentence && sentence.length < 200 ? sentence : `status ${status}`}.`
}
