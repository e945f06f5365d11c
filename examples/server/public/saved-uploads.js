// Unfinished uploads, kept in IndexedDB, so that they outlive the page. Each is one tab's at a time.

/**
 * @typedef {object} SavedUpload
 * @property {string} id
 * @property {string} name
 * @property {number} size in bytes
 * @property {string} type media type, may be empty
 * @property {number} lastModified in milliseconds since the epoch
 * @property {string} [url] where the server has it
 * @property {FileSystemFileHandle} [handle] how the page may open the file again by itself (Chromium)
 * @property {boolean} [paused]
 * @property {boolean} [cancelled] whether it only remains to delete it on the server
 */

const STORE = 'uploads'

/** @type {Promise<IDBDatabase | undefined>} */
const database = new Promise((resolve) => {
  const request = indexedDB.open('resumable-upload', 1)
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'id' })
  request.onsuccess = () => resolve(request.result)
  request.onerror = () => {
    console.warn('Uploads will not outlive this page:', request.error)
    resolve(undefined)
  }
})

/** @returns {Promise<any>} */
async function inStore(mode, action) {
  const transaction = (await database)?.transaction(STORE, mode)
  if (transaction === undefined) return undefined
  const request = action(transaction.objectStore(STORE))
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve(request.result)
    transaction.onabort = () => reject(transaction.error)
  })
}

/** @param {SavedUpload} saved */
export async function save(saved) {
  await inStore('readwrite', (store) => store.put(saved))
}

/** @param {string} id */
export async function forget(id) {
  await inStore('readwrite', (store) => store.delete(id))
}

/** @returns {Promise<SavedUpload[]>} */
export async function savedUploads() {
  return (await inStore('readonly', (store) => store.getAll())) ?? []
}

/**
 * Waits until no other tab has an upload, then has it as long as this page lives.
 * @param {string} id
 * @returns {Promise<SavedUpload | undefined>} what is saved by then
 */
export async function takeOver(id) {
  // Pages of plain http:// (but for localhost) have no locks: then two tabs may take turns.
  if (navigator.locks !== undefined) {
    await new Promise((resolve, reject) => {
      navigator.locks.request(`upload ${id}`, () => new Promise(() => resolve(undefined))).catch(reject)
    })
  }
  return inStore('readonly', (store) => store.get(id))
}

/** Whether a file is, by all that can be seen from outside, the one of an unfinished upload. */
export function isFileOf(file, saved) {
  return file.name === saved.name && file.size === saved.size && file.lastModified === saved.lastModified
}
