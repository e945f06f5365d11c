// What a hash costs inside a server, under the same load: takes bodies on node:http, hashes them if a header names an
// algorithm, and writes each MiB in the thread pool. Checks nothing.
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { createServer } from 'node:http'

/** Makes the server. */
export function serve(directory) {
  let uploads = 0
  const server = createServer((req, res) => {
    if (req.method === 'POST') {
      uploads += 1
      const headers = { Location: `/files/${uploads}`, 'Tus-Resumable': '1.0.0', 'Content-Length': 0 }
      return res.writeHead(201, headers).end()
    }
    const algorithm = req.headers['upload-checksum']?.split(' ')[0]
    const hash = algorithm && createHash(algorithm)
    const file = fs.openSync(`${directory}/${req.url.split('/').at(-1)}`, fs.constants.O_WRONLY | fs.constants.O_CREAT)
    let offset = Number(req.headers['upload-offset'])
    let [chunks, bytes] = [[], 0]
    const write = (then) => {
      fs.writev(file, chunks, offset, then)
      offset += bytes
      ;[chunks, bytes] = [[], 0]
    }
    req.on('data', (chunk) => {
      hash?.update(chunk)
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes < 1024 * 1024) return
      req.pause()
      write(() => req.resume())
    })
    req.on('end', () => {
      hash?.digest()
      write(() => {
        fs.closeSync(file)
        res.writeHead(204, { 'Tus-Resumable': '1.0.0', 'Upload-Offset': offset }).end()
      })
    })
  })
  return { server }
}
