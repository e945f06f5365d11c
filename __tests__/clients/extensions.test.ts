// tus-js-client from Node, with what is beyond a plain upload: parallel uploads, and what the finish hook answers.
import { randomBytes } from 'node:crypto'
import { createReadStream, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type DetailedError, type HttpResponse, Upload, type UploadOptions } from 'tus-js-client'
import { TusError } from '../../src/index.js'
import { idOf, sha256, startClientSite } from '../support/client-site.js'
import { scratchFolder } from '../support/example.js'

const MIB = 1024 * 1024

interface Sent {
  readonly url: string
  readonly last: HttpResponse
}

/** Sends a file as it lies on the disk: parallel uploads read it at several places. */
function send(content: Buffer, options: UploadOptions): Promise<Sent> {
  const path = join(scratchFolder(), 'file')
  writeFileSync(path, content)
  return new Promise((resolve, reject) => {
    // A stream of a file is what the client can read in parts; its types only know those of browsers.
    const source = createReadStream(path) as unknown as ConstructorParameters<typeof Upload>[0]
    const upload: Upload = new Upload(source, {
      retryDelays: null,
      onSuccess: ({ lastResponse }) => resolve({ url: upload.url ?? '', last: lastResponse }),
      onError: reject,
      ...options,
    })
    upload.start()
  })
}

describe('parallel uploads', () => {
  it('become one file, with the metadata of the whole', async () => {
    const site = await startClientSite()
    const content = randomBytes(5 * MIB + 17)
    const { url } = await send(content, {
      endpoint: site.endpoint,
      parallelUploads: 4,
      metadata: { filename: 'Ferien – 休日.bin', empty: '' },
    })
    await site.tus.cleanUp()
    expect(site.stored(url)).toBe(sha256(content))
    expect(site.answers.filter((answer) => answer === 'POST 201')).toHaveLength(5)
    expect((await site.storage.get(idOf(url)))?.metadata).toMatch(/^filename \S+,empty ?$/)
    expect(readdirSync(site.storage.directory)).toEqual(['.resumable-upload', idOf(url)])
  })

  it('in chunks', async () => {
    const site = await startClientSite()
    const content = randomBytes(3 * MIB)
    const { url } = await send(content, { endpoint: site.endpoint, parallelUploads: 3, chunkSize: 300_000 })
    await site.tus.cleanUp()
    expect(site.stored(url)).toBe(sha256(content))
  })

  it('the finish hook runs for the whole, with its path, and its answer comes through', async () => {
    const seen: string[] = []
    const site = await startClientSite({
      onUploadComplete: ({ upload, path, attempt }) => {
        seen.push(`${upload.length} ${path} ${attempt}`)
        return { headers: { 'Content-Type': 'application/json' }, body: '{"url":"/documents/7"}' }
      },
    })
    const content = randomBytes(MIB)
    const { url, last } = await send(content, { endpoint: site.endpoint, parallelUploads: 2 })
    expect(seen).toEqual([`${MIB} ${site.storage.pathOf({ name: idOf(url) })} 1`])
    expect(last.getBody()).toBe('{"url":"/documents/7"}')
    expect(site.stored(url)).toBe(sha256(content))
  })
})

