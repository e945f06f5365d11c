// A server in production that lets everybody create uploads which never end: it says so, once.
import { TusError, type TusServerOptions } from '../../src/index.js'
import { startServer } from './support.js'

const { NODE_ENV } = process.env
afterEach(() => {
  process.env.NODE_ENV = NODE_ENV
})

/** The warnings after two creations by a server that was made in such an environment. */
async function warningsOf(options: Partial<TusServerOptions>, environment: string | undefined) {
  process.env.NODE_ENV = environment
  const { handle, logger } = startServer(options)
  const before = logger.warnings.length
  await handle('HEAD', '/files/unknown')
  expect(before + logger.warnings.length).toBe(0)
  await handle('POST', '/files', { 'Upload-Length': '1' })
  await handle('POST', '/files', { 'Upload-Length': '1' })
  return logger.warnings
}

it('warns once, at the first creation, and says what to do and how to silence it', async () => {
  const [warning, ...rest] = await warningsOf({}, 'production')
  expect(rest).toEqual([])
  for (const named of [
    'onIncomingRequest',
    'onUploadCreate',
    'expiration: {',
    'expiration: false',
    'docs/security.md',
  ]) {
    expect(warning).toContain(named)
  }
})

it('warns once for each server', async () => {
  expect(await warningsOf({}, 'production')).toHaveLength(1)
  expect(await warningsOf({ onUploadComplete: () => {}, maxSize: 5 }, 'production')).toHaveLength(1)
})

it.each<[string, Partial<TusServerOptions>, string | undefined]>([
  ['outside of production', {}, 'development'],
  ['without an environment', {}, undefined],
  ['with onIncomingRequest', { onIncomingRequest: () => {} }, 'production'],
  [
    'with onUploadCreate',
    {
      onUploadCreate: () => {
        throw new TusError('ERR_FORBIDDEN')
      },
    },
    'production',
  ],
  ['with an expiration', { expiration: { unfinishedAfterMs: 1000 } }, 'production'],
  ['where it is meant', { expiration: false }, 'production'],
])('does not %s', async (_name, options, environment) => {
  expect(await warningsOf(options, environment)).toEqual([])
})
