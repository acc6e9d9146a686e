// Installs the packed package beside each major of its optional peers, each time in an empty project: tsx peers.ts <tarball>
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { startRedis } from '../test/support/own-redis.js'
import { startPostgres } from '../test/support/postgres.js'

const tarball = resolve(process.argv[2] ?? '')
const common = ['pg@8', 'ioredis@5', 'zod@4', 'valibot@1', 'arktype@2']
const sets = [
  ['express@4', 'fastify@4', 'koa@2', 'bullmq@5', 'pg-copy-streams@6'],
  ['express@5', 'fastify@5', 'koa@3', 'bullmq@6', 'pg-copy-streams@7'],
]

const folder = mkdtempSync(join(tmpdir(), 'peers-'))
const postgres = await startPostgres()
const redis = process.env.HEADGATE_TEST_REDIS_URL ? undefined : await startRedis()
const env = {
  ...process.env,
  HEADGATE_TEST_POSTGRES_URL: postgres.url,
  ...(redis && { HEADGATE_TEST_REDIS_URL: redis.url }),
}
try {
  for (const [n, peers] of sets.entries()) {
    const cwd = join(folder, String(n))
    mkdirSync(cwd)
    writeFileSync(join(cwd, 'package.json'), '{ "private": true }')
    const args = ['install', '--no-audit', '--no-fund', '--prefer-offline', '--silent', tarball, ...common, ...peers]
    execFileSync('npm', args, { cwd, stdio: 'inherit' })
    cpSync(new URL('peers-project.mjs', import.meta.url), join(cwd, 'project.mjs'))
    execFileSync('node', ['project.mjs'], { cwd, env, stdio: 'inherit', timeout: 60_000 })
  }
} finally {
  await redis?.stop()
  await postgres.stop()
  rmSync(folder, { recursive: true })
}
