// What `npm start` runs: resumable uploads at /files, and a page at / to drop files on.

import express from 'express'
import { prepareServer, SQLiteStorage, TusServer, tusMiddleware } from 'resumable-upload'
import { uploadPage } from './upload-page.js'

const storage = new SQLiteStorage({ directory: process.env.UPLOAD_DIR ?? './uploads' })
const tus = new TusServer({ storage })

const app = express()
app.use('/files', tusMiddleware(tus))
app.use(await uploadPage())

const server = app.listen(Number(process.env.PORT ?? 3000), (error?: Error) => {
  if (error) throw error
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : address
  console.log(`Drop files on http://localhost:${port}/ (they go to ${storage.directory})`)
})
prepareServer(server, tus)

// Running uploads get a few seconds; what has arrived by then is kept, and their clients go on later.
async function shutDown(): Promise<void> {
  server.close()
  await tus.close()
  server.closeAllConnections()
}
process.once('SIGINT', shutDown)
process.once('SIGTERM', shutDown)
