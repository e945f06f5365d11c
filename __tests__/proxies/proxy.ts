// Proxies as docs/proxies.md sets them up, each in a process of its own before an application on another port.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { codeUnder, substitute } from '../support/docs.js'
import { afterTest, freePort, scratchFolder, waitUntil } from '../support/example.js'

/** What a configuration is adapted to. */
interface Place {
  readonly folder: string
  readonly port: number
  readonly upstream: number
}

/** A proxy of the page. */
export interface ProxyKind {
  readonly name: string
  /** What the page says of it. */
  readonly config: string
  /** Whether the answer to a body that is refused while it comes passes over HTTP/2, too. */
  readonly refusesOverHttp2: boolean
  /** Whether trailers of requests pass. */
  readonly passesTrailers: boolean
  /** Writes the configuration into the folder of a proxy; returns the command that runs it. */
  readonly install: (config: string, place: Place) => readonly string[]
}

/** A proxy that runs. */
export interface RunningProxy {
  /** Such as `https://localhost:1234`. */
  readonly origin: string
  readonly port: number
  /** The certificate to trust. */
  readonly ca: Buffer
}

export const NGINX: ProxyKind = {
  name: 'nginx',
  config: codeUnder('proxies.md', 'nginx', 'nginx'),
  refusesOverHttp2: true,
  passesTrailers: false,
  install: (config, { folder, port, upstream }) => {
    const server = substitute(config, {
      'listen 443': `listen 127.0.0.1:${port}`,
      '127.0.0.1:3000': `127.0.0.1:${upstream}`,
      '/etc/ssl/': `${folder}/`,
      'uploads.example;': 'localhost;',
    })
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${folder}/${name};`)
      .join('\n')
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/log;
events {}
http {
access_log off;
${temporary}
${server}}
`,
    )
    return ['nginx', '-p', folder, '-c', join(folder, 'nginx.conf'), '-e', join(folder, 'log')]
  },
}

export const HAPROXY: ProxyKind = {
  name: 'HAProxy',
  config: codeUnder('proxies.md', 'HAProxy', 'haproxy'),
  refusesOverHttp2: true,
  passesTrailers: true,
  install: (config, { folder, port, upstream }) => {
    const path = join(folder, 'haproxy.cfg')
    const certificate = ['crt', 'key'].map((part) => readFileSync(join(folder, `uploads.example.${part}`), 'utf8'))
    writeFileSync(join(folder, 'uploads.example.pem'), certificate.join(''))
    const adapted = substitute(config, {
      'bind :443': `bind 127.0.0.1:${port}`,
      '127.0.0.1:3000': `127.0.0.1:${upstream}`,
      '/etc/ssl/': `${folder}/`,
    })
    writeFileSync(path, adapted)
    return ['haproxy', '-db', '-f', path]
  },
}

export const CADDY: ProxyKind = {
  name: 'Caddy',
  config: codeUnder('proxies.md', 'Caddy', 'caddyfile'),
  refusesOverHttp2: true,
  passesTrailers: false,
  install: (config, { folder, port, upstream }) => {
    const path = join(folder, 'Caddyfile')
    const adapted = substitute(config, {
      'uploads.example {': `https://localhost:${port} {
  tls ${folder}/uploads.example.crt ${folder}/uploads.example.key`,
      '127.0.0.1:3000': `127.0.0.1:${upstream}`,
    })
    writeFileSync(path, `{\nadmin off\nauto_https disable_redirects\ndefault_bind 127.0.0.1\n}\n${adapted}`)
    return ['caddy', 'run', '--adapter', 'caddyfile', '--config', path]
  },
}

export const APACHE: ProxyKind = {
  name: 'Apache',
  config: codeUnder('proxies.md', 'Apache', 'apache'),
  refusesOverHttp2: false,
  passesTrailers: true,
  install: (config, { folder, port, upstream }) => {
    const path = join(folder, 'httpd.conf')
    const modules = 'mpm_event authz_core alias proxy proxy_http ssl socache_shmcb http2 headers rewrite'
      .split(' ')
      .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`)
    const adapted = substitute(config, {
      '*:443': `127.0.0.1:${port}`,
      'ServerName uploads.example': 'ServerName localhost',
      '127.0.0.1:3000': `127.0.0.1:${upstream}`,
      '/etc/ssl/': `${folder}/`,
    })
    writeFileSync(
      path,
      `ServerRoot ${folder}
PidFile ${folder}/pid
ErrorLog ${folder}/log
DefaultRuntimeDir ${folder}
Mutex sem
Listen 127.0.0.1:${port}
ServerName localhost
User www-data
Group www-data
${modules.join('\n')}
${adapted}`,
    )
    return ['apache2', '-f', path, '-DFOREGROUND']
  },
}

export const PROXIES = [NGINX, HAPROXY, CADDY, APACHE]

/** Starts a proxy before the application on a port; it ends with the test. */
export async function startProxy(kind: ProxyKind, upstream: number, config = kind.config): Promise<RunningProxy> {
  const folder = scratchFolder()
  const port = await freePort()
  makeCertificate(folder)
  const [command = '', ...args] = kind.install(config, { folder, port, upstream })
  const home = join(folder, 'home')
  mkdirSync(home)
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin`, HOME: home, XDG_DATA_HOME: home }
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
  const failure = failureOf(child, command)
  afterTest(async () => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  })
  await Promise.race([waitUntil(() => listens(port)), failure])
  return { origin: `https://localhost:${port}`, port, ca: readFileSync(join(folder, 'uploads.example.crt')) }
}

/** Rejects if a proxy ends, with what it said. */
function failureOf(child: ChildProcess, command: string): Promise<never> {
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      output += chunk
    })
  }
  const failure = new Promise<never>((_resolve, reject) => {
    child.on('error', (error) =>
      reject(new Error(`${command} can't be run; .ci/run has its package`, { cause: error })),
    )
    child.on('close', () => reject(new Error(`${command} ended:\n${output}`)))
  })
  // It ends with the test, too.
  failure.catch(() => {})
  return failure
}

function makeCertificate(folder: string): void {
  const [key, certificate] = ['key', 'crt'].map((name) => join(folder, `uploads.example.${name}`)) as [string, string]
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
      .concat(['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'])
      .concat(['-keyout', key, '-out', certificate]),
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
