// Uppy in Node: node uppy.mjs <endpoint> <options of @uppy/tus as JSON> <size> → prints the URLs as a line of JSON.
import Uppy from '@uppy/core'
import Tus from '@uppy/tus'

const [endpoint, options, size] = process.argv.slice(2)
const uppy = new Uppy({ debug: false }).use(Tus, { endpoint, ...JSON.parse(options) })
const data = Buffer.alloc(Number(size), 'uppy')
// Uppy asks for the size as a Blob has it; its client takes Buffers in Node.
Object.defineProperty(data, 'size', { value: data.length })
uppy.addFile({ name: 'Ferien – 休日.txt', type: 'text/plain', meta: { empty: '', number: 7 }, data })
const { successful, failed } = await uppy.upload()
console.log(
  JSON.stringify({ urls: successful.map(({ uploadURL }) => uploadURL), failed: failed.map(({ error }) => error) }),
)
