// An Express application to which the code of a page is added.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import express, { type Express } from 'express'
import { Upload, type UploadOptions } from 'tus-js-client'
import { prepareServer, SQLiteStorage, type TusServer } from '../../src/index.js'
import { afterTest, scratchFolder } from '../support/example.js'

/** An application under construction. */
export interface Site {
  readonly app: Express
  readonly storage: SQLiteStorage
  /** The methods of the requests for uploads, in order. */
  readonly methods: string[]
  /** Starts listening; returns where. All of it ends with the test. */
  listen(tus: TusServer, port?: number): Promise<string>
}

/** Begins an application. */
export function createSite(): Site {
  const app = express()
  const storage = new SQLiteStorage({ directory: join(scratchFolder(), 'uploads') })
  const methods: string[] = []
  app.use('/files', (req, _res, next) => {
    methods.push(req.method)
    next()
  })
  return {
    app,
    storage,
    methods,
    listen: async (tus, port = 0) => {
      const server = prepareServer(createServer(app), tus).listen(port, '127.0.0.1')
      await once(server, 'listening')
      afterTest(async () => {
        server.closeAllConnections()
        server.close()
        await tus.close({ timeoutMs: 0 })
      })
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    },
  }
}

/** An upload by tus-js-client, and how it ended: `undefined` is a success. */
export interface Uploading {
  readonly upload: Upload
  readonly end: Promise<Error | undefined>
}

/** Starts an upload by tus-js-client. */
export function startUpload(content: Buffer, options: UploadOptions): Uploading {
  let settle: (error?: Error) => void = () => {}
  const upload = new Upload(content as unknown as Blob, {
    retryDelays: [0, 0, 0],
    ...options,
    onSuccess: () => settle(),
    onError: (error) => settle(error),
  })
  const end = new Promise<Error | undefined>((resolve) => {
    settle = resolve
  })
  upload.start()
  return { upload, end }
}
