/**
 * What jobs do, for Prometheus: an ingestion runs, and its metrics are scraped from the server that has the jobs API.
 *
 *     npx tsx examples/prometheus.ts
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { JobRegistry, memoryStorage } from 'headgate'
import { createJobsHandler } from 'headgate/http'
import { toNodeHandler } from 'headgate/http/node'
import { iterableDatasource } from 'headgate/iterable'
import { instrument } from 'headgate/opentelemetry'

const numbers = Array.from({ length: 2500 }, (_, id) => ({ id }))
const registry = new JobRegistry({
  storage: memoryStorage(),
  datasources: { numbers: iterableDatasource(numbers) },
})
registry.define({ id: 'copy', datasource: 'numbers', query: 'all', batchSize: 1000, target: () => {} })
registry.define({
  type: 'report',
  id: 'daily',
  run: () => {
    throw new TypeError('There is nothing to report.')
  },
})

// #region instrument
const exporter = new PrometheusExporter({ preventServerStart: true, withoutScopeInfo: true })
const provider = new MeterProvider({ readers: [exporter] })
const stop = instrument(registry, { meter: provider.getMeter('headgate') })
// #endregion

// #region serve
const jobs = toNodeHandler(createJobsHandler(registry))
const server = createServer((request, response) => {
  if (request.url === '/metrics') exporter.getMetricsRequestHandler(request, response)
  else jobs(request, response)
})
await once(server.listen(0, '127.0.0.1'), 'listening')
// #endregion

for (const [type, id] of [
  ['ingestion', 'copy'],
  ['report', 'daily'],
] as const) {
  await (await registry.start(type, id)).finished
}

const { port } = server.address() as AddressInfo
const scraped = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
const shown = /^headgate_\w+(records_total|failures_total|running|duration_count)\{/
const lines = scraped.split('\n').filter((line) => shown.test(line))
console.log(lines.sort().join('\n'))
// #region scraped
// headgate_batch_duration_count{headgate_job_type="ingestion"} 3
// headgate_job_duration_count{headgate_job_type="ingestion",headgate_job_state="successful"} 1
// headgate_job_duration_count{headgate_job_type="report",headgate_job_state="error",error_type="TypeError"} 1
// headgate_job_failures_total{headgate_job_type="report",error_type="TypeError"} 1
// headgate_job_records_total{headgate_job_type="ingestion"} 2500
// headgate_job_running{headgate_job_type="ingestion"} 0
// headgate_job_running{headgate_job_type="report"} 0
// #endregion

stop()
server.close()
await provider.shutdown()
await registry.close()
