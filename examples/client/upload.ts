// An upload from Node that is interrupted and resumed. While `npm start` runs:
//
//   npx tsx examples/client/upload.ts [file] [endpoint]

import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Upload, type UploadOptions } from 'tus-js-client'

const CHUNK_BYTES = 8 * 1024 * 1024
const [given, endpoint = 'http://localhost:3000/files'] = process.argv.slice(2)

const folder = await mkdtemp(join(tmpdir(), 'resumable-upload-'))
try {
  const file = given || (await createFile(join(folder, 'random.bin')))
  const { size } = await stat(file)
  const options: UploadOptions = {
    endpoint,
    metadata: { filename: basename(file) },
    chunkSize: CHUNK_BYTES,
    retryDelays: [0, 1000, 3000, 5000],
    onProgress: (sent) => console.log(`sent ${sent} of ${size} bytes`),
  }

  const url = await uploadHalf(file, size, options)
  console.log(`stopped; ${await offsetOf(url)} of ${size} bytes are safe at ${url}`)
  await resume(file, url, options)
  const offset = await offsetOf(url)
  if (offset !== size) throw new Error(`the server has ${offset} of ${size} bytes`)
  console.log(`uploaded ${size} bytes, SHA-256 ${await sha256(file)}`)
} finally {
  await rm(folder, { recursive: true })
}

/** Uploads until half of the file is sent, then stops as a connection that drops would. Returns where it is. */
function uploadHalf(file: string, size: number, options: UploadOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const stop = async () => {
      await upload.abort()
      resolve(upload.url ?? '')
    }
    const upload: Upload = new Upload(createReadStream(file), {
      ...options,
      onProgress: (sent, total) => {
        options.onProgress?.(sent, total)
        // Not at once: tus-js-client says how far it is before it sends, too, and can't be stopped there.
        if (sent > size / 2) setImmediate(stop)
      },
      onSuccess: () => resolve(upload.url ?? ''),
      onError: reject,
    })
    upload.start()
  })
}

/** Goes on where the server says that the upload is. All it takes is the URL, which may come from a database. */
function resume(file: string, url: string, options: UploadOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    new Upload(createReadStream(file), {
      ...options,
      uploadUrl: url,
      onSuccess: () => resolve(),
      onError: reject,
    }).start()
  })
}

async function offsetOf(url: string): Promise<number> {
  const { headers } = await fetch(url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } })
  return Number(headers.get('Upload-Offset'))
}

async function createFile(path: string): Promise<string> {
  await writeFile(path, randomBytes(8 * CHUNK_BYTES))
  return path
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}
