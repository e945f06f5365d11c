// The page to drop files on: the files of public/, with its script bundled in memory, so that it works offline.

import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { Router } from 'express'

const folder = fileURLToPath(new URL('public', import.meta.url))

/** Routes for the page: `/`, `/style.css` and `/app.js`. */
export async function uploadPage(): Promise<Router> {
  const { outputFiles } = await build({
    entryPoints: [`${folder}/app.js`],
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    write: false,
  })
  const router = Router()
  router.get('/', (_req, res) => res.sendFile('index.html', { root: folder }))
  router.get('/style.css', (_req, res) => res.sendFile('style.css', { root: folder }))
  router.get('/app.js', (_req, res) => {
    res.type('text/javascript').set('Cache-Control', 'no-cache').send(outputFiles[0]?.text)
  })
  return router
}
