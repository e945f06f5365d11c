// The page: takes files, shows their uploads, and sees to it that only a few run at a time.

import { formatBytes } from './format.js'
import { describe, Row } from './row.js'
import { isFileOf, save, savedUploads, takeOver } from './saved-uploads.js'
import { Transfer } from './transfer.js'

/** A browser opens 6 connections to a server; a few stay free for everything else. */
const MAX_ACTIVE = 3

const drop = document.querySelector('#drop')
const picker = document.querySelector('#picker')
const list = document.querySelector('#list')

/** @type {Map<Transfer, Row>} */
const rows = new Map()
const announced = new Map()
const changed = new Set()

// ---- files in ----

document.querySelector('#choose').addEventListener('click', choose)
picker.addEventListener('change', () => {
  for (const file of picker.files) addFile(file)
  picker.value = ''
})

let depth = 0
addEventListener('dragenter', (event) => {
  event.preventDefault()
  depth++
  drop.classList.add('over')
})
addEventListener('dragleave', () => {
  if (--depth === 0) drop.classList.remove('over')
})
addEventListener('dragover', (event) => {
  event.preventDefault()
  event.dataTransfer.dropEffect = 'copy'
})
addEventListener('drop', (event) => {
  event.preventDefault()
  depth = 0
  drop.classList.remove('over')
  notify('')
  // Everything must be taken out of the event before it is over.
  for (const item of event.dataTransfer.items) {
    if (item.kind !== 'file') continue
    const entry = item.webkitGetAsEntry()
    if (entry?.isDirectory) notify(`“${entry.name}” is a folder. Drop the files in it.`)
    else addDropped(item.getAsFile(), item.getAsFileSystemHandle?.())
  }
})

async function addDropped(file, handle) {
  addFile(file, await handle?.catch(() => undefined))
}

/** Where the browser can, it gives the page a handle with which to open the file again after a reload. */
async function choose() {
  if (globalThis.showOpenFilePicker === undefined) return picker.click()
  try {
    const handles = await showOpenFilePicker({ multiple: true })
    for (const handle of handles) addFile(await handle.getFile(), handle)
  } catch (error) {
    if (error.name !== 'AbortError') picker.click()
  }
  return undefined
}

async function addFile(file, handle) {
  for (const transfer of rows.keys()) {
    const { state, saved } = transfer
    if ((state === 'file' || state === 'permission') && isFileOf(file, saved)) return transfer.resumeWith(file, handle)
  }
  const { name, size, type, lastModified } = file
  const saved = { id: crypto.randomUUID?.() ?? String(Math.random()), name, size, type, lastModified, handle }
  const transfer = addTransfer(saved, file)
  await save(saved).catch((error) => console.warn('This upload will not outlive the page:', error))
  takeOver(saved.id)
  next()
  return transfer
}

// ---- uploads ----

function addTransfer(saved, file) {
  const transfer = new Transfer(saved, file, onChange)
  const row = new Row(transfer)
  rows.set(transfer, row)
  list.prepend(row.element)
  onChange(transfer)
  return transfer
}

async function restore() {
  for (const { id } of await savedUploads()) {
    // In another tab, it is still going on; then it comes here when that is closed.
    takeOver(id).then((saved) => saved && addTransfer(saved, undefined).restore())
  }
}

function next() {
  let active = 0
  for (const transfer of rows.keys()) if (transfer.isActive) active++
  for (const transfer of rows.keys()) {
    if (active >= MAX_ACTIVE) break
    if (transfer.state !== 'queued') continue
    transfer.run()
    active++
  }
}

addEventListener('online', () => {
  for (const transfer of rows.keys()) if (transfer.state === 'waiting') transfer.retryNow()
})
setInterval(() => {
  for (const transfer of rows.keys()) transfer.tick()
}, 1_000)

// ---- what is seen ----

document.querySelector('#clear').addEventListener('click', () => {
  for (const transfer of [...rows.keys()]) if (transfer.isOver) remove(transfer)
  updatePage()
  document.querySelector('#choose').focus()
})

function onChange(transfer) {
  if (changed.size === 0) requestAnimationFrame(update)
  changed.add(transfer)
}

function update() {
  for (const transfer of changed) {
    rows.get(transfer)?.update()
    announce(transfer)
    if (transfer.state === 'cancelled') remove(transfer)
  }
  changed.clear()
  next()
  updatePage()
}

function updatePage() {
  const transfers = [...rows.keys()]
  const running = transfers.filter(({ isOver }) => !isOver)
  const speed = running.reduce((sum, transfer) => sum + (transfer.speed ?? 0), 0)
  const total = running.reduce((sum, { saved }) => sum + saved.size, 0)
  const sent = running.reduce((sum, transfer) => sum + transfer.sent, 0)
  const done = transfers.length - running.length
  document.querySelector('#uploads').hidden = transfers.length === 0
  document.querySelector('#clear').hidden = done === 0
  document.querySelector('#summary').textContent =
    `${done} of ${transfers.length} done${speed > 0 ? ` · ${formatBytes(speed)}/s` : ''}`
  document.title = total > 0 ? `${Math.floor((sent / total) * 100)} % · Resumable upload` : 'Resumable upload'
}

function remove(transfer) {
  rows.get(transfer)?.element.remove()
  rows.delete(transfer)
  announced.delete(transfer)
}

/** Tells screen readers of new states; progress they can ask for. */
function announce(transfer) {
  const { state, saved } = transfer
  if (announced.get(transfer) === state) return
  announced.set(transfer, state)
  const text = state === 'uploading' ? 'uploading' : describe(transfer)
  document.querySelector('#announcer').textContent = `${saved.name}: ${text}`
}

function notify(text) {
  document.querySelector('#notice').textContent = text
}

restore()
