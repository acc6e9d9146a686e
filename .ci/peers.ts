// Installs the packed package beside each major of its optional peers, each time in an empty project: tsx peers.ts <tarball>
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startRedis } from '../test/support/own-redis.js'
import { startPostgres } from '../test/support/postgres.js'

const tarball = resolve(process.argv[2] ?? '')
const common = [
  'pg@8',
  'ioredis@5',
  'zod@4',
  'valibot@1',
  'arktype@2',
  'reflect-metadata@0.2',
  'rxjs@7',
  '@types/node@20',
]
const nest = (major: number) =>
  ['common', 'core', 'platform-express', 'platform-fastify'].map((name) => `@nestjs/${name}@${major}`)

/** How an application of Nest compiles to CommonJS: as `nest new` makes it, and as a bundler reads packages. */
const nodenext = { module: 'nodenext', moduleResolution: 'nodenext' }
const bundler = { module: 'commonjs', moduleResolution: 'bundler' }

const sets = [
  { peers: ['express@4', 'fastify@4', 'koa@2', 'bullmq@5', 'pg-copy-streams@6', ...nest(10)], compiler: nodenext },
  { peers: nest(11), compiler: nodenext, isOnlyNest: true },
  { peers: ['express@5', 'fastify@5', 'koa@3', 'bullmq@6', 'pg-copy-streams@7', ...nest(12)], compiler: bundler },
]

/** Compiles an application of Nest to CommonJS beside the package, and runs it. */
function runNest(cwd: string, compiler: object): void {
  cpSync(new URL('../test/nestjs/commonjs-app.ts', import.meta.url), join(cwd, 'app.ts'))
  const decorators = { experimentalDecorators: true, emitDecoratorMetadata: true }
  const compilerOptions = {
    ...compiler,
    ...decorators,
    target: 'es2022',
    strict: true,
    skipLibCheck: true,
    types: ['node'],
  }
  writeFileSync(join(cwd, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['app.ts'] }))
  execFileSync('node', [fileURLToPath(import.meta.resolve('typescript/bin/tsc')), '-p', cwd], { stdio: 'inherit' })
  assert.match(readFileSync(join(cwd, 'app.js'), 'utf8'), /require\("headgate\/nestjs"\)/)
  const lines = execFileSync('node', ['app.js'], { cwd, encoding: 'utf8', timeout: 60_000 }).trim().split('\n')
  for (const line of lines) assert.match(line, /^\[\{"state":"successful","count":1,.*"status":"up".*"found":true/)
  const { version } = JSON.parse(readFileSync(join(cwd, 'node_modules/@nestjs/core/package.json'), 'utf8'))
  assert.equal(lines.length, 2)
  console.log(`works with @nestjs/core ${version} in CommonJS, on express and fastify`)
}

/** Makes an empty project with the package and peers of it. Returns its folder. */
async function install(name: string, peers: string[]): Promise<string> {
  const cwd = join(folder, name)
  mkdirSync(cwd)
  writeFileSync(join(cwd, 'package.json'), '{ "private": true }')
  const args = ['install', '--no-audit', '--no-fund', '--prefer-offline', '--silent', tarball, ...common, ...peers]
  await promisify(execFile)('npm', args, { cwd })
  return cwd
}

const folder = mkdtempSync(join(tmpdir(), 'peers-'))
const postgres = await startPostgres()
const redis = process.env.HEADGATE_TEST_REDIS_URL ? undefined : await startRedis()
const env = {
  ...process.env,
  HEADGATE_TEST_POSTGRES_URL: postgres.url,
  ...(redis && { HEADGATE_TEST_REDIS_URL: redis.url }),
}
try {
  const projects = await Promise.all(
    sets.map(async ({ peers, ...set }, n) => ({ ...set, cwd: await install(String(n), peers) })),
  )
  for (const { cwd, compiler, isOnlyNest } of projects) {
    if (!isOnlyNest) {
      cpSync(new URL('peers-project.mjs', import.meta.url), join(cwd, 'project.mjs'))
      execFileSync('node', ['project.mjs'], { cwd, env, stdio: 'inherit', timeout: 60_000 })
    }
    runNest(cwd, compiler)
  }
} finally {
  await redis?.stop()
  await postgres.stop()
  rmSync(folder, { recursive: true })
}
