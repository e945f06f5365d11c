// Workers of node:cluster behind one port, each of them an upload-server.mjs; one that dies is replaced.
// node cluster-server.mjs <workers> <directory> [port] [options as JSON] → each worker prints { port, pid } as a line of JSON.
import cluster from 'node:cluster'
import { fileURLToPath } from 'node:url'

const [workers, ...args] = process.argv.slice(2)
cluster.setupPrimary({ exec: fileURLToPath(new URL('../support/upload-server.mjs', import.meta.url)), args })
cluster.on('exit', () => cluster.fork())
for (let count = 0; count < Number(workers); count++) cluster.fork()