describe('a finish hook that fails after a parallel upload', () => {
  const content = randomBytes(200_000)
  const options = { parallelUploads: 2, retryDelays: [10, 20] }

  it('has the client send everything again, since the partial uploads are gone', async () => {
    const hook = failingOnce()
    const site = await startClientSite({ onUploadComplete: hook })
    const { url } = await send(content, { ...options, endpoint: site.endpoint })
    expect(site.stored(url)).toBe(sha256(content))
    expect(site.answers.filter((answer) => answer !== 'PATCH 204')).toEqual([
      ...['POST 201', 'POST 201', 'POST 500'],
      ...['HEAD 404', 'HEAD 404', 'POST 201', 'POST 201', 'POST 201'],
    ])
  })

  it('sends nothing again where they are kept', async () => {
    const hook = failingOnce()
    const site = await startClientSite({ onUploadComplete: hook, concatenation: { keepPartials: true } })
    const { url } = await send(content, { ...options, endpoint: site.endpoint })
    expect(site.stored(url)).toBe(sha256(content))
    expect(site.answers.slice(-3)).toEqual(['HEAD 200', 'HEAD 200', 'POST 201'])
  })

  it('is none of its business in the background', async () => {
    const hook = failingOnce()
    const site = await startClientSite({ onUploadComplete: hook, completion: 'background' })
    const { url } = await send(content, { ...options, endpoint: site.endpoint })
    expect(site.answers.filter((answer) => answer.startsWith('POST'))).toEqual(['POST 201', 'POST 201', 'POST 201'])
    await hook.done
    expect(site.stored(url)).toBe(sha256(content))
  })
})

/** A hook that fails at its first call, and the promise that it has succeeded. */
function failingOnce(): (() => void) & { done: Promise<void> } {
  let succeed = (): void => {}
  let calls = 0
  const done = new Promise<void>((resolve) => {
    succeed = resolve
  })
  const hook = (): void => {
    if (++calls === 1) throw new Error('not yet')
    succeed()
  }
  return Object.assign(hook, { done })
}

describe('the finish hook', () => {
  const content = randomBytes(100_000)

  it('its answer is the last one that the client gets', async () => {
    const site = await startClientSite({
      onUploadComplete: () => ({ status: 200, headers: { 'X-Id': '7' }, body: 'ok' }),
    })
    const { last } = await send(content, { endpoint: site.endpoint })
    expect([last.getStatus(), last.getHeader('X-Id'), last.getBody()]).toEqual([200, '7', 'ok'])
  })

  it('500 to a PATCH and 423 to HEAD: the client tries again until it has succeeded', async () => {
    const site = await startClientSite({
      onUploadComplete: ({ attempt }) => {
        if (attempt === 1) throw new Error('not yet')
      },
    })
    await send(content, { endpoint: site.endpoint, retryDelays: [100, 200, 400, 800, 1600, 3200, 6400] })
    expect(site.answers.slice(0, 3)).toEqual(['POST 201', 'PATCH 500', 'HEAD 423'])
    expect(site.answers.at(-1)).toBe('HEAD 200')
  })

  it('423 to HEAD beyond the last delay: the client fails', async () => {
    const site = await startClientSite({
      onUploadComplete: () => {
        throw new Error('never')
      },
    })
    const failure = await send(content, { endpoint: site.endpoint, retryDelays: [10, 20] }).catch(
      (error: DetailedError) => error,
    )
    expect(String(failure)).toContain('423')
    expect(site.answers).toEqual(['POST 201', 'PATCH 500', 'HEAD 423', 'HEAD 423'])
  })

  it('a verdict is an error with status and sentence; going on afterwards is a new upload', async () => {
    let bad = true
    const site = await startClientSite({
      onUploadComplete: () => {
        if (bad) throw new TusError('ERR_UNPROCESSABLE', { message: 'this file has a virus' })
      },
    })
    const failure = await send(content, { endpoint: site.endpoint, retryDelays: [10, 20] }).catch(
      (error: DetailedError) => error,
    )
    const response = (failure as DetailedError).originalResponse
    expect([response?.getStatus(), response?.getBody()]).toEqual([422, 'this file has a virus\n'])
    expect(site.answers).toEqual(['POST 201', 'PATCH 422'])

    bad = false
    const uploadUrl = (failure as DetailedError).originalRequest.getURL()
    const { url } = await send(content, { endpoint: site.endpoint, uploadUrl })
    expect(site.answers.slice(2)).toEqual(['HEAD 422', 'POST 201', 'PATCH 204'])
    expect(url).not.toBe(uploadUrl)
  })
})
