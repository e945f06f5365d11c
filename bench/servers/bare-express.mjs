// The least that takes uploads in Express 5: no locks, checks, transactions or syncs. All of its file operations:
//   POST   writes one small file, the record, so that the upload outlives the process
//   HEAD   stats the upload's file, whose size is the offset
//   PATCH  opens the file, writes at the offset, closes it; the PATCH that brings the last byte renames it.
//          Up to 128 KiB are written at once on the main thread, of more each MiB in the thread pool.
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import { createServer } from 'node:http'
import express from 'express'

function store(req, file, offset, done) {
  const small = Number(req.headers['content-length']) <= 128 * 1024
  let [chunks, bytes] = [[], 0]
  const write = (then) => {
    const written = (_error, count) => {
      offset += count
      then()
    }
    if (small) written(null, fs.writevSync(file, chunks, offset))
    else fs.writev(file, chunks, offset, written)
    ;[chunks, bytes] = [[], 0]
  }
  req.on('data', (chunk) => {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes < 1024 * 1024) return
    req.pause()
    write(() => req.resume())
  })
  req.on('end', () => write(() => done(offset)))
}

export function serve(directory) {
  const lengths = new Map()
  const part = (id) => `${directory}/parts/${id}`
  fs.mkdirSync(part(''))
  const answer = (res, status, headers) => res.writeHead(status, { 'Tus-Resumable': '1.0.0', ...headers }).end()
  const app = express()
  app.post('/files', (req, res) => {
    const id = randomUUID()
    lengths.set(id, Number(req.headers['upload-length']))
    fs.writeFileSync(`${part(id)}.json`, JSON.stringify({ length: lengths.get(id) }))
    answer(res, 201, { Location: `/files/${id}`, 'Content-Length': 0 })
  })
  app.head('/files/:id', ({ params: { id } }, res) => {
    const offset = fs.statSync(part(id), { throwIfNoEntry: false })?.size ?? 0
    answer(res, 200, { 'Upload-Offset': offset, 'Upload-Length': lengths.get(id), 'Cache-Control': 'no-store' })
  })
  app.patch('/files/:id', (req, res) => {
    const { id } = req.params
    const file = fs.openSync(part(id), fs.constants.O_WRONLY | fs.constants.O_CREAT)
    store(req, file, Number(req.headers['upload-offset']), (offset) => {
      fs.closeSync(file)
      if (offset === lengths.get(id)) fs.renameSync(part(id), `${directory}/${id}`)
      answer(res, 204, { 'Upload-Offset': offset })
    })
  })
  return { server: createServer(app) }
}
