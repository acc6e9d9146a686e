/**
 * Every benchmark in turn, each in a process of its own: `npm run bench`, or `npm run bench -- read ndjson` for some.
 * `BENCH_ROUNDS=3` makes it shorter. The machine should have nothing else to do.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const all = [
  'read',
  'ndjson',
  'copy',
  'parallel',
  'rivals',
  'mysql',
  'elasticsearch',
  'empty-jobs',
  'storage-jobs',
  'storage-log',
  'storage-costs',
  'dispatch-costs',
  'storage-ingestion',
  'dispatch',
  'partitions',
  'abort',
  'http',
  'detail',
  'events',
  'dashboard',
]
const asked = process.argv.slice(2)

for (const name of asked.length > 0 ? asked : all) {
  console.log(`\n== ${name}`)
  const file = fileURLToPath(new URL(`${name}.ts`, import.meta.url))
  const { status } = spawnSync(process.execPath, [...process.execArgv, file], { stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
