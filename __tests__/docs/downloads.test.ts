// docs/downloads.md: what it shows of Express. Its web servers: __tests__/proxies/static.test.ts.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import express from 'express'
import { TusServer, tusMiddleware } from '../../src/index.js'
import { codeUnder } from '../support/docs.js'
import { runSnippet } from '../support/snippet.js'
import { createSite } from './site.js'

const PAGE = 'downloads.md'
const CREATION = {
  'Tus-Resumable': '1.0.0',
  'Content-Type': 'application/offset+octet-stream',
  'Upload-Length': '5',
}

it('express.static hands out finished files as bytes, and nothing that begins with a dot', async () => {
  const site = createSite()
  const tus = new TusServer({ storage: site.storage, onUploadCreate: () => ({ name: 'page.html' }) })
  await runSnippet(codeUnder(PAGE, 'In Node', 'ts'), [], { ...site, express })
  site.app.use('/files', tusMiddleware(tus))
  const origin = await site.listen(tus)
  await fetch(`${origin}/files`, { method: 'POST', headers: CREATION, body: 'hello' })
  mkdirSync(join(site.storage.directory, 'folder'))
  writeFileSync(join(site.storage.directory, 'folder/.hidden'), 'a secret')

  const answer = await fetch(`${origin}/download/page.html`)
  expect([answer.status, await answer.text()]).toEqual([200, 'hello'])
  expect(Object.fromEntries(answer.headers)).toMatchObject({
    'content-type': 'application/octet-stream',
    'x-content-type-options': 'nosniff',
    'content-disposition': 'attachment',
  })
  for (const path of ['.resumable-upload/uploads.sqlite', '%2eresumable-upload/uploads.sqlite', 'folder/.hidden']) {
    expect((await fetch(`${origin}/download/${path}`)).status).toBe(404)
  }
})

it('an application says itself which pages may embed files', async () => {
  const site = createSite()
  const tus = new TusServer({ storage: site.storage, downloads: true })
  await runSnippet(codeUnder(PAGE, 'Pages of other origins', 'ts'), [], { ...site })
  site.app.use('/files', tusMiddleware(tus))
  const origin = await site.listen(tus)
  const { headers } = await fetch(`${origin}/files`, { method: 'POST', headers: CREATION, body: 'hello' })
  const answer = await fetch(new URL(headers.get('Location') ?? '', origin))
  expect(answer.headers.get('Cross-Origin-Resource-Policy')).toBe('cross-origin')
})
